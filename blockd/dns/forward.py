"""The way of one query upstream, decided without moving a byte: what to send where, when to give up, what to answer.

Events go in (an outcome of an attempt, the time), actions come out. The driver carries them out and asks :attr:`Forward.due_ms` when
to come again.

- Servers are asked in the order given, one after the other and round again, each at most `sends_max` times over one transport
  (RFC 9520 §3.1). The next is asked when the attempt before it fails or its time is up.
- An attempt whose time is up stays open: an answer that comes late is still an answer. It closes with the query.
- A truncated answer is asked for again over TCP, at the same server (RFC 7766 §5). So is one that came among so many wrong packets
  that somebody may be guessing (RFC 5452 §9).
- A failure (SERVFAIL, REFUSED and the like) is kept, and the next server is asked. When none is left the kept failure is the answer.
- Without a socket left here, nothing more is sent; what is under way is waited for.
- At the deadline, or when nothing more can be sent and nothing is awaited, the query fails: EDE 22 (RFC 8914 §4.23) when servers were
  silent or refused, 23 (§4.24) when they could not be reached at all.

    >>> from blockd.dns.upstreams import Choice, Way
    >>> query = Forward((Choice(0, Way.UDP), Choice(1, Way.UDP)), 0)
    >>> query.begin(0)
    [Send(attempt=0, upstream=0, way=<Way.UDP: 'udp'>)]
    >>> query.tick(1000)
    [TimedOut(attempt=0), Send(attempt=1, upstream=1, way=<Way.UDP: 'udp'>)]
    >>> query.on(0, Outcome.ANSWER, 1010)
    [Finish(attempt=0, failed=False)]
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from blockd.dns.upstreams import SENDS_MAX, Way

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockd.dns.upstreams import Choice

TIMEOUT_MS = {Way.UDP: 1000, Way.TCP: 2000}
DEADLINE_MS = 4500  # of the whole query: stub resolvers wait 5 s
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
class Send:
    """Send the query, under a new ID and from a new port."""

    attempt: int
    upstream: int
    way: Way


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The attempt's time is up; go on listening. For the upstream's health."""

    attempt: int


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


Action = Send | TimedOut | Finish | Fail


@dataclass(slots=True)
class Attempt:
    """One sending of the query."""

    upstream: int
    way: Way
    sent_ms: int
    open: bool = True  # an answer can still come


class Forward:
    """One query. Give every event once; nothing happens after Finish or Fail."""

    def __init__(self, order: Sequence[Choice], now_ms: int, deadline_ms: int = DEADLINE_MS) -> None:
        self.attempts: list[Attempt] = []
        self.deadline_ms = now_ms + deadline_ms
        self.done = False
        self._order = tuple(order)
        self._next = 0
        self._due_ms: int | None = None  # when the newest attempt's time is up
        self._sends: dict[tuple[int, Way], int] = {}
        self._out: set[int] = set()  # upstreams that answered with a failure
        self._failure: int | None = None  # the first attempt that did
        self._silent = False
        self._no_room = False

    @property
    def due_ms(self) -> int:
        """When :meth:`tick` is to be called."""
        return self.deadline_ms if self._due_ms is None else min(self._due_ms, self.deadline_ms)

    def begin(self, now_ms: int) -> list[Action]:
        """Send to the first."""
        return self._go_on(now_ms)

    def tick(self, now_ms: int) -> list[Action]:
        """Time has passed."""
        if self.done or now_ms < self.due_ms:
            return []
        actions: list[Action] = []
        if self._due_ms is not None and now_ms >= self._due_ms:
            actions.append(TimedOut(len(self.attempts) - 1))
            self._silent = True
            self._due_ms = None
        if now_ms >= self.deadline_ms:
            return [*actions, self._end()]
        return actions + self._go_on(now_ms)

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
        newest = number == len(self.attempts) - 1
        if newest:
            self._due_ms = None
        if outcome in {Outcome.TRUNCATED, Outcome.SPOOFED} and attempt.way is Way.UDP and self._may(attempt.upstream, Way.TCP, SENDS_MAX):
            return [self._send(attempt.upstream, Way.TCP, now_ms)]
        if not newest and self._due_ms is not None:
            return []  # a late failure: the newer attempt has its time
        return self._go_on(now_ms)

    def _may(self, upstream: int, way: Way, sends_max: int) -> bool:
        return self._sends.get((upstream, way), 0) < sends_max

    def _send(self, upstream: int, way: Way, now_ms: int) -> Send:
        self._sends[upstream, way] = self._sends.get((upstream, way), 0) + 1
        self.attempts.append(Attempt(upstream, way, now_ms))
        self._due_ms = now_ms + TIMEOUT_MS[way]
        return Send(len(self.attempts) - 1, upstream, way)

    def _go_on(self, now_ms: int) -> list[Action]:
        """Ask the next server; wait when none may be asked; end when nothing is awaited either."""
        for step in range(0 if self._no_room else len(self._order)):
            choice = self._order[(self._next + step) % len(self._order)]
            if choice.upstream not in self._out and self._may(choice.upstream, choice.way, choice.sends_max):
                self._next = (self._next + step + 1) % len(self._order)
                return [self._send(choice.upstream, choice.way, now_ms)]
        if self._failure is None and any(attempt.open for attempt in self.attempts):
            return []
        return [self._end()]

    def _end(self) -> Finish | Fail:
        self.done = True
        if self._failure is not None:
            return Finish(self._failure, failed=True)
        return Fail(EDE_NO_REACHABLE_AUTHORITY if self._silent else EDE_NETWORK_ERROR, remember=not self._no_room)
