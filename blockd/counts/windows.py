"""What may be released, and when: between the sums and everyone who reads a figure.

A figure that steps by one when one subscriber meets one listed name is a log entry to whoever also holds address logs. So, while a
*sensitive* list is loaded (`secret`, or with anything of category ``csam``), these rules hold:

1. *Between the ends of windows nothing moves.* A window lasts an hour or more. This covers hits and shadow hits of every list, queries,
   answers and their histograms, the stop page, upstream queries: every series that a hit moves, and every series that moves with those.
   ``requests - responses from cache - responses from upstream`` is hits too, and so is ``upstream requests - responses from upstream``.
2. *At the end of a window each series moves by a multiple of the threshold k*, and what is left over is carried forward. Hence every sum
   and difference, with whole factors, of released series between any two scrapes is a multiple of k: none is 1, none is below k but 0.
   A threshold without the rounding would leave ``responses by policy - sum of released hits`` open.
3. *Sensitive lists with fewer than 50 entries are released as one* (labels ``merged``): with few entries, a hit of the list tells the name.
4. *What was withheld stays withheld* when the last sensitive list leaves: figures go live again at the end of the running window, and
   the rest below k is kept for the next time a sensitive list is loaded, since releasing it would show exactly what rule 2 hides.

The sum of the duration histogram is not a count and would tell fractions: at the end of a window it grows by the middle of each bucket
for each answer that was released in it. Without a sensitive list all series are live, exact and unmerged.

What this does not do: someone who can cause hits, k - 1 of them, and who knows that nobody else causes any, sees the next one push the
figure over a step. The contribution cap per client prefix that would blunt this needs the client's address and is not built.

Limits reached (:data:`blockd.counts.layout.LIMITS`) say how the gateway fares and stay live, apart from those that a hit moves and an ordinary query
does not, or not as much: several entries on one name (`hits`) are judged in Python, to which `ring` leads; `xdp_rate` limits blocked answers alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from blockd.counts.layout import DURATION_BOUNDS_S
from blockd.counts.tallies import BUCKETS, Key, Totals
from blockd.terms import Category, Instant, ListName

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

WINDOW_LEAST_S: Final = 3600.0
THRESHOLD_LEAST: Final = 2
MERGED_BELOW_ENTRIES: Final = 50

MERGED: Final = "merged"
"""The labels list, category and action of the series that small sensitive lists share. No list has this name: theirs hold a slash."""

WINDOWED_LIMITS: Final = frozenset({"hits", "stop_page_connections", "ring", "xdp_rate"})
_LIVE_KINDS: Final = frozenset({"limit", "worker_restart"})
_WINDOWED_LABELS: Final = frozenset((limit,) for limit in WINDOWED_LIMITS)
_HIT_KINDS: Final = frozenset({"hit", "shadow"})

# The middle of each bucket in nanoseconds; the last, open one counts with its lower bound.
_MIDDLES_NS: Final = tuple(
    round((low + high) / 2 * 1e9) for low, high in zip((0.0, *DURATION_BOUNDS_S), (*DURATION_BOUNDS_S, DURATION_BOUNDS_S[-1]), strict=True)
)


@dataclass(frozen=True, slots=True)
class Rules:
    """The operator's choice, never weaker than the contract: a window of an hour at least, a threshold of 2 at least."""

    window_s: float = 3600.0
    threshold: int = 10

    def __post_init__(self) -> None:
        object.__setattr__(self, "window_s", max(self.window_s, WINDOW_LEAST_S))
        object.__setattr__(self, "threshold", max(self.threshold, THRESHOLD_LEAST))


@dataclass(frozen=True, slots=True)
class ListKind:
    """What release needs to know of a list that is loaded (in shadow or enforced)."""

    name: ListName
    entries: int
    secret: bool
    category: Category

    @property
    def sensitive(self) -> bool:
        """By its own metadata; single entries of category csam make a list sensitive too, see :func:`step`."""
        return self.secret or self.category is Category.CSAM


def stricter(one: ListKind, other: ListKind) -> ListKind:
    """What holds when two things are known of one list: two versions of it, each served by some worker."""
    category = Category.CSAM if Category.CSAM in {one.category, other.category} else one.category
    return ListKind(one.name, min(one.entries, other.entries), secret=one.secret or other.secret, category=category)


@dataclass(frozen=True, slots=True)
class State:
    """What was released, what of each source that used up, and how far each source had been seen.

    ``seen - consumed`` of a source is withheld. `opened`: when the running window began; None while figures are live. `kinds`: every list
    that was ever loaded, as it was last.
    """

    released: Mapping[Key, int] = field(default_factory=dict)  # by series
    consumed: Mapping[Key, int] = field(default_factory=dict)  # by source
    seen: Mapping[Key, int] = field(default_factory=dict)  # by source
    opened: Instant | None = None
    kinds: Mapping[ListName, ListKind] = field(default_factory=dict)


def step(state: State, sums: Mapping[Key, int], lists: Iterable[ListKind], rules: Rules, now: Instant) -> State:
    """The next state, given the sums of all sources (:meth:`blockd.counts.tallies.Tallies.totals`) and the lists that are loaded.

    Call it before a list can be hit for the first time, and with a list that leaves until it cannot be hit any more: a step that learns of
    a sensitive list withholds everything since the step before it.
    """
    loaded = {kind.name: kind for kind in lists}
    kinds = {**state.kinds, **loaded}
    sensitive = {name for name, kind in kinds.items() if kind.sensitive}
    sensitive |= {ListName(key[1]) for key in sums if key[0] in _HIT_KINDS and key[2] == Category.CSAM.value}
    small = {name for name in sensitive if name not in kinds or kinds[name].entries < MERGED_BELOW_ENTRIES}
    danger = not sensitive.isdisjoint(loaded)
    work = _Work(dict(state.released), dict(state.consumed), state.seen, sums, small)

    if state.opened is None and not danger:
        work.go_on(key for key in sums if key[0] not in _HIT_KINDS or (key[1] in kinds and key[1] not in sensitive))
        return work.state(None, kinds)
    work.go_on(key for key in sums if not _withheld(key))
    if state.opened is None or now < state.opened:  # a clock that was set back must not make a window shorter
        return work.state(now, kinds)
    if now - state.opened < rules.window_s:
        return work.state(state.opened, kinds)
    work.release([key for key in sums if _withheld(key) and (key[0] not in _HIT_KINDS or key[1] in kinds)], rules.threshold)
    return work.state(now if danger else None, kinds)


def totals(state: State, rules: Rules) -> Totals:
    """What may be shown in this state."""
    if state.opened is None:
        return Totals(state.released)
    return Totals(state.released, windowed=True, next_release=state.opened + rules.window_s)


def _withheld(key: Key) -> bool:
    """Whether the source is under the window while a sensitive list is loaded."""
    return key[0] not in _LIVE_KINDS or key[1:2] in _WINDOWED_LABELS


@dataclass(slots=True)
class _Work:
    """One step in progress."""

    released: dict[Key, int]
    consumed: dict[Key, int]
    seen: Mapping[Key, int]
    sums: Mapping[Key, int]
    small: set[ListName]

    def series(self, source: Key) -> Key:
        """The series under which a source is released."""
        if source[0] in _HIT_KINDS and source[1] in self.small:
            return (source[0], MERGED, MERGED, MERGED, source[4])
        return source

    def go_on(self, live: Iterable[Key]) -> None:
        """These sources are live: what came since the last step is released as it is. What was withheld before stays so."""
        for source in live:
            self._grow(source, source, max(0, self.sums[source] - self.seen.get(source, 0)))

    def release(self, sources: Iterable[Key], threshold: int) -> None:
        """A window has ended: each series moves by the largest multiple of `threshold` that its sources have waiting."""
        groups: dict[Key, list[Key]] = {}
        for source in sorted(sources):
            if source[0] != "duration_ns":
                groups.setdefault(self.series(source), []).append(source)
        for series, members in groups.items():
            waiting = {source: max(0, self.sums[source] - self.consumed.get(source, 0)) for source in members}
            left = moved = sum(waiting.values()) // threshold * threshold
            self.released.setdefault(series, 0)
            for source in members:
                used = min(left, waiting[source])
                left -= used
                self._grow(series, source, used)
            if series[0] == "duration" and moved:
                total = ("duration_ns", series[1])
                self.released[total] = self.released.get(total, 0) + moved * _MIDDLES_NS[int(series[2])]
        for source in self.sums:
            if source[0] == "duration_ns":  # told by the buckets
                self.released.setdefault(source, 0)
                self.consumed[source] = self.sums[source]

    def state(self, opened: Instant | None, kinds: Mapping[ListName, ListKind]) -> State:
        """The step's outcome. Every source that can move has a series, so that its first move is seen as one."""
        for source in self.sums:
            self.released.setdefault(self.series(source), 0)
        seen = {**self.seen, **{source: max(value, self.seen.get(source, 0)) for source, value in self.sums.items()}}
        return State(self.released, self.consumed, seen, opened, kinds)

    def _grow(self, series: Key, source: Key, n: int) -> None:
        self.released[series] = self.released.get(series, 0) + n
        self.consumed[source] = self.consumed.get(source, 0) + n


if len(_MIDDLES_NS) != BUCKETS:  # the two files describe one histogram
    raise AssertionError("a bucket without a middle")
