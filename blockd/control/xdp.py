"""The role `xdp`: answers blocked names in the network driver, before the kernel's own network stack sees the packet.

It hosts a BPF program (native/xdp_dns.bpf.c) on one interface and is to it what the resolver's process is to its core: it lays down tables and
verdicts, decides what the program leaves open, counts. What the program is not sure of passes to whoever answers there, the resolver role or, as a
sidecar (`[dns] xdp_listen`), another resolver.

- `apply`: the table is copied into a kernel map beside the old one and put in place with one store: when that returns, every packet that begins
  is judged by it.
- `reload`, and a change of the interface's addresses: another program is loaded with the new maps, and the link changes from one to the other.
- A name that several entries speak about passes until this process has decided about that combination of entries, :data:`TURN_S` later at most.
- The kernel counts for itself; each second what is new is added to this role's slab, so figures are late by a second, and a crash loses as much.
- When this process ends, however it ends, its descriptor of the link is closed and the kernel takes the program off: everything passes.

``xdp = "auto"`` that finds no way leaves everything to user space and says why, in the log and in `blockd status`; with ``native`` or ``generic``
the role ends instead.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blockd.control import logs
from blockd.control.service import Health
from blockd.counts import layout
from blockd.counts.tallies import limit_cell
from blockd.dns import settings as dns_settings
from blockd.errors import Refused, Unavailable
from blockd.kernel import client
from blockd.kernel.forms import COMBINATIONS_MAX, Settings, read_combination
from blockd.kernel.plan import plan
from blockd.kernel.store import Attached, Loaded, Policy
from blockd.policy.verdict import compile_verdicts, decide, matches_of, next_change, resolve
from blockd.terms import Instant, ListName

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from blockd.config.schema import Config
    from blockd.control.live import LiveGeneration
    from blockd.counts.slab import Slab
    from blockd.kernel.plan import Interface, Plan
    from blockd.policy.verdict import Compiled, Policies

LOG = logging.getLogger("blockd.xdp")

TURN_S = 0.1
COUNT_TURNS = 10  # the kernel's counters are read each so many turns
LOOK_TURNS = 20  # and the interface's addresses


@dataclass(slots=True)
class _InForce:
    """A generation with its decisions, laid down."""

    live: LiveGeneration
    policies: Policies
    policy: Policy
    cells: frozenset[int]
    taught: list[bytes] = field(default_factory=list)


class Xdp:
    """The service of the role `xdp`."""

    def __init__(self) -> None:
        self._config: Config
        self._slab: Slab
        self._live: LiveGeneration | None = None
        self._killed: dict[ListName, Instant] = {}
        self._change_at: Instant | None = None
        self._interface: Interface | None = None
        self._plan: Plan | None = None
        self._loaded: Loaded | None = None
        self._attached: Attached | None = None
        self._in_force: _InForce | None = None
        self._epoch = 0
        self._why_off = "it is starting"
        self._changing = asyncio.Lock()
        self._turning: asyncio.Task[None] | None = None

    # What the role calls

    async def start(self, config: Config, sockets: Mapping[str, socket.socket], slab: Slab, live: LiveGeneration | None) -> None:
        """Attach. Unavailable: it cannot be, and the configuration does not say ``auto``."""
        del sockets
        self._slab = slab
        async with self._changing:
            self._config = config
            await self._decide(live)
            await self._settle(config)
        self._turning = asyncio.get_running_loop().create_task(self._turn_for_ever(), name="xdp")
        self._turning.add_done_callback(_end_on_bug)

    async def apply(self, live: LiveGeneration) -> None:
        """Answer from this generation: when this returns, every packet is judged by it."""
        async with self._changing:
            await self._decide(live)

    async def reload(self, config: Config, sockets: Mapping[str, socket.socket]) -> None:
        """Take a new configuration. Unavailable: it cannot be had; the old one stays."""
        del sockets
        async with self._changing:
            await self._settle(config)
            self._config = config
            await self._decide(self._live)

    async def drain(self, timeout_s: float) -> None:
        """Take the program off, count what it did."""
        del timeout_s
        if self._turning is not None:
            self._turning.cancel()
            await asyncio.gather(self._turning, return_exceptions=True)
        async with self._changing:
            self._detach("blockd ends")
            if self._in_force is not None:
                self._in_force.policy.close()

    def health(self) -> Health:
        """Say whether the program is attached, by the kernel's own word."""
        shown = self._shown()
        wanted = self._config.dns.xdp if self._turning is not None else "auto"
        why_not = ""
        if not shown["attached"] and wanted in {"native", "generic"}:
            why_not = f"the XDP program is not on the interface: {shown['why_not']}"
        return Health(ready=not why_not, why_not=why_not, xdp=shown)

    async def request(self, verb: str, arguments: Mapping[str, object]) -> Mapping[str, object]:
        """Do one of: `switches` as the resolver takes it, `stats`. Refused: another verb."""
        if verb == "switches":
            async with self._changing:
                self._killed = _killed(arguments.get("killed"))
                await self._decide(self._live)
            return {"killed": len(self._killed)}
        if verb == "stats":
            return self._shown()
        raise Refused("verb", f"the XDP role has no verb {verb[:20]!r}")

    # Inside

    def _shown(self) -> dict[str, object]:
        attached, loaded, interface = self._attached, self._loaded, self._interface
        proven = attached is not None and loaded is not None and attached.proof(loaded)
        return {
            "interface": interface.name if interface else self._config.dns.xdp_interface,
            "wanted": self._config.dns.xdp,
            "mode": attached.mode if attached and proven else "off",
            "attached": proven,
            "program": loaded.program.id if loaded and proven else 0,
            "services": len(self._plan.services) if self._plan and proven else 0,
            "why_not": ""
            if proven
            else self._why_off or "the kernel does not name our program there: another one was put in its place, or taken off",
        }

    async def _decide(self, live: LiveGeneration | None) -> None:
        """Bring the generation, the configuration and the switches into force. Unavailable: what was in force stays."""
        now = Instant(time.time())
        self._change_at = next_change(self._killed, now)
        if live is None:
            return
        policies = resolve(live, self._config, self._killed, now)
        self._epoch += 1
        made = await asyncio.to_thread(self._lay_down, live, policies, self._epoch)
        self._live = live
        old, self._in_force = self._in_force, made
        if self._loaded is not None:
            self._use(self._loaded, made)
            if old is not None:
                self._loaded.forget(old.taught)
        if old is not None:
            old.policy.close()

    def _lay_down(self, live: LiveGeneration, policies: Policies, epoch: int) -> _InForce:
        compiled: Compiled = compile_verdicts(live, policies)
        with memoryview(live.table) as table:
            policy = Policy(
                table,
                live.key,
                (compiled.verdicts, compiled.index),
                epoch,
                ttl_s=dns_settings.BLOCKED_TTL_S,
                udp_max=dns_settings.UDP_MAX_BYTES,
                addresses=dns_settings.stop_page_addresses(self._config),
            )
        return _InForce(live, policies, policy, frozenset(live.cells.values()))

    @staticmethod
    def _use(loaded: Loaded, made: _InForce) -> None:
        loaded.watch(made.cells)
        loaded.use(made.policy)

    async def _settle(self, config: Config) -> None:
        """Have the program that this configuration asks for on its interface. Unavailable, unless it says ``auto``."""
        if config.dns.xdp == "off":
            self._detach("the configuration says so")
            return
        try:
            interface = await asyncio.to_thread(client.interface, config.dns.xdp_interface)
            await asyncio.to_thread(self._attach, config, interface)
            self._why_off = ""
        except Unavailable as error:
            if config.dns.xdp != "auto":
                raise
            LOG.warning("XDP is off, user space answers everything: %s", error)
            self._detach(str(error))

    def _attach(self, config: Config, interface: Interface) -> None:
        own = [(e.host, e.port) for e in config.dns.listen]
        foreign = [(e.host, e.port) for e in config.dns.xdp_listen]
        wanted = plan(own, foreign, config.dns.allow_from, interface)
        loaded = Loaded(_settings(config, wanted, interface), wanted)
        loaded.watch(FIXED_CELLS)
        if self._in_force is not None:
            self._use(loaded, self._in_force)
        try:
            there = self._attached
            if there is not None and there.ifindex == interface.index and config.dns.xdp in {self._config.dns.xdp, there.mode}:
                there.replace(loaded)
            else:
                self._detach("it moves to another interface or mode")
                there = self._attached = Attached(loaded, interface.index, config.dns.xdp)
        except Unavailable:
            loaded.close()
            raise
        old, self._loaded = self._loaded, loaded
        if old is not None:
            self._count(old)
            old.close()
        if wanted != self._plan:
            for note in wanted.notes:
                LOG.warning("XDP: %s", note)
            LOG.info("XDP answers on %s (%s), at %d addresses", interface.name, there.mode, len(wanted.services))
        self._interface, self._plan = interface, wanted

    def _detach(self, why: str) -> None:
        self._why_off = why
        if self._attached is not None:
            self._attached.close()
            self._attached = None
        if self._loaded is not None:
            self._count(self._loaded)
            self._loaded.close()
            self._loaded = None

    def _count(self, loaded: Loaded) -> None:
        for cell, n in loaded.counted().items():
            self._slab.add(cell, n)

    async def _turn_for_ever(self) -> None:
        turn = 0
        while True:
            await asyncio.sleep(TURN_S)
            turn += 1
            async with self._changing:
                if self._loaded is not None:
                    self._teach(self._loaded)
                    if turn % COUNT_TURNS == 0:
                        self._count(self._loaded)
                if self._change_at is not None and time.time() >= self._change_at:
                    await self._decide(self._live)
                if turn % LOOK_TURNS == 0 and self._config.dns.xdp != "off":
                    await self._look()

    def _teach(self, loaded: Loaded) -> None:
        """Decide about the combinations that the program met."""
        made = self._in_force
        for key in loaded.asked():
            epoch, hits = read_combination(key)
            if made is None or epoch != made.policy.epoch or key in made.taught:
                continue
            verdict = decide(matches_of(made.live, hits), made.policies).native()
            if len(made.taught) >= COMBINATIONS_MAX or not loaded.teach(key, verdict):
                self._slab.add(limit_cell("hits"))
                continue
            made.taught.append(key)

    async def _look(self) -> None:
        """Follow the interface: addresses come and go, and an interface that was away may be back."""
        try:
            now = await asyncio.to_thread(client.interface, self._config.dns.xdp_interface)
            if now != self._interface or self._attached is None:
                await asyncio.to_thread(self._attach, self._config, now)
                self._why_off = ""
        except Unavailable as error:
            if self._attached is not None or str(error) != self._why_off:
                LOG.warning("XDP is off, user space answers everything: %s", error)
                self._detach(str(error))
                self._interface = None


FIXED_CELLS = frozenset(range(layout.POLICY))
BUG = 70  # EX_SOFTWARE of sysexits.h: our own fault


def _end_on_bug(task: asyncio.Task[None]) -> None:
    """Without its turns the role would look alive and count nothing: it ends, and is started again."""
    if not task.cancelled() and task.exception():
        LOG.critical("the XDP role ends, a part of it failed: %s", logs.where(task.exception()))
        os._exit(BUG)


def _killed(value: object) -> dict[ListName, Instant]:
    """The switches that control sent."""
    if not isinstance(value, dict) or not all(isinstance(until, int | float) for until in value.values()):
        raise Refused("shape", "switches: killed is {list: seconds since the epoch}")
    return {ListName(str(name)): Instant(float(until)) for name, until in value.items()}


def _settings(config: Config, wanted: Plan, interface: Interface) -> Settings:
    return Settings(
        requests=layout.REQUESTS,
        responses=layout.RESPONSES,
        durations=layout.DURATIONS,
        rate_limit_cell=limit_cell("xdp_rate"),
        cells=layout.CELLS,
        rate=config.dns.rate_limit,
        ports=wanted.ports,
        mac=interface.mac,
    )
