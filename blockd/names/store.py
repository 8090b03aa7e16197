"""Where the shipped data lies: ``lists/`` of a checkout, ``blockd/lists/`` of an installed package (the build puts it there).

Read-only, part of the release, trusted as the code is: whoever can change these files can change the code.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

CHECKOUT = Path(__file__).resolve().parents[2] / "lists"


def shipped(name: str) -> Traversable:
    """Find the data file or folder `name`, ``public-suffixes.dat``, ``examples``. FileNotFoundError when this is a broken installation."""
    for folder in (resources.files("blockd") / "lists", CHECKOUT):
        found = folder / name
        if found.is_file() or found.is_dir():
            return found
    raise FileNotFoundError(f"{name} is missing from the installation: reinstall blockd")


def read(name: str) -> bytes:
    """Read the whole of a shipped file."""
    return shipped(name).read_bytes()
