"""Small files that are whole or absent: write beside, fsync, rename, fsync the directory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from blockd.table.store import fsync_directory

if TYPE_CHECKING:
    from pathlib import Path

DRAFT = ".new"


def write_new(path: Path, data: bytes, mode: int = 0o640) -> None:
    """Write a file in a directory that nobody looks at yet. Its octets are durable when this returns, its name is not."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace(path: Path, data: bytes, mode: int = 0o640) -> None:
    """Put `data` at `path`, durable when this returns. A crash leaves the old file or the new one. OSError: the disk."""
    draft = path.with_name(path.name + DRAFT)
    try:
        write_new(draft, data, mode)
        draft.rename(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    fsync_directory(path.parent)


def remove(path: Path) -> None:
    """Forget a file, durably. No error when it is gone already."""
    try:
        path.unlink()
    except FileNotFoundError:
        return
    fsync_directory(path.parent)
