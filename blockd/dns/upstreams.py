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
- Native threads forward to plain-UDP upstreams by themselves: :meth:`Upstreams.plain` says to which, :meth:`Upstreams.take_native` hears what came of it.
  Each upstream has a number of its own there, which no other configuration's upstream has had for long.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from blockd.dns.hedge import Budget, Latency

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockd.config.schema import Endpoint, Upstream

    NativeRow = tuple[int, int, int, int, int, int, float]

SUSPECT_AFTER = 3  # queries in a row without an answer
DOWN_AFTER = 2  # probes in a row without an answer
PROBE_FIRST_MS = 500
PROBE_LAST_MS = 5000
SENDS_MAX = 3  # to one server over one transport, for one query (RFC 9520 §3.1)
WORKERS_MAX = 256  # native threads whose sums are remembered: four times as many as there can be at once
NUMBERS = 1 << 15  # of upstreams, as native threads know them: 0 and up to this

RESULTS = ("ok", "timeout", "refused", "mismatch", "malformed", "error", "certificate", "handshake")
"""How one query to one upstream ended: the label `result` of ``blockd_upstream_requests_total``."""

HEDGED = "hedged"
"""Beside the results: queries that this upstream got because another was late. They end as the results say, too."""

_NATIVE_RESULTS = ("ok", "timeout", "refused", "mismatch", "malformed")


class Way(Enum):
    """The transport to an upstream."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


class Broken(Enum):
    """Why nothing will come of a sending."""

    OURS = "ours"  # this node has no socket left: it says nothing about the upstream
    NETWORK = "network"  # the network or the other side refused
    CERTIFICATE = "certificate"  # the other side did not prove that it is the one that was named
    HANDSHAKE = "handshake"  # TLS did not come about for another reason


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
    good: bool = True
    late_ms: int | None = None  # when to ask another too


@dataclass(slots=True)
class _Health:
    way: Way
    state: State = State.GOOD
    silent: int = 0  # queries in a row
    probes: int = 0  # in a row without an answer
    probing: bool = False
    probe_at_ms: int = 0
    wait_ms: int = PROBE_FIRST_MS
    latency: Latency = field(default_factory=Latency)
    why: str = ""  # what is wrong with it, as far as it is known
    told_up: bool = True  # what take_changes said last
    told_why: str = ""  # what take_troubles said last
    results: dict[str, int] = field(default_factory=lambda: dict.fromkeys((*RESULTS, HEDGED), 0))


class Upstreams:
    """The health of all upstreams of one configuration; they are spoken of by their place in it.

    `first_number`: what native threads call the first; the others follow.
    """

    def __init__(self, configured: Sequence[Upstream], first_number: int = 0) -> None:
        self.configured = tuple(configured)
        self.budget = Budget()
        self.first_number = first_number
        self._all = [_Health(Way(upstream.scheme)) for upstream in configured]
        self._native: dict[int, tuple[dict[int, NativeRow], int]] = {}  # by worker: its rows, and what it hedged, as last seen

    def _ranked(self) -> list[int]:
        return sorted(range(len(self._all)), key=lambda i: self._all[i].state.value)

    def order(self) -> tuple[Choice, ...]:
        """Choose whom to ask, in this order; empty when none is configured."""
        ranked = self._ranked()
        alive = [
            Choice(i, health.way, good=health.state is State.GOOD, late_ms=health.latency.late_ms)
            for i in ranked
            if (health := self._all[i]).state is not State.DOWN
        ]
        return tuple(alive or [Choice(i, self._all[i].way, 1, good=False) for i in ranked])

    def plain(self, now_ms: int) -> tuple[tuple[int, Endpoint], ...]:  # noqa: ARG002 - all of health takes the time, whatever it makes of it
        """(number, where) of those that native threads may ask, in order: good ones over plain UDP that come before any other in preference."""
        found = []
        for i in self._ranked():
            health = self._all[i]
            if health.state is not State.GOOD or health.way is not Way.UDP:
                break
            found.append((self.first_number + i, self.configured[i].endpoint))
        return tuple(found)

    def place(self, number: int) -> int | None:
        """Find an upstream by the number that native threads know it by; None: it is not one of this configuration."""
        place = number - self.first_number
        return place if 0 <= place < len(self._all) else None

    def take_native(self, worker: int, rows: Sequence[NativeRow], now_ms: int, hedged: int = 0) -> None:
        """Hear of a native thread's queries: (number, ok, timeout, refused and errors, mismatch, malformed, rtt_ms), sums since it was told whom to ask.

        `worker`: one number a thread; `hedged`: how many it sent to the second in order as well, in sum since it was made. Sums that went back began again.
        A thread's silence counts towards a suspect only when nothing came in the same time.
        """
        before, hedged_before = self._native.pop(worker, ({}, hedged))  # what it hedged before was for others
        second = next((place for number, _ in self.plain(now_ms)[1:] if (place := self.place(number)) is not None), None)
        more_hedged = hedged - hedged_before if hedged >= hedged_before else hedged
        if second is not None:
            self._all[second].results[HEDGED] += more_hedged
        seen = {}
        for row in rows:
            seen[row[0]] = row
            place = self.place(row[0])
            if place is None:
                continue
            last = before.get(row[0])
            again = last is None or any(new < old for new, old in zip(row[1:6], last[1:6], strict=True))
            more = row[1:6] if last is None or again else tuple(new - old for new, old in zip(row[1:6], last[1:6], strict=True))
            self._heard(place, more, now_ms)
        if len(self._native) >= WORKERS_MAX:  # of threads that are long gone: the one that was not heard for the longest time
            del self._native[next(iter(self._native))]
        self._native[worker] = seen, hedged

    def _heard(self, place: int, more: tuple[int, ...], now_ms: int) -> None:
        results = dict(zip(_NATIVE_RESULTS, more, strict=True))
        for result, times in results.items():
            self._all[place].results[result] += times
        if results["ok"] or results["refused"] or results["malformed"]:
            self._lives(self._all[place])
        else:
            for _ in range(min(results["timeout"], SUSPECT_AFTER)):
                self.silent(place, now_ms)

    @staticmethod
    def _lives(health: _Health) -> None:
        health.state, health.silent, health.probes, health.wait_ms, health.why = State.GOOD, 0, 0, PROBE_FIRST_MS, ""

    def answered(self, upstream: int, rtt_ms: float) -> None:
        """Note an answer to a query."""
        health = self._all[upstream]
        self._lives(health)
        health.latency.add(rtt_ms)

    def silent(self, upstream: int, now_ms: int) -> None:
        """Note a query that got no answer in time, or could not be sent."""
        health = self._all[upstream]
        health.silent += 1
        if health.state is State.GOOD and health.silent >= SUSPECT_AFTER:
            health.state, health.probes, health.probe_at_ms = State.SUSPECT, 0, now_ms

    def trouble(self, upstream: int, why: str) -> None:
        """Note what is wrong with it, in words for a person; an answer ends it."""
        self._all[upstream].why = why

    def count(self, upstream: int, result: str) -> None:
        """Count how a query ended, one of RESULTS; or HEDGED, when it is sent."""
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
        if rtt_ms is not None:  # no sample: what is asked for here is always at hand
            self._lives(health)
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

    def take_troubles(self) -> list[tuple[Upstream, str]]:
        """Give the upstreams with which something else is wrong than at the last call, each with what."""
        found = []
        for upstream, health in zip(self.configured, self._all, strict=True):
            if health.why != health.told_why:
                health.told_why = health.why
                if health.why:
                    found.append((upstream, health.why))
        return found

    def up(self, upstream: int) -> bool:
        """Tell whether it answers, or has not failed to."""
        return self._all[upstream].state is not State.DOWN

    @property
    def any_up(self) -> bool:
        """Tell whether one of them answers, or has not failed to."""
        return any(health.state is not State.DOWN for health in self._all)

    def rows(self) -> list[dict[str, object]]:
        """Say it for status and metrics: ``{"address", "up", "why", "requests": {result: n}}``."""
        return [
            {"address": str(upstream), "up": health.state is not State.DOWN, "why": health.why, "requests": dict(health.results)}
            for upstream, health in zip(self.configured, self._all, strict=True)
        ]
