"""What an entry of the table says: one rule for each (list, kind, action, category) that occurs.

Rules are few (a list has one to a handful); entries point at sets of them. The JSON form is canonical and is stored in the table file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blockd.terms import Action, Category, Kind, ListName

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, order=True)
class Rule:
    """`action` None: the list's own."""

    list: ListName
    kind: Kind
    category: Category
    action: Action | None = None


def dump_rules(rules: Sequence[Rule]) -> bytes:
    """Write canonical JSON (sorted keys, no spaces)."""
    rows = [
        {"list": r.list, "kind": int(r.kind), "category": r.category.value, "action": r.action.value if r.action else None} for r in rules
    ]
    return json.dumps(rows, sort_keys=True, separators=(",", ":")).encode()


def load_rules(data: bytes) -> tuple[Rule, ...]:
    """Read what :func:`dump_rules` wrote. ValueError, KeyError or TypeError when it did not."""
    return tuple(
        Rule(ListName(r["list"]), Kind(r["kind"]), Category(r["category"]), Action(r["action"]) if r["action"] else None)
        for r in json.loads(data)
    )
