"""A publisher's repository on a disk.

    REPO/root.json                     the first root, which subscribers pin
    REPO/metadata/N.root.json          every root
    REPO/metadata/N.{targets,LIST,snapshot}.json, timestamp.json
    REPO/targets/LIST/<sha256>.FILE    lists as published
    REPO/staged/ROLE.json              what waits for signatures; subscribers never ask for it
    REPO/.lock                         held by the one command at work

Trusted like the keys that sign it: no more. Who can change these files can withhold, not forge, as long as the signers look at what they
sign. Every write is a new file, fsync, rename, fsync of the folder; nothing is ever changed in place. All of REPO can be served as it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import time
from typing import TYPE_CHECKING

from blockd.errors import Corrupt, Misconfigured, Refused, Unavailable
from blockd.feeds import roles
from blockd.feeds.metadata import Metadata, Root, Snapshot, Targets, Timestamp, read
from blockd.feeds.repository import State, check_live

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from blockd.feeds.metadata import AnyMetadata

LOCK_WAIT_S = 30.0
BLOCK_OCTETS = 1 << 20
METADATA_MAX_OCTETS = 5_000_000

_ROOT = re.compile(r"([1-9][0-9]*)\.root\.json").fullmatch


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(temporary: Path, path: Path) -> None:
    """Give a finished file its name. A crash before this leaves the old file, after it the new one."""
    temporary.replace(path)


def write_durable(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file so that it is whole or as before, whatever happens."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def read_blocks(path: Path) -> Iterator[bytes]:
    """Read a file in blocks."""
    with path.open("rb") as file:
        while block := file.read(BLOCK_OCTETS):
            yield block


class Store:
    """The files of one repository."""

    def __init__(self, path: Path) -> None:
        """`path`: REPO. It need not exist yet."""
        self.path = path
        self.metadata = path / "metadata"
        self.targets = path / "targets"
        self.staged = path / "staged"

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep every other command out of the repository. Unavailable when one is at work for longer than LOCK_WAIT_S."""
        if not (self.path / "root.json").is_file():
            raise Misconfigured(f"{self.path} is no feed repository: make one with `blockd feed init {self.path}`")
        with (self.path / ".lock").open("a") as file:
            end = time.monotonic() + LOCK_WAIT_S
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end:
                        raise Unavailable(f"another blockd feed command is at work in {self.path}: try again when it is done") from None
                    time.sleep(0.05)
            yield

    def load(self) -> State:
        """Read what is live and what is staged. Corrupt when the live metadata is not whole or does not verify."""
        try:
            state, previous = self._live()
        except (Refused, OSError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise Corrupt(f"the repository's metadata cannot be read ({why}): restore {self.metadata} from a backup") from error
        for path in sorted(self.staged.glob("*.json")) if self.staged.is_dir() else ():
            role = path.name.removesuffix(".json")
            metadata = self._staged(role, path)
            live = state.live(role)
            if live is None or metadata.signed.version > live.signed.version:
                state.staged[role] = metadata  # else it went live, and the crash came before it was cleared away
        check_live(state, previous)
        return state

    def _live(self) -> tuple[State, Metadata[Root] | None]:
        newest = max(int(found[1]) for name in os.listdir(self.metadata) if (found := _ROOT(name)))  # noqa: PTH208 -- names only
        root = read(Root, self._read(f"{newest}.root.json"))
        previous = read(Root, self._read(f"{newest - 1}.root.json")) if newest > 1 else None
        timestamp = read(Timestamp, self._read("timestamp.json"))
        snapshot = read(Snapshot, self._read(f"{timestamp.signed.snapshot_meta.version}.snapshot.json"))
        versions = {name.removesuffix(".json"): meta.version for name, meta in snapshot.signed.meta.items()}
        targets = read(Targets, self._read(f"{versions.pop('targets')}.targets.json"))
        lists = {
            name: read(Targets, self._read(f"{version}.{name}.json")) for name, version in versions.items() if roles.is_list_name(name)
        }
        return State(root, targets, snapshot, timestamp, lists), previous

    def _staged(self, role: str, path: Path) -> AnyMetadata:
        if role not in {"root", "targets"} and not roles.is_list_name(role):
            raise Corrupt(f"{path} is none of the repository's: move it away")
        try:
            return read(Root if role == "root" else Targets, path.read_bytes())
        except Refused as refused:
            raise Corrupt(f"{path}: {refused}: move it away and publish again") from None

    def _read(self, name: str) -> bytes:
        with (self.metadata / name).open("rb") as file:
            return file.read(METADATA_MAX_OCTETS + 1)

    def save_staged(self, state: State) -> None:
        """Make what is staged durable, and clear away what no longer is. A crash in between leaves some of it: staging begins anew or goes on."""
        self.staged.mkdir(exist_ok=True)
        for role, metadata in state.staged.items():
            data = metadata.to_bytes()
            path = self.staged / f"{role}.json"
            if not path.is_file() or path.read_bytes() != data:
                write_durable(path, data)
        for path in self.staged.glob("*.json"):
            if path.name.removesuffix(".json") not in state.staged:
                path.unlink()
        sync_folder(self.staged)

    def write_live(self, files: Sequence[tuple[str, bytes]]) -> None:
        """Write metadata in the order given. Subscribers see the new state at ``timestamp.json``: a crash before it changes nothing for them."""
        for name, data in files:
            write_durable(self.metadata / name, data)

    def add_target(self, path: str, blocks: Iterable[bytes]) -> tuple[int, str]:
        """Store a target as ``LIST/<sha256>.FILE``. Returns (octets, SHA-256). Nothing points to it yet; a crash leaves a file nobody asks for."""
        name, _, file = path.partition("/")
        folder = self.targets / name
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{os.getpid()}.tmp"
        digest, length = hashlib.sha256(), 0
        try:
            with temporary.open("wb") as out:
                for block in blocks:
                    digest.update(block)
                    length += len(block)
                    out.write(block)
                out.flush()
                os.fsync(out.fileno())
            replace(temporary, folder / f"{digest.hexdigest()}.{file}")
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(folder)
        sync_folder(self.targets)
        return length, digest.hexdigest()

    def target_file(self, path: str, sha256: str) -> Path:
        """Where a target lies."""
        name, _, file = path.partition("/")
        return self.targets / name / f"{sha256}.{file}"


def create(path: Path, state: State, root: bytes) -> None:
    """Make a new repository: everything beside it first, then one rename. Refused when there is something already."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise Refused("exists", f"{path} exists and is not empty: choose another place, or move it away")
    path.parent.mkdir(parents=True, exist_ok=True)
    building = path.with_name(f".{path.name}.{os.getpid()}.new")
    for folder in (building / "metadata", building / "targets"):
        folder.mkdir(parents=True)
    files = {
        "root.json": root,
        "metadata/1.root.json": root,
        "metadata/1.targets.json": state.targets.to_bytes(),
        "metadata/1.snapshot.json": state.snapshot.to_bytes(),
        "metadata/timestamp.json": state.timestamp.to_bytes(),
    }
    for name, data in files.items():
        write_durable(building / name, data)
    sync_folder(building)
    building.replace(path)  # onto nothing, or onto an empty folder
    sync_folder(path.parent)


def create_keys(folder: Path, pems: Iterable[tuple[str, bytes]]) -> None:
    """Write key files into a new folder that only its owner may enter. Refused when it exists."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        raise Refused("exists", f"{folder} exists: keys are never overwritten; move it away or give another --keys-dir") from None
    folder.chmod(0o700)
    for name, pem in pems:
        write_durable(folder / name, pem, 0o600)
    sync_folder(folder.parent)


def retire_key(folder: Path, name: str) -> Path | None:
    """Give ``NAME.pem`` a name that says it is old: ``NAME.old.pem``. It can still sign, which a rotation needs. None when it is not here."""
    path = folder / f"{name}.pem"
    if not path.exists():
        return None
    number = 1
    while (old := folder / (f"{name}.old.pem" if number == 1 else f"{name}.old{number}.pem")).exists():
        number += 1
    path.rename(old)
    sync_folder(folder)
    return old
