"""The counts as they lie on the disk: one JSON object in one file, replaced whole.

Everything that must agree is in the one file: the base, the last values of living slabs, and what was released. So there is no moment at
which a slab is in the base but also still to be read, or a window is shown but not remembered. Any bytes give a :class:`Saved` or
:class:`~blockd.errors.Corrupt`.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from blockd.counts.tallies import Key, Tallies
from blockd.counts.windows import ListKind, State
from blockd.errors import Corrupt
from blockd.terms import Category, Instant, ListName

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Saved:
    """`folded`: slab files that are in the base already and still had to be removed when this was written."""

    tallies: Tallies = field(default_factory=Tallies)
    state: State = field(default_factory=State)
    folded: tuple[str, ...] = ()


def dump(saved: Saved) -> bytes:
    """Canonical JSON. Zeros are kept where they say that a series exists."""
    tallies, state = saved.tallies, saved.state
    body = {
        "format": FORMAT,
        "base": _rows(tallies.base),
        "unknown": sorted(tallies.unknown.items()),
        "slabs": {name: sorted(values.items()) for name, values in tallies.slabs.items()},
        "upstreams": _rows(tallies.reported),  # the key's name is older than the rest of what is in it
        "folded": list(saved.folded),
        "released": _rows(state.released),
        "consumed": _rows(state.consumed),
        "seen": _rows(state.seen),
        "opened": state.opened,
        "kinds": [[k.name, k.entries, k.secret, k.category.value] for _, k in sorted(state.kinds.items())],
    }
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def load(data: bytes) -> Saved:
    """The inverse of :func:`dump`. Raises :class:`~blockd.errors.Corrupt` for anything else."""
    try:
        body = json.loads(data)
        if body["format"] != FORMAT:
            raise Corrupt("the saved counts are of another format")
        tallies = Tallies(
            base=Counter(_read(body["base"])),
            unknown=Counter(_cells(body["unknown"])),
            slabs={str(name): _cells(rows) for name, rows in body["slabs"].items()},
            reported=_read(body["upstreams"]),
        )
        kinds = (ListKind(ListName(str(n)), _count(e), secret=bool(s), category=Category(c)) for n, e, s, c in body["kinds"])
        opened = None if body["opened"] is None else Instant(float(body["opened"]))
        state = State(_read(body["released"]), _read(body["consumed"]), _read(body["seen"]), opened, {k.name: k for k in kinds})
        return Saved(tallies, state, tuple(str(name) for name in body["folded"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise Corrupt("the saved counts cannot be read; counting starts again from the workers' own figures") from error


def _rows(values: Mapping[Key, int]) -> list[list[object]]:
    return [[list(key), value] for key, value in sorted(values.items())]


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("not a count")
    return value


def _read(rows: Any) -> dict[Key, int]:
    found = {}
    for words, value in rows:
        if not isinstance(words, list) or not all(isinstance(w, str) for w in words) or not words:
            raise ValueError("not a source")
        found[tuple(words)] = _count(value)
    return found


def _cells(rows: Any) -> dict[int, int]:
    return {_count(cell): _count(value) for cell, value in rows}
