"""Which upstream is asked first, and which is down: health as values, with `now` as an argument.

States of one upstream::

              3 in a row without an answer            2 probes in a row without an answer
      GOOD ---------------------------------> SUSPECT ------------------------------------> DOWN
        ^------------------ any answer ----------'-------------------- any answer ----------'

- The configuration's order is the order of preference: good ones first, then suspects. One that is down is asked only when all are,
  and then once for a query, so that an outage does not fill the table of pending queries.
- A name whose own servers are dead makes a healthy upstream slow to answer. Such names alone can make a suspect, never a downed
  upstream: that takes probes, which ask for what every resolver has at hand. Readiness rests on this.
- A probe goes out at once for a suspect, then after PROBE_FIRST_MS, and when it is down doubling up to PROBE_LAST_MS. Good upstreams are not probed: their
  traffic shows that they live.
- Any answer counts, SERVFAIL included: the health of a name is the failure cache's matter, not that of its messenger.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockd.config.schema import Upstream

SUSPECT_AFTER = 3  # queries in a row without an answer
DOWN_AFTER = 2  # probes in a row without an answer
PROBE_FIRST_MS = 500
PROBE_LAST_MS = 5000
SENDS_MAX = 3  # to one server over one transport, for one query (RFC 9520 §3.1)
RTT_WEIGHT = 0.125  # of a new sample, as in RFC 6298 §2

RESULTS = ("ok", "timeout", "refused", "mismatch", "malformed", "error")
"""How one query to one upstream ended: the label `result` of ``blockd_upstream_requests_total``."""


class Way(Enum):
    """The transport to an upstream."""

    UDP = "udp"
    TCP = "tcp"


class State(Enum):
    """What is believed of an upstream."""

    GOOD = 0
    SUSPECT = 1
    DOWN = 2


@dataclass(frozen=True, slots=True)
class Choice:
    """One upstream that a query may be sent to."""

    upstream: int
    way: Way
    sends_max: int = SENDS_MAX


@dataclass(slots=True)
class _Health:
    way: Way
    state: State = State.GOOD
    silent: int = 0  # queries in a row
    probes: int = 0  # in a row without an answer
    probing: bool = False
    probe_at_ms: int = 0
    wait_ms: int = PROBE_FIRST_MS
    rtt_ms: float | None = None
    told_up: bool = True  # what take_changes said last
    results: dict[str, int] = field(default_factory=lambda: dict.fromkeys(RESULTS, 0))


class Upstreams:
    """The health of all upstreams of one configuration; they are spoken of by their place in it."""

    def __init__(self, configured: Sequence[Upstream]) -> None:
        self.configured = tuple(configured)
        self._all = [_Health(Way.TCP if upstream.scheme == "tcp" else Way.UDP) for upstream in configured]

    def order(self) -> tuple[Choice, ...]:
        """Choose whom to ask, in this order; empty when none is configured."""
        ranked = sorted(range(len(self._all)), key=lambda i: self._all[i].state.value)
        alive = [Choice(i, self._all[i].way) for i in ranked if self._all[i].state is not State.DOWN]
        return tuple(alive or [Choice(i, self._all[i].way, 1) for i in ranked])

    def answered(self, upstream: int, rtt_ms: float) -> None:
        """Note an answer, to a query or to a probe."""
        health = self._all[upstream]
        health.state, health.silent, health.probes, health.wait_ms = State.GOOD, 0, 0, PROBE_FIRST_MS
        health.rtt_ms = rtt_ms if health.rtt_ms is None else health.rtt_ms + RTT_WEIGHT * (rtt_ms - health.rtt_ms)

    def silent(self, upstream: int, now_ms: int) -> None:
        """Note a query that got no answer in time, or could not be sent."""
        health = self._all[upstream]
        health.silent += 1
        if health.state is State.GOOD and health.silent >= SUSPECT_AFTER:
            health.state, health.probes, health.probe_at_ms = State.SUSPECT, 0, now_ms

    def count(self, upstream: int, result: str) -> None:
        """Count how a query ended; `result` is one of RESULTS."""
        self._all[upstream].results[result] += 1

    def take_probes(self, now_ms: int) -> list[tuple[int, Way]]:
        """Give the upstreams that are to be probed now; each is under way until :meth:`probed`."""
        due = [
            i
            for i, health in enumerate(self._all)
            if health.state is not State.GOOD and not health.probing and health.probe_at_ms <= now_ms
        ]
        for i in due:
            self._all[i].probing = True
        return [(i, self._all[i].way) for i in due]

    def probed(self, upstream: int, rtt_ms: float | None, now_ms: int) -> None:
        """Note how a probe ended; `rtt_ms` None: no answer."""
        health = self._all[upstream]
        health.probing = False
        if rtt_ms is not None:
            self.answered(upstream, rtt_ms)
            return
        if health.state is State.GOOD:
            return
        health.probes += 1
        health.probe_at_ms = now_ms + health.wait_ms
        if health.probes >= DOWN_AFTER:
            health.state = State.DOWN
            health.wait_ms = min(2 * health.wait_ms, PROBE_LAST_MS)

    def not_probed(self, upstream: int, now_ms: int) -> None:
        """Note that a probe could not be sent for want of a socket here: it says nothing about the upstream."""
        health = self._all[upstream]
        health.probing, health.probe_at_ms = False, now_ms + health.wait_ms

    def take_changes(self) -> list[tuple[Upstream, bool]]:
        """Give the upstreams that went down or came up since the last call, each with whether it is up."""
        changed = []
        for upstream, health in zip(self.configured, self._all, strict=True):
            now_up = health.state is not State.DOWN
            if now_up != health.told_up:
                health.told_up = now_up
                changed.append((upstream, now_up))
        return changed

    def up(self, upstream: int) -> bool:
        """Tell whether it answers, or has not failed to."""
        return self._all[upstream].state is not State.DOWN

    @property
    def any_up(self) -> bool:
        """Tell whether one of them answers, or has not failed to."""
        return any(health.state is not State.DOWN for health in self._all)

    def rows(self) -> list[dict[str, object]]:
        """Say it for status and metrics: ``{"address", "up", "requests": {result: n}}``."""
        return [
            {"address": str(upstream), "up": health.state is not State.DOWN, "requests": dict(health.results)}
            for upstream, health in zip(self.configured, self._all, strict=True)
        ]
