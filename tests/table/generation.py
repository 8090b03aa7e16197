"""A generation on the disk, as control leaves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockd.control.live import LiveList
from blockd.table.build import build
from blockd.table.manifest import Manifest, dump_manifest
from blockd.table.store import MANIFEST_FILE, TABLE_FILE
from blockd.terms import Action, Basis

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.table.oracle import Source


def write_generation(state_dir: Path, key: bytes, number: int, lists: Sequence[Source]) -> Path:
    folder = state_dir / "generations" / str(number)
    folder.mkdir(parents=True)
    build(folder / TABLE_FILE, key, [source.compile(folder / f"{i}.blkl", key) for i, source in enumerate(lists)])
    live = {
        source.name: LiveList(
            source.name, 1, Basis.OPERATOR, source.category, Action.NXDOMAIN, secret=False, canary=None, entries=len(source.entries)
        )
        for source in lists
    }
    (folder / MANIFEST_FILE).write_bytes(dump_manifest(Manifest(number, live, {})))
    return folder


def make_current(state_dir: Path, number: int) -> None:
    link = state_dir / "current.new"
    link.symlink_to(f"generations/{number}")
    link.rename(state_dir / "current")
