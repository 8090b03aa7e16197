"""Carries queries from "the core does not know" to their answers: coalescing, what is answered locally, what is forwarded.

The rules are elsewhere: `forward.py` says what to send, `judge.py` what is blocked, the core what a packet is worth. `query/driver.py` drives one
question, `route/driver.py` has the upstreams; this file keeps all of them.

- Equal questions share one way upstream (RFC 9520 §1.2; it also takes the birthday attack from a guesser, RFC 5452 §5). The table of
  those under way holds PENDING_MAX, each with WAITERS_MAX clients; beyond, a client gets SERVFAIL and a counter goes up.
- What a native thread could not end (silence, truncation, a failure, packets that look like guesses) goes on as if it had been tried here.
- A client is an opaque `deliver`, called once, with None for silence.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from blockd.dns import build
from blockd.dns.forward import DEADLINE_MS, EDE_NO_REACHABLE_AUTHORITY, Fail, Tried
from blockd.dns.query.driver import SERVFAIL, Job, Waiter
from blockd.dns.route.driver import Route
from blockd.dns.special import special
from blockd.native._dns import Pending

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from blockd.config.schema import Upstream
    from blockd.dns.judge import Judge
    from blockd.dns.query.driver import Deliver
    from blockd.dns.special import Special
    from blockd.dns.upstreams import Upstreams
    from blockd.native._dns import Ask, Core, Reply

PENDING_MAX = 16384  # different questions under way
WAITERS_MAX = 256  # clients of one of them
CLASS_IN = 1


class Driver:
    """All queries of one worker that are on their way. `now_ms`: a monotonic clock; `reached`: counts a limit by its name."""

    def __init__(self, loop: asyncio.AbstractEventLoop, core: Core, now_ms: Callable[[], int], reached: Callable[[str], None]) -> None:
        self.core = core
        self.loop = loop
        self.now_ms = now_ms
        self.judge: Judge | None = None
        self.epoch = core.epoch
        self.counts = {"coalesced": 0, "forwarded": 0, "local": 0, "failed": 0, "stale": 0, "targets_blocked": 0}
        self._reached = reached
        self._pending = Pending(PENDING_MAX)
        self._jobs: dict[int, Job] = {}
        self._route = Route(loop, (), reached)
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def upstreams(self) -> Upstreams:
        """The health of the upstreams in use."""
        return self._route.upstreams

    @property
    def in_flight(self) -> int:
        """How many different questions are under way."""
        return len(self._jobs)

    def follow(self, configured: Sequence[Upstream], authorities: Path | None = None) -> None:
        """Forward to these from now on; queries under way end where they began. `authorities`: of their certificates, None: the system's."""
        if self._route.is_for(configured, authorities):
            return
        old, self._route = self._route, Route(self.loop, configured, self._reached, authorities, self._route)
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
        waiter = Waiter(ask, deliver, self.epoch)
        if not job.slow or self.give_stale(waiter) is None:
            job.waiters.append(waiter)

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
        job = Job(self, ask, slot, self._route, now, self._tried(ask))
        job.waiters.append(Waiter(ask, deliver, self.epoch))
        self._jobs[slot] = job
        self._idle.clear()
        self._route.users += 1
        job.act(job.forward.begin(now))

    def _tried(self, ask: Ask) -> Tried | None:
        """Find what a native thread has done for it, at an upstream that is still one of ours."""
        if ask.why == "miss" or ask.why == "hits":  # noqa: PLR1714 - mypy reads this form
            return None
        place = self._route.upstreams.place(ask.tried)
        return None if place is None else Tried(place, ask.why)

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

    def give_stale(self, waiter: Waiter) -> int | None:
        """Answer from what the cache has kept beyond its time (RFC 8767), unless the name is blocked by now: how many octets; None: there is nothing.

        The core checks the targets of what it gives, says that it is old (EDE 3 or 19) and for how long it may be used.
        """
        ask, deliver, epoch = waiter
        now = self.now_ms()
        number = self.now_blocked(ask, epoch)
        if number is not None:
            deliver(self.core.blocked(ask, number, now))
            return 0
        answer = self.core.stale(ask, now)
        if answer is None:
            return None
        self.counts["stale"] += 1
        deliver(answer)
        return len(answer)

    def probe(self) -> None:
        """Ask the upstreams that are in doubt. Called a few times a second."""
        self._route.probe(self.now_ms)

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
