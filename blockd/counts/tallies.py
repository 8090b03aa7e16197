"""Sums: the slabs of the living, and a base of what the dead had counted.

A *source* is one thing that is counted, as a tuple of words: its kind first, then its labels.

====================================================  ==================================================
source                                                is
====================================================  ==================================================
``("requests", transport, family, type)``             a query
``("responses", rcode, source)``                      an answer
``("duration", source, bucket)``                      an answer in that bucket of the histogram (not cumulative)
``("duration_ns", source)``                           nanoseconds, summed
``("limit", limit)``                                  a limit reached
``("page", status, language)``                        an answer of the stop page
``("hit" or "shadow", list, category, action, stage)``  a policy hit
``("upstream", address, result)``                     a query sent to an upstream
``("worker", event)``                                 what native threads did with a query that they could not answer at once
``("worker_restart",)``                               a native thread started again
====================================================  ==================================================

Sums never go back while the state lasts: a slab that ends is folded into the base with the last values that were read from it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from blockd.counts import layout
from blockd.terms import Source, Transport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blockd.counts.cells import PolicyKey

Key: TypeAlias = tuple[str, ...]
"""A source, or a released series: a kind and its labels."""

BUCKETS: Final = len(layout.DURATION_BOUNDS_S) + 1
"""Buckets of the histogram, +Inf included."""

_ZEROS: Final = bytes(4096)


def _fixed() -> tuple[Key, ...]:
    keys: list[Key] = [("requests", t.name.lower(), f, q) for t in Transport for f in layout.FAMILIES for q in layout.TYPES]
    keys += [("responses", r, s.name.lower()) for r in layout.RCODES for s in Source]
    for s in Source:
        keys += [("duration", s.name.lower(), str(b)) for b in range(BUCKETS)]
        keys.append(("duration_ns", s.name.lower()))
    keys += [("limit", name) for name in layout.LIMITS]
    keys += [("page", str(status), language) for status in layout.STATUSES for language in layout.LANGUAGES]
    return tuple(keys)


FIXED: Final = _fixed()
"""The source of each fixed cell, by cell number."""


def page_cell(status: int, language: str) -> int:
    """The cell of one answer of the stop page; `language` ``none`` for an answer without text. ValueError outside the closed sets."""
    return layout.PAGES + layout.STATUSES.index(status) * len(layout.LANGUAGES) + layout.LANGUAGES.index(language)


def limit_cell(limit: str) -> int:
    """The cell of one limit. ValueError outside the closed set."""
    return layout.LIMIT + layout.LIMITS.index(limit)


def policy_source(key: PolicyKey) -> Key:
    """The source that a policy cell counts."""
    name, category, action, stage, shadow = key
    return ("shadow" if shadow else "hit", name, category.value, action.value, stage)


def sources(cells: Mapping[PolicyKey, int]) -> dict[int, Key]:
    """The source of every cell that has a meaning."""
    return {**dict(enumerate(FIXED)), **{cell: policy_source(key) for key, cell in cells.items()}}


def sparse(octets: bytes) -> dict[int, int]:
    """The cells of a slab that have counted something. Most of a slab is zero and is skipped in blocks."""
    found = {}
    for start in range(0, len(octets), len(_ZEROS)):
        block = octets[start : start + len(_ZEROS)]
        if block != _ZEROS:
            first = start // 8
            found.update({first + i: value for i, value in enumerate(memoryview(block).cast("Q")) if value})
    return found


@dataclass(slots=True)
class Tallies:
    """What was counted before (`base`, by source), what cells without a meaning yet hold (`unknown`), and the slabs' last values.

    `reported` are the last figures that the resolver process told of its upstreams and threads, which start again from zero with it.
    """

    base: Counter[Key] = field(default_factory=Counter)
    unknown: Counter[int] = field(default_factory=Counter)
    slabs: dict[str, dict[int, int]] = field(default_factory=dict)
    reported: dict[Key, int] = field(default_factory=dict)

    def observe(self, name: str, octets: bytes) -> None:
        """The cells of a living slab. A cell that seems to have gone back (a damaged file) keeps its last value."""
        last = self.slabs.get(name, {})
        read = sparse(octets)
        for cell, value in last.items():
            if read.get(cell, 0) < value:
                read[cell] = value
        self.slabs[name] = read

    def observe_reported(self, figures: Mapping[Key, int]) -> None:
        """Counts since the resolver process started, by source. A figure that went back began again."""
        for key, value in figures.items():
            last = self.reported.get(key, 0)
            self.base[key] += value - last if value >= last else value
            self.reported[key] = value

    def fold(self, name: str, meaning: Mapping[int, Key]) -> None:
        """The slab's worker has ended: its last values become part of the base. Unknown names are none of ours."""
        for cell, value in self.slabs.pop(name, {}).items():
            if (source := meaning.get(cell)) is not None:
                self.base[source] += value
            else:
                self.unknown[cell] += value

    def totals(self, meaning: Mapping[int, Key]) -> dict[Key, int]:
        """Every source that has a meaning, zeros included, and every source that ever counted."""
        for cell in [c for c in self.unknown if c in meaning]:
            self.base[meaning[cell]] += self.unknown.pop(cell)
        sums = Counter(dict.fromkeys(meaning.values(), 0))
        sums.update(self.base)
        for values in self.slabs.values():
            for cell, value in values.items():
                if (source := meaning.get(cell)) is not None:
                    sums[source] += value
        return dict(sums)


@dataclass(frozen=True, slots=True)
class Totals:
    """What may be shown: released series and their values. Made by :mod:`blockd.counts.windows`, never from slabs directly."""

    values: Mapping[Key, int]
    windowed: bool = False  # a sensitive list is loaded: series move at the end of a window
    next_release: float | None = None  # Instant; None when figures are live

    def of(self, kind: str) -> dict[Key, int]:
        """The series of one kind, labels only, sorted."""
        return {key[1:]: value for key, value in sorted(self.values.items()) if key[0] == kind}
