"""The configuration's files: read what is there, and look whether what it names can be used."""

from __future__ import annotations

import grp
import json
import os
import pwd
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blockd.config.checks import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from blockd.config import lines
    from blockd.config.schema import Config

FILE_MAX_BYTES = 4 << 20
FILES_MAX = 1000  # in conf.d
PINNED_ROOT_MAX_BYTES = 512_000
SECRET = ("client_key", "token_file", "identity")


@dataclass(frozen=True, slots=True)
class Source:
    """One file: its bytes, or why there are none."""

    name: str
    data: bytes
    fault: str = ""


def read(path: Path) -> Source:
    """Read one file."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_MAX_BYTES + 1)
    except FileNotFoundError:
        return Source(str(path), b"", f"{path}: no such file: make one with 'blockd init DIR', or name yours with -c FILE")
    except OSError as error:
        what = os.strerror(error.errno or 0)
        hint = f"{what}: name the file in it, {path / 'blockd.toml'}" if isinstance(error, IsADirectoryError) else what
        return Source(str(path), b"", f"{path}: {hint}")
    if len(data) > FILE_MAX_BYTES:
        return Source(str(path), b"", f"{path}: is larger than {FILE_MAX_BYTES >> 20} MiB")
    return Source(str(path), data)


def sources(path: Path) -> list[Source]:
    """Read the file and, beside it, conf.d/*.toml in the order of their names. Hidden files are left out."""
    found = [read(path)]
    folder = path.parent / "conf.d"
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".toml") and not name.startswith("."))  # noqa: PTH208 -- names, not paths
    except (FileNotFoundError, NotADirectoryError):
        return found
    except OSError as error:
        return [*found, Source(str(folder), b"", f"{folder}: {os.strerror(error.errno or 0)}")]
    if len(names) > FILES_MAX:
        return [*found, Source(str(folder), b"", f"{folder}: has more than {FILES_MAX} files")]
    return found + [read(folder / name) for name in names]


def probe(config: Config) -> Iterator[Finding]:
    """Look at what the configuration names: files that must be readable, accounts that should be there."""
    for at, feed in enumerate(config.feeds):
        for name in ("root", "client_certificate", "client_key", "token_file", "identity"):
            file: Path | None = getattr(feed, name)
            if file is not None and (why := _unreadable(file)):
                yield Finding(("feeds", at, name), f"{file}: {why}")
            elif name == "root" and not _is_root(feed.root):
                yield Finding(("feeds", at, name), f"{file}: is not TUF root metadata (JSON, _type root): get the publisher's root.json")
            elif file is not None and name in SECRET and file.stat().st_mode & 0o077:
                yield Finding(("feeds", at, name), f"{file}: others can read it: chmod 600", fatal=False)
    authorities = config.dns.upstream_ca
    if authorities is not None and (why := _unreadable(authorities)):
        yield Finding(("dns", "upstream_ca"), f"{authorities}: {why}")
    elif authorities is not None and not _has_certificate(authorities):
        yield Finding(("dns", "upstream_ca"), f"{authorities}: holds no certificate (PEM, BEGIN CERTIFICATE)")
    yield from _accounts(config)


def _has_certificate(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return b"-----BEGIN CERTIFICATE-----" in file.read(FILE_MAX_BYTES)
    except OSError:
        return False


def _unreadable(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        return os.strerror(error.errno or 0)
    return ""


def _is_root(path: Path) -> bool:
    """Whether it says that it is a root; whether its signatures hold is for TUF to say."""
    try:
        with path.open("rb") as file:
            said = json.loads(file.read(PINNED_ROOT_MAX_BYTES))
        return bool(said["signed"]["_type"] == "root")
    except (OSError, ValueError, RecursionError, KeyError, TypeError, IndexError):
        return False


def _accounts(config: Config) -> Iterator[Finding]:
    if config.run.user and not _is_user(config.run.user):
        yield Finding(("run", "user"), f'this machine has no user "{config.run.user}"', fatal=False)
    for role, names in (("operator", config.admin.operators), ("approver", config.admin.approvers)):
        for at, name in enumerate(names):
            path: lines.Path = ("admin", "roles", role, at)
            if not _is_user(name) and not _is_group(name):
                yield Finding(path, f'this machine has no user or group "{name}"', fatal=False)


def _is_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _is_group(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True
