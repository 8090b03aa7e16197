"""The key and the generations on the disk.

    state_dir/table.key                     16 random octets, 0600: fingerprints mean nothing without it
    state_dir/generations/N/table.blkt      the table
    state_dir/generations/N/manifest.json   table/manifest.py
    state_dir/current                       a symlink to generations/N, moved by rename: the generation in force

A generation is complete before `current` points at it, and nothing in it changes afterwards. Trust: whoever can write here can decide
what is blocked; a file that is damaged, truncated, of another version or built under another key is refused (:class:`Corrupt`).
Losing the key loses no list: compiled lists and tables are built again under a new one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
from typing import TYPE_CHECKING

from blockd.control.live import LiveGeneration
from blockd.errors import Corrupt
from blockd.native._table import CompiledList, Table
from blockd.table.manifest import load_manifest
from blockd.table.rules import load_rules

if TYPE_CHECKING:
    from pathlib import Path

KEY_OCTETS = 16
KEY_FILE = "table.key"
TABLE_FILE = "table.blkt"
MANIFEST_FILE = "manifest.json"
CURRENT = "current"
MANIFEST_MAX_BYTES = 64 << 20  # 65,536 cells of about 150 octets, and lists


def fsync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def load_key(state_dir: Path) -> bytes:
    """Read the key. FileNotFoundError when there is none yet, Corrupt when the file is not a key."""
    with (state_dir / KEY_FILE).open("rb") as file:
        key = file.read(KEY_OCTETS + 1)
    if len(key) != KEY_OCTETS:
        raise Corrupt(f"{KEY_FILE} does not hold {KEY_OCTETS} octets: remove it and all lists are compiled again")
    return key


def make_key(state_dir: Path) -> bytes:
    """Return the key, made now when there is none. Durable when it returns. A crash leaves the whole key or none.

    Two processes that make it at once agree: the second to link finds the first one's.
    """
    with contextlib.suppress(FileNotFoundError):
        return load_key(state_dir)
    draft = state_dir / f".{KEY_FILE}.{secrets.token_hex(8)}"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(secrets.token_bytes(KEY_OCTETS))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, state_dir / KEY_FILE)
    finally:
        draft.unlink()
    fsync_directory(state_dir)
    return load_key(state_dir)


def open_list(path: Path, key: bytes) -> CompiledList:
    """Open a compiled list, every octet checked. Corrupt when it is missing or fails its check."""
    try:
        return CompiledList(path, key)
    except (ValueError, OSError) as error:
        raise Corrupt(f"compiled list {path.name}: {_why(error)}") from None


def open_live(path: Path, key: bytes, *, verify: bool = False) -> LiveGeneration:
    """Open the generation in directory `path`. `verify`: read the whole table, as control does once before it goes live.

    Corrupt: a file is missing, damaged or not this generation's.
    """
    try:
        with (path / MANIFEST_FILE).open("rb") as file:
            data = file.read(MANIFEST_MAX_BYTES)
        manifest = load_manifest(data)
        table = Table(path / TABLE_FILE, key, verify=verify)
        rules = load_rules(table.rules)
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise Corrupt(f"generation {path.name}: {_why(error)}") from None
    strangers = {rule.list for rule in rules} - manifest.lists.keys()
    if strangers:
        raise Corrupt(f"generation {path.name}: the table has lists that the manifest does not know")
    return LiveGeneration(manifest.number, table, key, manifest.lists, rules, manifest.cells)


def table_digest(path: Path) -> str:
    """SHA-256 of the table in directory `path`, hex: what the audit record says of a generation. OSError."""
    with (path / TABLE_FILE).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def current_path(state_dir: Path) -> Path | None:
    """Return the directory of the generation in force; None before the first."""
    try:
        return state_dir / (state_dir / CURRENT).readlink()
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        raise Corrupt(f"{CURRENT} is not a link to a generation: {_why(error)}") from None


def open_current(state_dir: Path, *, verify: bool = False) -> LiveGeneration | None:
    """Open the generation in force; None before the first. Corrupt: its files or the key fail their checks."""
    path = current_path(state_dir)
    if path is None:
        return None
    try:
        key = load_key(state_dir)
    except OSError as error:
        raise Corrupt(f"{KEY_FILE}: {_why(error)}") from None
    return open_live(path, key, verify=verify)


def _why(error: Exception) -> str:
    if isinstance(error, OSError):
        return os.strerror(error.errno) if error.errno else "can't be read"
    return str(error) if isinstance(error, ValueError) else f"damaged ({type(error).__name__})"
