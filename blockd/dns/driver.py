"""Carries a query from "the core does not know" to its answer: coalescing, forwarding, the check of targets.

The rules are elsewhere: `forward.py` says what to send, `judge.py` what is blocked, the core what a packet is worth. This file joins
them to the sockets of `client.py` and to the loop's timers.

- Equal questions share one way upstream (RFC 9520 §1.2; it also takes the birthday attack from a guesser, RFC 5452 §5). The table of
  those under way holds PENDING_MAX, each with WAITERS_MAX clients; beyond, a client gets SERVFAIL and a counter goes up.
- An answer whose CNAME, DNAME, HTTPS or SVCB target is listed is replaced, whole, by the blocked answer under the name that was asked,
  and is not cached.
- A query that began before a swap is checked against the new table before its answer goes out.
- A client is an opaque `deliver`, called once, with None for silence.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from blockd.dns import build
from blockd.dns.client import Client
from blockd.dns.forward import DEADLINE_MS, EDE_NO_REACHABLE_AUTHORITY, Fail, Finish, Forward, Outcome, Send, TimedOut
from blockd.dns.special import special
from blockd.dns.upstreams import Upstreams, Way
from blockd.native._dns import Pending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from blockd.config.schema import Upstream
    from blockd.dns.forward import Action
    from blockd.dns.judge import Judge
    from blockd.dns.special import Special
    from blockd.native._dns import Ask, Core, Reply

    Deliver = Callable[[bytes | None], None]

LOG = logging.getLogger("blockd.dns")

PENDING_MAX = 16384  # different questions under way
WAITERS_MAX = 256  # clients of one of them
PORTION_BYTES = 2 << 20  # answers that are written in one turn of the loop
WRONG_MAX = 16  # packets on one socket that are not the answer, until somebody may be guessing
PROBE_TIMEOUT_S = 1.0
SERVFAIL, CLASS_IN = 2, 1


class Route:
    """The upstreams of one configuration: their health, the ways to them, how many queries still use it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, configured: Sequence[Upstream], reached: Callable[[str], None]) -> None:
        self.upstreams = Upstreams(configured)
        self.client = Client(loop, configured, reached)
        self.users = 0
        self.left = False  # a newer configuration has taken its place

    def release(self) -> None:
        """Close when nobody uses it any more."""
        if self.left and not self.users:
            self.client.close()


class Driver:
    """All queries of one worker that are on their way. `now_ms`: a monotonic clock; `reached`: counts a limit by its name."""

    def __init__(self, loop: asyncio.AbstractEventLoop, core: Core, now_ms: Callable[[], int], reached: Callable[[str], None]) -> None:
        self.core = core
        self.loop = loop
        self.now_ms = now_ms
        self.judge: Judge | None = None
        self.epoch = core.epoch
        self.counts = {"coalesced": 0, "forwarded": 0, "local": 0, "failed": 0, "targets_blocked": 0}
        self._reached = reached
        self._pending = Pending(PENDING_MAX)
        self._jobs: dict[int, Job] = {}
        self._route = Route(loop, (), reached)
        self._idle = asyncio.Event()
        self._idle.set()
        self._probe = build.query(".", "NS", 0)

    @property
    def upstreams(self) -> Upstreams:
        """The health of the upstreams in use."""
        return self._route.upstreams

    @property
    def in_flight(self) -> int:
        """How many different questions are under way."""
        return len(self._jobs)

    def follow(self, configured: Sequence[Upstream]) -> None:
        """Forward to these from now on; queries under way end where they began."""
        if tuple(configured) == self._route.upstreams.configured:
            return
        old, self._route = self._route, Route(self.loop, configured, self._reached)
        old.left = True
        old.release()

    def swapped(self, judge: Judge | None) -> None:
        """The core has taken a new table or new verdicts."""
        self.judge = judge
        self.epoch = self.core.epoch

    def submit(self, ask: Ask, deliver: Deliver, epoch: int) -> None:
        """Answer a query that the core could not. `deliver` is called once, now or later. `epoch`: :attr:`epoch` when the core asked."""
        core, now = self.core, self.now_ms()
        if self.judge is not None and (ask.why == "hits" or epoch != self.epoch):
            ruling = self.judge.rule(ask.hits) if epoch == self.epoch else self.judge.rule_name(ask.wire)
            if ruling.blocks:
                deliver(core.blocked(ask, ruling.number, now))
                return
            if ruling.counts:
                core.note(ruling.number)
            known = core.known(ask, now)
            if known is not None:
                deliver(known)
                return
        local = special(ask.wire, ask.qtype) if ask.qclass == CLASS_IN else None
        if local is not None:
            deliver(self._local(ask, local, now))
            return
        opened = self._pending.open(ask, now + 2 * DEADLINE_MS)
        if opened is None:
            self._refuse(ask, deliver, now)
            return
        slot, new = opened
        if new:
            self._start(ask, deliver, slot, now)
            return
        job = self._jobs[slot]
        if len(job.waiters) >= WAITERS_MAX:
            self._refuse(ask, deliver, now)
            return
        self.counts["coalesced"] += 1
        job.waiters.append((ask, deliver, self.epoch))

    def _refuse(self, ask: Ask, deliver: Deliver, now: int) -> None:
        self._reached("pending")
        deliver(self.core.failure(ask, SERVFAIL, -1, now))

    def _local(self, ask: Ask, found: Special, now: int) -> bytes:
        self.counts["local"] += 1
        reply = self.core.walk_reply(ask, build.local_answer(ask.upstream(0), found), 0)
        if isinstance(reply, str):
            return self.core.failure(ask, SERVFAIL, -1, now)
        return self.core.finish(ask, reply, now)

    def _start(self, ask: Ask, deliver: Deliver, slot: int, now: int) -> None:
        self.counts["forwarded"] += 1
        job = Job(self, ask, slot, self._route, now)
        job.waiters.append((ask, deliver, self.epoch))
        self._jobs[slot] = job
        self._idle.clear()
        self._route.users += 1
        job.act(job.forward.begin(now))

    def close_job(self, job: Job) -> None:
        """Forget a query that has its answer."""
        del self._jobs[job.slot]
        self._pending.close(job.slot)
        job.route.users -= 1
        job.route.release()
        if not self._jobs:
            self._idle.set()

    def rule_targets(self, reply: Reply) -> tuple[int | None, list[int]]:
        """Decide about an answer's targets: the verdict that blocks it, or the verdicts to count."""
        notes: list[int] = []
        if self.judge is not None:
            for hits in reply.hits:
                ruling = self.judge.rule(hits)
                if ruling.blocks:
                    self.counts["targets_blocked"] += 1
                    return ruling.number, []
                if ruling.counts and ruling.number not in notes:  # an answer counts a verdict once, however many targets it has
                    notes.append(ruling.number)
        return None, notes

    def now_blocked(self, ask: Ask, epoch: int) -> int | None:
        """Find the verdict that blocks a name since a swap during the query."""
        if epoch == self.epoch or self.judge is None:
            return None
        ruling = self.judge.rule_name(ask.wire)
        return ruling.number if ruling.blocks else None

    def probe(self) -> None:
        """Ask the upstreams that are in doubt. Called a few times a second."""
        route, now = self._route, self.now_ms()
        for number, way in route.upstreams.take_probes(now):
            Probe(self, route, number, way, self._probe)
        for upstream, up in route.upstreams.take_changes():
            if up:
                LOG.info("upstream %s answers again", upstream)
            else:
                LOG.warning("upstream %s does not answer: queries go to the others, if there are any; look at the way to it", upstream)

    async def drained(self, timeout_s: float) -> bool:
        """Wait until nothing is under way; False when the time is up first."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """End what is under way with SERVFAIL, and close the ways upstream."""
        for job in list(self._jobs.values()):
            job.act([Fail(EDE_NO_REACHABLE_AUTHORITY, remember=False)])
        self._route.client.close()

    def release(self) -> None:
        """Let go of the core and its memory, after :meth:`close`."""
        self.judge = None
        del self.core


class Job:
    """One question on its way, and who waits for it."""

    def __init__(self, driver: Driver, ask: Ask, slot: int, route: Route, now: int) -> None:
        self.driver = driver
        self.ask = ask
        self.slot = slot
        self.route = route
        self.forward = Forward(route.upstreams.order(), now)
        self.waiters: list[tuple[Ask, Deliver, int]] = []
        self.replies: dict[int, tuple[Reply, int]] = {}  # each with the epoch of its walk: its hits mean nothing in another
        self._cancels: list[Callable[[], None]] = []
        self._timer: asyncio.TimerHandle | None = None

    def act(self, actions: Iterable[Action]) -> None:
        """Carry out what the state machine says."""
        for action in actions:
            if isinstance(action, Send):
                exchange = Attempt(self, action)
                self._cancels.append(self.route.client.send(action.upstream, action.way, exchange))
            elif isinstance(action, TimedOut):
                upstream = self.forward.attempts[action.attempt].upstream
                self.route.upstreams.silent(upstream, self.driver.now_ms())
                self.route.upstreams.count(upstream, "timeout")
            elif isinstance(action, Finish):
                self._finish(*self.replies[action.attempt], failed=action.failed)
                return
            else:
                self._fail(action)
                return
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        wait_ms = max(self.forward.due_ms - self.driver.now_ms(), 0)
        self._timer = self.driver.loop.call_later(wait_ms / 1000, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.act(self.forward.tick(self.driver.now_ms()))

    def _close(self) -> None:
        self.forward.done = True
        if self._timer is not None:
            self._timer.cancel()
        for cancel in self._cancels:
            cancel()
        self.driver.close_job(self)

    def _finish(self, reply: Reply, walked: int, *, failed: bool) -> None:
        """Answer everybody from this reply. Only a failure can be from before a swap: others are taken as they come."""
        self._close()
        if failed:
            self.driver.counts["failed"] += 1
            self.driver.core.remember_failure(self.ask, self.driver.now_ms())
        self._answer(reply, walked, failed, 0)

    def _answer(self, reply: Reply, walked: int, failed: bool, start: int) -> None:  # noqa: FBT001
        """Answer from waiter `start` on, a portion a turn of the loop: 256 answers of 64 KB would hold it for 10 ms."""
        driver, core, now, sent = self.driver, self.driver.core, self.driver.now_ms(), 0
        current = walked == driver.epoch
        blocked, notes = driver.rule_targets(reply) if current else (None, [])
        for at, (ask, deliver, epoch) in enumerate(self.waiters[start:], start + 1):
            number = blocked if (since := driver.now_blocked(ask, epoch)) is None else since
            if number is not None:
                deliver(core.blocked(ask, number, now))
            elif not current and not failed:  # a swap came between two portions
                driver.submit(ask, deliver, epoch)
            else:
                for note in notes:
                    core.note(note)
                lost = not current or (failed and reply.rcode != SERVFAIL)  # a refusal was meant for us, not for our client
                deliver(answer := core.failure(ask, SERVFAIL, EDE_NO_REACHABLE_AUTHORITY, now) if lost else core.finish(ask, reply, now))
                sent += len(answer)
            if sent > PORTION_BYTES:
                driver.loop.call_soon(self._answer, reply, walked, failed, at)
                return

    def _fail(self, fail: Fail) -> None:
        """Say SERVFAIL to everybody."""
        self._close()
        driver, core, now = self.driver, self.driver.core, self.driver.now_ms()
        driver.counts["failed"] += 1
        if fail.remember:
            core.remember_failure(self.ask, now)
        for ask, deliver, epoch in self.waiters:
            number = driver.now_blocked(ask, epoch)
            deliver(core.failure(ask, SERVFAIL, fail.ede, now) if number is None else core.blocked(ask, number, now))


class Attempt:
    """One sending of a query: what `client.py` calls."""

    __slots__ = ("_job", "_number", "_upstream", "_way", "_wrong")

    def __init__(self, job: Job, send: Send) -> None:
        self._job = job
        self._number = send.attempt
        self._upstream = send.upstream
        self._way = send.way
        self._wrong = 0

    def make(self, identity: int) -> bytes:
        """Make the query with this ID."""
        return self._job.ask.upstream(identity)

    def packet(self, identity: int, packet: bytes) -> bool:
        """Take a packet; True when it ended the attempt."""
        job = self._job
        reply = job.driver.core.walk_reply(job.ask, packet, identity)
        if isinstance(reply, str):
            return self._unusable(reply)
        now = job.driver.now_ms()
        job.route.upstreams.answered(self._upstream, now - job.forward.attempts[self._number].sent_ms)
        if reply.truncated and self._way is Way.UDP:
            outcome, result = Outcome.TRUNCATED, "ok"
        elif reply.failed:
            outcome, result = Outcome.FAILURE, "error" if reply.rcode == SERVFAIL else "refused"
        else:
            outcome, result = Outcome.ANSWER, "ok"
        job.replies[self._number] = reply, job.driver.epoch
        self._end(outcome, result)
        return True

    def _unusable(self, why: str) -> bool:
        if why == "mismatch" and self._way is Way.UDP:
            self._wrong += 1
            if self._wrong < WRONG_MAX:
                return False  # the right one may still come (RFC 5452 §9)
            self._end(Outcome.SPOOFED, "mismatch")
        else:
            self._end(Outcome.MALFORMED, "mismatch" if why == "mismatch" else "malformed")
        return True

    def failed(self, *, ours: bool) -> None:
        """Nothing will come."""
        if not ours:
            self._job.route.upstreams.silent(self._upstream, self._job.driver.now_ms())
        self._end(Outcome.NO_ROOM if ours else Outcome.UNREACHABLE, "error")

    def _end(self, outcome: Outcome, result: str) -> None:
        job = self._job
        job.route.upstreams.count(self._upstream, result)
        if not job.forward.done:
            job.act(job.forward.on(self._number, outcome, job.driver.now_ms()))


class Probe:
    """One question to an upstream in doubt: the root's name servers, which every resolver has at hand."""

    def __init__(self, driver: Driver, route: Route, upstream: int, way: Way, query: bytes) -> None:
        self._driver = driver
        self._route = route
        self._upstream = upstream
        self._query = query
        self._sent_ms = driver.now_ms()
        self._timer = driver.loop.call_later(PROBE_TIMEOUT_S, self._end, None)
        self._cancel = route.client.send(upstream, way, self, probe=True)

    def make(self, identity: int) -> bytes:
        """Make the query with this ID."""
        return identity.to_bytes(2, "big") + self._query[2:]

    def packet(self, identity: int, packet: bytes) -> bool:
        """Take a packet: any response to our ID shows life."""
        if len(packet) < 12 or packet[:2] != identity.to_bytes(2, "big") or not packet[2] & 0x80:
            return False
        self._end(self._driver.now_ms() - self._sent_ms)
        return True

    def failed(self, *, ours: bool) -> None:
        """Nothing will come."""
        if ours:
            self._timer.cancel()
            self._route.upstreams.not_probed(self._upstream, self._driver.now_ms())
        else:
            self._end(None)

    def _end(self, rtt_ms: float | None) -> None:
        self._timer.cancel()
        self._cancel()
        self._route.upstreams.probed(self._upstream, rtt_ms, self._driver.now_ms())
