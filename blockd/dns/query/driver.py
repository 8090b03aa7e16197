"""Drives one question on its way upstream: carries out what `forward.py` says, and gives everybody who waits his answer.

- An answer whose CNAME, DNAME, HTTPS or SVCB target is listed is replaced, whole, by the blocked answer under the name that was asked,
  and is not cached. A query that began before a swap is checked against the new table before any answer goes out, an old one too.
- When it takes too long, those who wait get what the cache has kept beyond its time (RFC 8767), and the question stays under way to refresh it; before
  a failure is told, the same is tried once more.
- What lost to a faster answer is listened to until its time is up: whether that upstream lives, and how quick it is, is worth knowing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from blockd.dns.forward import EDE_NO_REACHABLE_AUTHORITY, Finish, Forward, Outcome, Send, Stale, TimedOut
from blockd.dns.upstreams import HEDGED, Broken, Way

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from blockd.dns.driver import Driver
    from blockd.dns.forward import Action, Fail, Tried
    from blockd.dns.route.driver import Route
    from blockd.native._dns import Ask, Reply

    Deliver = Callable[[bytes | None], None]

PORTION_BYTES = 2 << 20  # answers that are written in one turn of the loop
WRONG_MAX = 16  # packets on one socket that are not the answer, until somebody may be guessing
SERVFAIL = 2

_BROKEN_RESULT = {Broken.OURS: "error", Broken.NETWORK: "error", Broken.CERTIFICATE: "certificate", Broken.HANDSHAKE: "handshake"}


class Waiter(NamedTuple):
    """One client of a question. `epoch`: of the table by which the name passed."""

    ask: Ask
    deliver: Deliver
    epoch: int


class Job:
    """One question on its way, and who waits for it."""

    def __init__(self, driver: Driver, ask: Ask, slot: int, route: Route, now: int, tried: Tried | None = None) -> None:
        self.driver = driver
        self.ask = ask
        self.slot = slot
        self.route = route
        self.forward = Forward(route.upstreams.order(), now, budget=route.upstreams.budget, tried=tried)
        self.waiters: list[Waiter] = []
        self.replies: dict[int, tuple[Reply, int]] = {}  # each with the epoch of its walk: its hits mean nothing in another
        self.slow = False  # those who come now get an old answer, if there is one
        self._attempts: list[Attempt] = []
        self._timer: asyncio.TimerHandle | None = None

    def act(self, actions: Iterable[Action]) -> None:
        """Carry out what the state machine says."""
        upstreams = self.route.upstreams
        for action in actions:
            if isinstance(action, Send):
                if action.hedge:
                    upstreams.count(action.upstream, HEDGED)
                self._attempts.append(Attempt(self, action))
            elif isinstance(action, TimedOut):
                self._attempts[action.attempt].timed_out()
            elif isinstance(action, Stale):
                self.slow = True
                self._tell_stale()
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
        for sent, attempt in zip(self._attempts, self.forward.attempts, strict=True):
            if attempt.awaited:
                sent.outlive(attempt.due_ms)
            else:
                sent.cancel()
        self.driver.close_job(self)

    def _tell_stale(self) -> None:
        """Give those who wait what the cache has kept beyond its time, a portion a turn of the loop; all or none, since they ask the same."""
        sent = 0
        while self.waiters and sent <= PORTION_BYTES and not self.forward.done:
            size = self.driver.give_stale(self.waiters[-1])
            if size is None:
                return
            sent += size
            self.waiters.pop()
        if self.waiters and not self.forward.done:
            self.driver.loop.call_soon(self._tell_stale)

    def _each(self, give: Callable[[Waiter], int], start: int = 0) -> None:
        """Answer from waiter `start` on, a portion a turn of the loop: 256 answers of 64 KB would hold it for 10 ms. `give` says how many octets."""
        sent = 0
        for at, waiter in enumerate(self.waiters[start:], start + 1):
            sent += give(waiter)
            if sent > PORTION_BYTES and at < len(self.waiters):
                self.driver.loop.call_soon(self._each, give, at)
                return

    def _finish(self, reply: Reply, walked: int, *, failed: bool) -> None:
        """Answer everybody from this reply. Only a failure can be from before a swap: others are taken as they come."""
        self._close()
        driver = self.driver
        if failed:
            driver.counts["failed"] += 1
            driver.core.remember_failure(self.ask, driver.now_ms())
        blocked, notes = driver.rule_targets(reply) if walked == driver.epoch else (None, [])
        if not self.waiters and not failed and blocked is None and walked == driver.epoch:
            driver.core.keep(self.ask, reply, driver.now_ms())  # all have an old answer: this one is for the cache

        def give(waiter: Waiter) -> int:
            ask, deliver, epoch = waiter
            core, now, current = driver.core, driver.now_ms(), walked == driver.epoch
            number = (blocked if current else None) if (since := driver.now_blocked(ask, epoch)) is None else since
            if number is not None:
                deliver(core.blocked(ask, number, now))
                return 0
            if not current and not failed:  # a swap came between two portions
                driver.submit(ask, deliver, epoch)
                return 0
            if failed and (size := driver.give_stale(waiter)) is not None:
                return size
            for note in notes if current else ():
                core.note(note)
            lost = not current or (failed and reply.rcode != SERVFAIL)  # a refusal was meant for us, not for our client
            answer = core.failure(ask, SERVFAIL, EDE_NO_REACHABLE_AUTHORITY, now) if lost else core.finish(ask, reply, now)
            deliver(answer)
            return len(answer)

        self._each(give)

    def _fail(self, fail: Fail) -> None:
        """Say SERVFAIL to everybody, or what is older than its time."""
        self._close()
        driver = self.driver
        driver.counts["failed"] += 1
        if fail.remember:
            driver.core.remember_failure(self.ask, driver.now_ms())

        def give(waiter: Waiter) -> int:
            size = driver.give_stale(waiter)
            if size is None:
                size = len(answer := driver.core.failure(waiter.ask, SERVFAIL, fail.ede, driver.now_ms()))
                waiter.deliver(answer)
            return size

        self._each(give)


class Attempt:
    """One sending of a query: what `client.py` calls."""

    __slots__ = ("_cancel", "_job", "_number", "_sent_ms", "_timer", "_upstream", "_way", "_wrong")

    def __init__(self, job: Job, send: Send) -> None:
        self._job = job
        self._number = send.attempt
        self._upstream = send.upstream
        self._way = send.way
        self._wrong = 0
        self._sent_ms = job.driver.now_ms()
        self._timer: asyncio.TimerHandle | None = None
        self._cancel = job.route.client.send(send.upstream, send.way, self)

    def cancel(self) -> None:
        """Listen no more."""
        self._cancel()

    def outlive(self, due_ms: int) -> None:
        """The query has its answer: listen until this one's time is up, for the upstream's health alone."""
        driver = self._job.driver
        self._timer = driver.loop.call_later(max(due_ms - driver.now_ms(), 0) / 1000, self._give_up)

    def _give_up(self) -> None:
        self.timed_out()
        self.cancel()

    def timed_out(self) -> None:
        """Nothing came in time."""
        self._job.route.upstreams.silent(self._upstream, self._job.driver.now_ms())
        self._job.route.upstreams.count(self._upstream, "timeout")

    def make(self, identity: int) -> bytes:
        """Make the query with this ID."""
        return self._job.ask.upstream(identity)

    def packet(self, identity: int, packet: bytes) -> bool:
        """Take a packet; True when it ended the attempt."""
        job = self._job
        reply = job.driver.core.walk_reply(job.ask, packet, identity)
        if isinstance(reply, str):
            return self._unusable(reply)
        job.route.upstreams.answered(self._upstream, job.driver.now_ms() - self._sent_ms)
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

    def failed(self, why: Broken) -> None:
        """Nothing will come."""
        ours = why is Broken.OURS
        if not ours:
            self._job.route.upstreams.silent(self._upstream, self._job.driver.now_ms())
        self._end(Outcome.NO_ROOM if ours else Outcome.UNREACHABLE, _BROKEN_RESULT[why])

    def _end(self, outcome: Outcome, result: str) -> None:
        job = self._job
        if self._timer is not None:
            self._timer.cancel()
        job.route.upstreams.count(self._upstream, result)
        if not job.forward.done:
            job.act(job.forward.on(self._number, outcome, job.driver.now_ms()))
