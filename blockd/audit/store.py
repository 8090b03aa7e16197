"""The record on the disk: one writer, append only, durable before the caller goes on.

    state_dir/audit/entries.jsonl   one canonical entry a line; the line number is the leaf's index plus one
    state_dir/audit/head.json       size and root after the last append, by rename: what a later start checks the file against
    state_dir/audit/reasons.jsonl   0600, never published: the reasons that staff gave, and their salts
    state_dir/audit/pseudonym.key   0600: turns staff names into pseudonyms

The order of an append, and what a crash means there:

1. the reason, when there is one, is written and fsynced. Crash: a reason without an entry; harmless.
2. the entry's line is written. Crash: a torn or whole line that nobody has acted on; a torn one is cut off at the next start, a whole
   one stays and says that something was about to happen.
3. fsync. From here the entry is part of the record, and only now may the caller act on it.
4. `head.json` is renamed into place. Crash before: the next start finds a longer file whose beginning has the old root, and goes on.

At the start the whole file is hashed. A file that is shorter than its head, or has another root at that size, was changed from outside: :class:`Corrupt`,
and control refuses to update anything until a person has looked. Trust: whoever can write here can rewrite the record of this node;
witnesses are what a later version has against that.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from typing import TYPE_CHECKING, Self

from blockd.audit.record import SALT_BYTES, Entry, commitment, decode, encode, pseudonym
from blockd.audit.tree import Frontier
from blockd.errors import Corrupt, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENTRIES = "entries.jsonl"
HEAD = "head.json"
REASONS = "reasons.jsonl"
PSEUDONYM_KEY = "pseudonym.key"
PSEUDONYM_KEY_BYTES = 16
REASON_MAX_CHARS = 1000


class AuditLog:
    """``AuditLog.open(state_dir / "audit")``. One process at a time holds it."""

    def __init__(self, folder: Path, fd: int, frontier: Frontier) -> None:
        self._folder = folder
        self._fd = fd
        self._frontier = frontier
        self._end = os.fstat(fd).st_size
        self._key = _pseudonym_key(folder)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open or create the record, checked against its head. Corrupt: it was changed. Unavailable: another process has it."""
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        fd = os.open(folder / ENTRIES, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise Unavailable("another process writes the audit record: stop it first") from None
        try:
            frontier = _replay(folder, fd)
            _fsync_names(folder)  # a file that was made just now must not be lost with its first entries
            return cls(folder, fd, frontier)
        except BaseException:
            os.close(fd)
            raise

    @property
    def size(self) -> int:
        """Entries."""
        return self._frontier.size

    @property
    def root(self) -> str:
        """The tree's root, hex."""
        return self._frontier.root().hex()

    def append(self, entry: Entry) -> int:
        """Record it; its index. Durable when this returns. OSError when the disk refuses: then it is not in the record."""
        data = encode(entry)
        try:
            _write_all(self._fd, data + b"\n", self._end)
            os.fsync(self._fd)
        except OSError:
            # Not persisted, or not known to be: the file goes back to what is known, so that the next append is not glued to a torn line.
            # Should that fail too, the next append writes over the same octets and the next start cuts what is torn.
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._end)
            raise
        self._end += len(data) + 1
        self._frontier.append(data)
        # The entry is durable: a head that cannot be written (a full disk) must not make it look as if it were not.
        with contextlib.suppress(OSError):
            self._write_head()
        return self.size - 1

    def entries(self) -> Iterator[Entry]:
        """Every entry from the first, read from the disk. Corrupt: one that this release cannot read."""
        with (self._folder / ENTRIES).open("rb") as file:
            for _, line in zip(range(self.size), file, strict=False):
                yield decode(line[:-1])

    def explain(self, who: str, reason: str) -> tuple[str, str]:
        """Keep what a person said on this node; (pseudonym, commitment) for the entry. Durable when this returns."""
        salt = secrets.token_bytes(SALT_BYTES)
        digest = commitment(salt, reason)
        line = json.dumps({"commitment": digest, "salt": salt.hex(), "who": who, "reason": reason}, sort_keys=True) + "\n"
        fd = os.open(self._folder / REASONS, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            end = os.fstat(fd).st_size
            try:
                _write(fd, line.encode())
                os.fsync(fd)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(fd, end)  # half a reason would spoil the next one's line
                raise
        finally:
            os.close(fd)
        return pseudonym(self._key, who), digest

    def close(self) -> None:
        """Let go of the record."""
        os.close(self._fd)

    def _write_head(self) -> None:
        """Remember size and root. A disk that refuses this costs a check at the next start, not the entry."""
        draft = self._folder / f"{HEAD}.new"
        data = json.dumps({"size": self.size, "root": self.root}).encode()
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        try:
            _write(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)
        draft.rename(self._folder / HEAD)


def read_entries(folder: Path) -> Iterator[Entry]:
    """Every entry from the first, without holding the record: for those who only read. It ends at a line that is torn or cannot be read. OSError."""
    with (folder / ENTRIES).open("rb") as file:
        for line in file:
            if not line.endswith(b"\n") or not _whole(line):
                return
            yield decode(line[:-1])


def _replay(folder: Path, fd: int) -> Frontier:
    """Hash the whole file; cut a torn last line; compare with the head."""
    head = _head(folder)
    frontier = Frontier()
    good = 0
    matched = head[0] == 0
    with os.fdopen(os.dup(fd), "rb") as file:
        file.seek(0)
        for line in file:
            if not line.endswith(b"\n") or (frontier.size >= head[0] and not _whole(line)):
                break  # beyond the head: never acted on
            frontier.append(line[:-1])
            good += len(line)
            if frontier.size == head[0]:
                matched = frontier.root().hex() == head[1]
                if not matched:
                    break
    if not matched:
        raise Corrupt(
            f"the audit record does not have the {head[0]} entries that this node wrote: restore {ENTRIES} from a backup, or ask why it changed"
        )
    os.ftruncate(fd, good)
    os.fsync(fd)
    return frontier


def _fsync_names(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _whole(line: bytes) -> bool:
    """Tell an entry from what a crash may leave in a file that had grown before its octets arrived."""
    try:
        decode(line[:-1])
    except Corrupt:
        return False
    return True


def _head(folder: Path) -> tuple[int, str]:
    try:
        value = json.loads((folder / HEAD).read_bytes())
        return int(value["size"]), str(value["root"])
    except FileNotFoundError:
        return 0, ""
    except (ValueError, KeyError, TypeError):
        raise Corrupt(f"{HEAD} of the audit record cannot be read: restore it, or remove it after {ENTRIES} was looked at") from None


def _pseudonym_key(folder: Path) -> bytes:
    """Read the key, or make it: whole under its name or not at all. One that is not whole makes pseudonyms that anyone can undo: it is made anew."""
    path = folder / PSEUDONYM_KEY
    with contextlib.suppress(FileNotFoundError):
        key = path.read_bytes()
        if len(key) == PSEUDONYM_KEY_BYTES:
            return key
    key = secrets.token_bytes(PSEUDONYM_KEY_BYTES)
    draft = folder / f"{PSEUDONYM_KEY}.new"
    draft.unlink(missing_ok=True)
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _write(fd, key)
        os.fsync(fd)
    finally:
        os.close(fd)
    draft.rename(path)
    _fsync_names(folder)
    return key


def _write(fd: int, data: bytes) -> None:
    """All of it: a disk that fills up may take a part and say so by the count alone."""
    while data:
        data = data[os.write(fd, data) :]


def _write_all(fd: int, data: bytes, at: int) -> None:
    while data:
        written = os.pwrite(fd, data, at)
        data, at = data[written:], at + written
