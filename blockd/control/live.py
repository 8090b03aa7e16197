"""What a worker holds while it serves one generation: the mapped table and what each of its sets means.

Pure value; `table/store.py` opens it from disk (`open_live`). Deciding files take it as an argument.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from blockd.native._table import Table
    from blockd.table.rules import Rule
    from blockd.terms import Action, Basis, Category, ListName


@dataclass(frozen=True, slots=True)
class LiveList:
    """One list of a generation, as workers need it."""

    name: ListName
    version: int
    basis: Basis
    category: Category
    action: Action  # the publisher's
    secret: bool
    canary: str | None
    entries: int


@dataclass(frozen=True, slots=True)
class LiveGeneration:
    """One generation, open."""

    number: int
    table: Table
    key: bytes = field(repr=False)
    lists: Mapping[ListName, LiveList]
    rules: Sequence[Rule]  # by global rule index
    cells: Mapping[
        tuple[ListName, Category, Action, str, bool], int
    ]  # (list, category, action, stage, shadow) -> cell, counted from 0 of the slab
