"""How times, figures and tables look on a terminal. Pure: the terminal's width and the clock are arguments."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from blockd.cli.parser import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

UNITS_S = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def age(seconds: float) -> str:
    """Say a span in its largest unit: ``3d``, ``12m``, ``0s``."""
    whole = max(0, int(seconds))
    for unit, length in UNITS_S:
        if whole >= length:
            return f"{whole // length}{unit}"
    return "0s"


def ago(then: float | None, now: float) -> str:
    """``12m ago``, or ``never``."""
    return "never" if then is None else f"{age(now - then)} ago"


def until(then: float | None, now: float) -> str:
    """``in 6d``, ``EXPIRED 2h ago``, or ``-`` when it is not known."""
    if then is None:
        return "-"
    return f"in {age(then - now)}" if then > now else f"EXPIRED {age(now - then)} ago"


def octets(count: int) -> str:
    """``12.3 MiB``."""
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay out rows under their heads, columns of figures to the right."""
    shown = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in (head, *shown)) for column in range(len(head))]
    figures = [bool(shown) and all(re.fullmatch(r"[0-9,]+|-", row[column]) for row in shown) for column in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = (cell.rjust(width) if right else cell.ljust(width) for cell, width, right in zip(row, widths, figures, strict=True))
        return "  ".join(cells).rstrip()

    return [line(head), *map(line, shown)]
