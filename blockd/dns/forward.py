"""The way of one query upstream, decided without moving a byte: what to send where, when to give up, what to answer.

Events go in (an outcome of an attempt, the time), actions come out. The driver carries them out and asks :attr:`Forward.due_ms` when
to come again.

- Servers are asked in the order given, one after the other and round again, each at most `sends_max` times over one transport
  (RFC 9520 §3.1). The next is asked when nothing is awaited any more: every attempt has failed, or its time is up.
- A query is hedged once: when its upstream is late (`hedge.py` says when) it goes to the next good upstream too, if the budget allows. The
  first answer that can be used wins.
- An attempt whose time is up stays open: an answer that comes late is still an answer. It closes with the query.
- A truncated answer is asked for again over TCP, at the same server (RFC 7766 §5). So is one that came among so many wrong packets
  that somebody may be guessing (RFC 5452 §9).
- A failure (SERVFAIL, REFUSED and the like) is kept, and the next server is asked. When none is left the kept failure is the answer.
- Without a socket left here, nothing more is sent; what is under way is waited for.
- After STALE_MS those who wait get what the cache has kept beyond its time, if it has, and the query goes on to refresh it: the client response
  timer of RFC 8767 §5.
- At the deadline, or when nothing more can be sent and nothing is awaited, the query fails: EDE 22 (RFC 8914 §4.23) when servers were
  silent or refused, 23 (§4.24) when they could not be reached at all.
- A native thread may have tried before (:class:`Tried`): what it sent and the time it took count as if they had been sent and spent here.

    >>> from blockd.dns.upstreams import Choice, Way
    >>> query = Forward((Choice(0, Way.UDP), Choice(1, Way.UDP)), 0)
    >>> query.begin(0)
    [Send(attempt=0, upstream=0, way=<Way.UDP: 'udp'>, hedge=False)]
    >>> query.tick(1000)
    [TimedOut(attempt=0), Send(attempt=1, upstream=1, way=<Way.UDP: 'udp'>, hedge=False)]
    >>> query.on(0, Outcome.ANSWER, 1010)
    [Finish(attempt=0, failed=False)]
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Literal

from blockd.dns.upstreams import SENDS_MAX, Way

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockd.dns.hedge import Budget
    from blockd.dns.upstreams import Choice

TIMEOUT_MS = {Way.UDP: 1000, Way.TCP: 2000, Way.TLS: 2000}
DEADLINE_MS = 4500  # of the whole query: stub resolvers wait 5 s
STALE_MS = 1800  # the client response timer (RFC 8767 §5)
TRIED_MS = 1000  # how long a native thread waits before it hands a query over for silence
EDE_NO_REACHABLE_AUTHORITY = 22
EDE_NETWORK_ERROR = 23


class Outcome(Enum):
    """What became of an attempt."""

    ANSWER = "answer"
    FAILURE = "failure"  # SERVFAIL, REFUSED and the like
    TRUNCATED = "truncated"
    SPOOFED = "spoofed"  # so many wrong packets that the right one could be a guess
    MALFORMED = "malformed"  # ours, but it did not pass the walk
    UNREACHABLE = "unreachable"  # the network or the other side refused
    NO_ROOM = "no_room"  # this node has no socket left


@dataclass(frozen=True, slots=True)
class Tried:
    """What a native thread did with the query over UDP. `upstream`: its place; `why`: as in Ask.why."""

    upstream: int
    why: Literal["timeout", "truncated", "failed", "spoofed"]


@dataclass(frozen=True, slots=True)
class Send:
    """Send the query, under a new ID and from a new port. `hedge`: while another attempt is awaited."""

    attempt: int
    upstream: int
    way: Way
    hedge: bool = False


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The attempt's time is up; go on listening. For the upstream's health."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Stale:
    """Answer those who wait with what is older than its time, if there is anything, and go on."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Take this attempt's reply for the answer. `failed`: it is a failure, kept until there was nobody left to ask."""

    attempt: int
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Fail:
    """Nothing came: SERVFAIL with this Extended DNS Error. `remember`: in the failure cache; not when the fault was ours."""

    ede: int
    remember: bool = True


Action = Send | TimedOut | Stale | Finish | Fail


@dataclass(slots=True)
class Attempt:
    """One sending of the query."""

    upstream: int
    way: Way
    sent_ms: int
    due_ms: int  # when its time is up
    open: bool = True  # an answer can still come
    late: bool = False  # its time is up

    @property
    def awaited(self) -> bool:
        """Tell whether an answer is still expected."""
        return self.open and not self.late


class Forward:
    """One query. Give every event once; nothing happens after Finish or Fail.

    `budget`: for hedges, None for none; `tried`: what a native thread did before.
    """

    def __init__(
        self,
        order: Sequence[Choice],
        now_ms: int,
        deadline_ms: int = DEADLINE_MS,
        *,
        budget: Budget | None = None,
        tried: Tried | None = None,
    ) -> None:
        self.attempts: list[Attempt] = []
        self.done = False
        self._order = tuple(order)
        self._next = 0
        self._budget = budget
        self._tried = tried
        self._sends: dict[tuple[int, Way], int] = {}
        self._out: set[int] = set()  # upstreams that answered with a failure
        self._failure: int | None = None  # the first attempt that did
        self._silent = False
        self._no_room = False
        spent_ms = self._take_over(tried) if tried is not None else 0
        self.deadline_ms = now_ms + deadline_ms - spent_ms
        self._stale_ms: int | None = now_ms + STALE_MS - spent_ms
        self._hedge: tuple[int, int] | None = None  # the attempt, and when to ask another too
        self._hedged = False

    def _take_over(self, tried: Tried) -> int:
        """Count what was sent, and say who comes next; the time that it took."""
        self._sends[tried.upstream, Way.UDP] = 1
        at = next((at for at, choice in enumerate(self._order) if choice.upstream == tried.upstream), None)
        if at is not None and tried.why in {"timeout", "failed"}:
            self._next = (at + 1) % len(self._order)
        self._silent = tried.why != "truncated"
        return TRIED_MS if tried.why == "timeout" else 0

    @property
    def due_ms(self) -> int:
        """When :meth:`tick` is to be called."""
        times = [attempt.due_ms for attempt in self.attempts if attempt.awaited]
        if self._hedge is not None:
            times.append(self._hedge[1])
        if self._stale_ms is not None:
            times.append(self._stale_ms)
        return min(self.deadline_ms, *times) if times else self.deadline_ms

    def begin(self, now_ms: int) -> list[Action]:
        """Send to the first."""
        if self._budget is not None:
            self._budget.earn()
        if self._tried is not None and self._tried.why in {"truncated", "spoofed"}:
            return [self._send(self._tried.upstream, Way.TCP, now_ms)]
        return self._go_on(now_ms)

    def tick(self, now_ms: int) -> list[Action]:
        """Time has passed."""
        if self.done or now_ms < self.due_ms:
            return []
        actions: list[Action] = []
        for number, attempt in enumerate(self.attempts):
            if attempt.awaited and now_ms >= attempt.due_ms:
                attempt.late = self._silent = True
                actions.append(TimedOut(number))
        if now_ms >= self.deadline_ms:
            return [*actions, self._end()]
        if self._stale_ms is not None and now_ms >= self._stale_ms:
            self._stale_ms = None
            actions.append(Stale())
        if not self._awaited:
            return actions + self._go_on(now_ms)
        if self._hedge is not None and now_ms >= self._hedge[1]:
            actions += self._send_hedge(now_ms)
        return actions

    def on(self, number: int, outcome: Outcome, now_ms: int) -> list[Action]:
        """Take what became of attempt `number`."""
        attempt = self.attempts[number]
        if self.done or not attempt.open:
            return []
        attempt.open = False
        if outcome is Outcome.ANSWER:
            self.done = True
            return [Finish(number)]
        if outcome is Outcome.FAILURE:
            self._out.add(attempt.upstream)
            if self._failure is None:
                self._failure = number
        if outcome is Outcome.NO_ROOM:
            self._no_room = True
        if self._hedge is not None and self._hedge[0] == number:
            self._hedge = None
        if outcome in {Outcome.TRUNCATED, Outcome.SPOOFED} and attempt.way is Way.UDP and self._may(attempt.upstream, Way.TCP, SENDS_MAX):
            return [self._send(attempt.upstream, Way.TCP, now_ms)]
        return [] if self._awaited else self._go_on(now_ms)

    @property
    def _awaited(self) -> bool:
        return any(attempt.awaited for attempt in self.attempts)

    def _may(self, upstream: int, way: Way, sends_max: int) -> bool:
        return self._sends.get((upstream, way), 0) < sends_max

    def _send(self, upstream: int, way: Way, now_ms: int, *, hedge: bool = False) -> Send:
        self._sends[upstream, way] = self._sends.get((upstream, way), 0) + 1
        self.attempts.append(Attempt(upstream, way, now_ms, now_ms + TIMEOUT_MS[way]))
        return Send(len(self.attempts) - 1, upstream, way, hedge)

    def _choose(self, *, hedge: bool) -> Choice | None:
        """Choose who may be asked next: to hedge, a good one that has not been asked."""
        asked = {attempt.upstream for attempt in self.attempts}
        for step in range(0 if self._no_room else len(self._order)):
            choice = self._order[(self._next + step) % len(self._order)]
            if choice.upstream in self._out or not self._may(choice.upstream, choice.way, choice.sends_max):
                continue
            if hedge and (not choice.good or choice.upstream in asked):
                continue
            self._next = (self._next + step + 1) % len(self._order)
            return choice
        return None

    def _send_hedge(self, now_ms: int) -> list[Action]:
        self._hedge = None
        next_before, choice = self._next, self._choose(hedge=True)
        if choice is None or self._budget is None or not self._budget.take():
            self._next = next_before
            return []
        self._hedged = True
        return [self._send(choice.upstream, choice.way, now_ms, hedge=True)]

    def _go_on(self, now_ms: int) -> list[Action]:
        """Ask the next server; wait when none may be asked; end when nothing is awaited either."""
        choice = self._choose(hedge=False)
        if choice is not None:
            send = self._send(choice.upstream, choice.way, now_ms)
            if choice.late_ms is not None and not self._hedged:
                self._hedge = send.attempt, now_ms + choice.late_ms
            return [send]
        if self._failure is None and any(attempt.open for attempt in self.attempts):
            return []
        return [self._end()]

    def _end(self) -> Finish | Fail:
        self.done = True
        if self._failure is not None:
            return Finish(self._failure, failed=True)
        return Fail(EDE_NO_REACHABLE_AUTHORITY if self._silent else EDE_NETWORK_ERROR, remember=not self._no_room)
