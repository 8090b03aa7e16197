"""What offline commands read of the state directory beside the table: what each list of a generation was compiled from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockd.control.sources import load_placements
from blockd.errors import Corrupt
from blockd.table.store import current_path

if TYPE_CHECKING:
    from pathlib import Path

    from blockd.control.sources import Placement
    from blockd.terms import ListName


def placements(state_dir: Path, number: int) -> dict[ListName, Placement]:
    """Read the lists of generation `number`, those out of force included. Corrupt: its file is missing or damaged."""
    try:
        said, found = load_placements((state_dir / "generations" / str(number) / "sources.json").read_bytes())
    except OSError as error:
        raise Corrupt(f"generation {number}: its sources: {error.strerror}") from None
    if said != number:
        raise Corrupt(f"generation {number}: its sources are those of generation {said}")
    return found


def current_placements(state_dir: Path) -> dict[ListName, Placement]:
    """Read the lists of the generation in force; none before the first. Corrupt."""
    path = current_path(state_dir)
    return placements(state_dir, int(path.name)) if path is not None and path.name.isdigit() else {}
