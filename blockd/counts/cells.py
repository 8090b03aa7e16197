"""Which policy cell counts what: an assignment that only grows.

A cell belongs to one (list, category, action, stage, shadow or not) for as long as any slab lives. A new generation therefore keeps
every cell of the one before it and appends new ones: workers on either side of a swap mean the same thing by a cell, and a slab that
is read after a swap is read rightly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from blockd.counts.layout import CELLS, POLICY
from blockd.errors import Misconfigured
from blockd.terms import Action, Category, ListName

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PolicyKey: TypeAlias = tuple[ListName, Category, Action, str, bool]
"""(list, category, action, stage, shadow), as :attr:`blockd.control.live.LiveGeneration.cells` has it."""


def assign(known: Mapping[PolicyKey, int], wanted: Iterable[PolicyKey]) -> dict[PolicyKey, int]:
    """`known`, and a cell (counted from 0 of the slab) for each of `wanted` that has none. Deterministic: `wanted` is sorted.

    Raises :class:`~blockd.errors.Misconfigured` when the slab has no more cells.
    """
    cells = dict(known)
    following = max(cells.values(), default=POLICY - 1) + 1
    for key in sorted(set(wanted) - cells.keys(), key=lambda k: (k[0], k[1].value, k[2].value, k[3], k[4])):
        if following >= CELLS:
            raise Misconfigured(f"more than {CELLS - POLICY} counters for lists, categories and actions: configure fewer lists")
        cells[key] = following
        following += 1
    return cells
