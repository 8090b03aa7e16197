"""When a query is late, and how many late ones may be asked a second time.

A query that its upstream has not answered when 95 % of its answers are there is sent to the next upstream too, and the first answer wins: that cuts
the slow tail for a few queries more (J. Dean and L. A. Barroso, "The Tail at Scale", Communications of the ACM 56(2), 2013).

- *Late* is the 95th percentile of the last SAMPLES answers, by nearest rank (definition 1 of R. J. Hyndman and Y. Fan, "Sample Quantiles in
  Statistical Packages", The American Statistician 50(4), 1996): a figure that was measured, which forgets what is older. Before SAMPLES_LEAST
  answers nothing is late. The answer that lost to a faster one is a sample as well, or the figure would fall with every hedge.
- It stays between LATE_MIN_MS, since timers and machines jitter, and LATE_MAX_MS: a query without an answer after a second goes to the
  next upstream anyway.
- The *budget* gets a twentieth of a hedge with each query, keeps HEDGES_SAVED at most, and begins empty. So the hedges are never more than 5 % of the
  queries, whatever happens: an upstream that slows down under load does not get the load twice.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque

SAMPLES = 128  # answers
SAMPLES_LEAST = 20  # with fewer, the 95th percentile is but the largest
LATE_SHARE_PERCENT = 95
LATE_MIN_MS = 10
LATE_MAX_MS = 500
QUERIES_A_HEDGE = 20
HEDGES_SAVED = 50


class Latency:
    """How long the last answers of one upstream took."""

    __slots__ = ("_newest", "_sorted")

    def __init__(self) -> None:
        self._newest: deque[float] = deque()
        self._sorted: list[float] = []

    def add(self, rtt_ms: float) -> None:
        """Take one more."""
        if len(self._newest) >= SAMPLES:
            del self._sorted[bisect_left(self._sorted, self._newest.popleft())]
        self._newest.append(rtt_ms)
        insort(self._sorted, rtt_ms)

    @property
    def late_ms(self) -> int | None:
        """After this time a query is late; None: too little is known."""
        known = len(self._sorted)
        if known < SAMPLES_LEAST:
            return None
        rank = -(-known * LATE_SHARE_PERCENT // 100)
        return min(max(round(self._sorted[rank - 1]), LATE_MIN_MS), LATE_MAX_MS)


class Budget:
    """How many hedges there may be, in whole parts of one."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts = 0

    def earn(self) -> None:
        """A query begins."""
        self._parts = min(self._parts + 1, QUERIES_A_HEDGE * HEDGES_SAVED)

    def take(self) -> bool:
        """Tell whether one more may be sent, and count it."""
        if self._parts < QUERIES_A_HEDGE:
            return False
        self._parts -= QUERIES_A_HEDGE
        return True
