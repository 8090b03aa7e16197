"""The resolver's process: doors, the driver behind them, and what control asks of them (control/service.py).

Native threads answer UDP (`udp/server.py`); the loop has TCP (`tcp/server.py`) and what the threads leave to the driver. This file opens and
closes doors and brings in new tables, configurations and switches:

- `apply`: verdicts are compiled in a thread, then the core and every native thread take table and verdicts in one step, each between two
  batches. When the step is done every door answers from the new generation.
- `reload`: sockets that stay are not touched, upstreams are followed, the access list, the threads and the cache are replaced when they differ.
- `drain`: no new queries are taken; what the kernel holds and what is under way is answered; then everything is closed.

Four times a second native threads are looked at and told which upstreams are well, and the loop's lag is measured; the worst is in
`request("stats")`. No callback here does unbounded work.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import sys
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING

from blockd.config.schema import Endpoint
from blockd.control.service import Health
from blockd.counts.layout import LIMITS, NATIVE
from blockd.dns import settings
from blockd.dns.driver import Driver
from blockd.dns.garbage import Collector
from blockd.dns.judge import Judge
from blockd.dns.tcp.server import CLOSED_A_SWEEP, Connections, TcpDoor
from blockd.dns.udp.server import Workers
from blockd.errors import Refused
from blockd.native._dns import Acl, Core
from blockd.policy.verdict import compile_verdicts, next_change, resolve
from blockd.terms import Instant, ListName

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from blockd.config.schema import Config
    from blockd.control.live import LiveGeneration
    from blockd.counts.slab import Slab
    from blockd.policy.verdict import Compiled, Policies

LOG = logging.getLogger("blockd.dns")

TICK_S = 0.25
SWEEP_TICKS = 4  # TCP deadlines are looked at every so many ticks
SWEEP_PAUSE_S = 0.002  # between two portions of them
DRAIN_IDLE_MS = 200  # a TCP client that says nothing for this long is closed when the worker is to stop
DRAIN_STEP_S = 0.01
SWITCH_S = 0.0005  # a thread that compiles verdicts gives the loop its turn after this


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


class Resolver:
    """The service of the role `resolver`. `give_up`: ends the process in good order, so that it is started again."""

    def __init__(self, give_up: Callable[[], None] = lambda: signal.raise_signal(signal.SIGTERM)) -> None:
        self._config: Config
        self._slab: Slab | None = None
        self._driver: Driver
        self._retired: list[Driver] = []
        self._live: LiveGeneration | None = None
        self._killed: dict[ListName, Instant] = {}
        self._change_at: Instant | None = None
        self._workers = Workers(give_up)
        self._doors: dict[str, TcpDoor] = {}
        self._connections = Connections(self._reached)
        self._changing = asyncio.Lock()  # one of apply, reload, request at a time
        self._tick_handle: asyncio.TimerHandle | None = None
        self._collector = Collector()
        self._ticks = 0
        self._tick_due_s = 0.0
        self._lag_worst_s = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._state = "starting"

    # What the role calls

    async def start(self, config: Config, sockets: Mapping[str, socket.socket], slab: Slab, live: LiveGeneration | None) -> None:
        """Begin to answer. Misconfigured: an upstream is this resolver itself."""
        self._slab = slab
        self._check_loops(config, sockets)
        _raise_file_limit()
        sys.setswitchinterval(SWITCH_S)
        async with self._changing:
            self._driver = self._new_driver(config)
            self._driver.follow(config.dns.upstreams, config.dns.upstream_ca)
            await self._install(config, live)
            self._collector.settle()
            await self._open_doors(config, sockets)
        self._state = "ready"
        self._arm()

    async def apply(self, live: LiveGeneration) -> None:
        """Answer from this generation: when this returns, every door does."""
        async with self._changing:
            await self._install(self._config, live)

    async def reload(self, config: Config, sockets: Mapping[str, socket.socket]) -> None:
        """Take a new configuration. Misconfigured: an upstream is this resolver itself; the old one stays."""
        self._check_loops(config, sockets)
        async with self._changing:
            old = self._config
            if config.dns.cache_bytes != old.dns.cache_bytes:
                self._retired.append(self._driver)
                self._driver = self._new_driver(config)
            self._driver.follow(config.dns.upstreams, config.dns.upstream_ca)
            await self._install(config, self._live)
            await self._open_doors(config, sockets)

    async def drain(self, timeout_s: float) -> None:
        """Answer what has come and what is under way, then close."""
        self._state = "draining"
        end = time.monotonic() + timeout_s
        if self._tick_handle is not None:
            self._tick_handle.cancel()
        for door in self._doors.values():
            door.stop()
        self._workers.drain()
        self._connections.hurry(DRAIN_IDLE_MS)
        while (len(self._connections) or self._under_way() or not self._workers.idle) and time.monotonic() < end:
            self._workers.tick()
            self._connections.sweep(_now_ms())
            await asyncio.sleep(DRAIN_STEP_S)
        if left := self._under_way() + self._workers.figures()["in_flight"]:
            LOG.warning("%d queries were not answered in the time given to stop", left)
        self._close()

    def _under_way(self) -> int:
        return sum(driver.in_flight for driver in (self._driver, *self._retired))

    def _close(self) -> None:
        self._connections.abort()
        for driver in (self._driver, *self._retired):
            driver.close()
        self._workers.close()
        for door in self._doors.values():
            door.close()
        self._doors.clear()
        for task in self._tasks:
            task.cancel()
        for driver in (self._driver, *self._retired):
            driver.release()
        self._collector.release()
        self._state = "stopped"

    def health(self) -> Health:
        """Say how it is: doors are open, an upstream answers or has not failed to, and there is a policy or none is asked for."""
        listen: dict[str, list[str]] = {door: [] for door in settings.DOORS}
        opened = {**self._workers.sockets, **{key: door.socket for key, door in self._doors.items()}}
        for key, sock in opened.items():
            if settings.is_first(key):
                listen[key.partition(" ")[0]].append(str(_endpoint(sock)))
        if self._state == "starting":
            return Health(ready=False, why_not="the resolver is starting")
        upstreams = self._driver.upstreams
        why_not = ""
        if self._state != "ready":
            why_not = f"the resolver is {self._state}"
        elif any(key not in opened for key, _ in settings.door_keys(self._config)):
            why_not = "a listener of the configuration is not open: restart blockd"
        elif not self._workers.running:
            why_not = "no thread that answers UDP runs: its log line says why"
        elif not upstreams.configured:
            why_not = "no upstream is configured: set dns.upstreams"
        elif not upstreams.any_up:
            why_not = "no upstream answers: look at the resolvers behind dns.upstreams and the way to them"
        elif settings.not_ready(self._config, self._live):
            why_not = "no list is in force yet: blockd status says of each list why, blockd lists update --all fetches now"
        figures = {"threads": self._workers.threads, "running": self._workers.running, **self._workers.figures()}
        return Health(ready=not why_not, why_not=why_not, listen=listen, upstreams=upstreams.rows(), workers=figures)

    async def request(self, verb: str, arguments: Mapping[str, object]) -> Mapping[str, object]:
        """Do one of: `switches` {"killed": {list: until, seconds since the epoch}}, `flush` the cache, `stats`. Refused: another verb."""
        if verb == "switches":
            async with self._changing:
                self._killed = _killed(arguments.get("killed"))
                await self._install(self._config, self._live)
            return {"killed": len(self._killed)}
        if verb == "flush":
            self._driver.core.flush()
            return {}
        if verb == "stats":
            worst, self._lag_worst_s = self._lag_worst_s, 0.0
            own = {"tcp_connections": len(self._connections), "lag_worst_ms": round(worst * 1000, 1), "in_flight": self._under_way()}
            threads = self._workers.figures()
            both = {name: count + threads.pop(name, 0) for name, count in {**self._driver.counts, **own}.items()}
            return {**self._driver.core.stats(), **both, **threads}
        raise Refused("verb", f"the resolver has no verb {verb[:20]!r}")

    # Inside

    def _reached(self, limit: str) -> None:
        if self._state != "stopped":
            self._driver.core.reached(LIMITS.index(limit))

    def _new_driver(self, config: Config) -> Driver:
        if self._slab is None:
            raise AssertionError("start comes first")
        core = Core(cache_bytes=config.dns.cache_bytes, slab=self._slab.buffer, layout=NATIVE)
        return Driver(asyncio.get_running_loop(), core, _now_ms, self._reached)

    async def _install(self, config: Config, live: LiveGeneration | None) -> None:
        """Bring configuration, generation and switches into force, in one step after the thinking is done."""
        now = Instant(time.time())
        made: tuple[LiveGeneration, Policies, Compiled] | None = None
        if live is not None:
            policies = resolve(live, config, self._killed, now)
            made = live, policies, await asyncio.to_thread(compile_verdicts, live, policies)
        for driver in (self._driver, *self._retired):
            self._bring_in(driver, config, live, made)
        self._config, self._live = config, live
        self._change_at = next_change(self._killed, now)

    def _bring_in(
        self, driver: Driver, config: Config, live: LiveGeneration | None, made: tuple[LiveGeneration, Policies, Compiled] | None
    ) -> None:
        core = driver.core
        addresses4, addresses6 = settings.stop_page_addresses(config)
        core.configure(
            addresses4=addresses4,
            addresses6=addresses6,
            ttl_s=settings.BLOCKED_TTL_S,
            udp_max=settings.UDP_MAX_BYTES,
            not_ready=settings.not_ready(config, live),
        )
        if made is not None:
            live, policies, compiled = made
            core.swap(live.table, live.key, compiled.verdicts, compiled.index, compiled.url_hosts)
            driver.swapped(Judge(live, policies, compiled.verdicts, core, lambda: self._reached("hits")))

    async def _open_doors(self, config: Config, sockets: Mapping[str, socket.socket]) -> None:
        """Open what is asked for and not open, close what is no longer asked for, tell the rest who may ask."""
        acl = Acl(settings.prefixes(config.dns.allow_from))
        wanted = dict(settings.door_keys(config, sockets))
        live = {key: sockets[key] for key in wanted if key in sockets and sockets[key].fileno() >= 0}
        for key in [key for key in self._doors if key not in wanted]:
            self._doors.pop(key).stop()  # its open connections go on
        for key, sock in live.items():
            if wanted[key] == "udp":
                continue
            if key in self._doors:
                self._doors[key].change(self._driver, acl)
                continue
            self._doors[key] = tcp = TcpDoor(sock, self._driver, acl, self._connections)
            await tcp.open()
        threads = config.dns.thread_count(len(os.sched_getaffinity(0)))
        udp = {key: sock for key, sock in live.items() if wanted[key] == "udp"}
        failed = self._workers.arrange(self._driver, udp, threads=threads, acl=acl, rate=config.dns.rate_limit)
        self._follow()
        if failed or wanted.keys() - live.keys():
            LOG.error("a listener of the configuration was not handed over: this process does not answer there; restart it")

    def _follow(self) -> None:
        """Take in what the native threads know of the upstreams, and tell them which ones they may ask."""
        now_ms, upstreams = _now_ms(), self._driver.upstreams
        for number, rows, hedged in self._workers.heard():
            upstreams.take_native(number, rows, now_ms, hedged)
        self._workers.follow([(number, ip_address(to.host).packed, to.port) for number, to in upstreams.plain(now_ms)])

    def _check_loops(self, config: Config, sockets: Mapping[str, socket.socket]) -> None:
        keys = [key for key, _ in settings.door_keys(config) if key in sockets]
        open_keys = [key for key in keys if sockets[key].fileno() >= 0]
        settings.check_loops(config, [_endpoint(sockets[key]) for key in open_keys], _is_local)

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        self._tick_due_s = loop.time() + TICK_S
        self._tick_handle = loop.call_at(self._tick_due_s, self._tick)

    def _tick(self) -> None:
        """A few times a second: probes, deadlines of TCP clients, switches that run out, the loop's lag."""
        self._lag_worst_s = max(self._lag_worst_s, asyncio.get_running_loop().time() - self._tick_due_s)
        self._ticks += 1
        self._workers.tick()
        self._follow()
        self._driver.probe()
        self._collector.tick(self._driver.in_flight + len(self._connections))
        if self._ticks % SWEEP_TICKS == 0:
            self._sweep()
            for driver in [d for d in self._retired if not d.in_flight and not self._workers.uses(d)]:
                driver.close()
                self._retired.remove(driver)
            if self._change_at is not None and time.time() >= self._change_at:
                self._change_at = None
                task = asyncio.get_running_loop().create_task(self._switch_back(), name="switch-back")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        self._arm()

    def _sweep(self) -> None:
        """Close the TCP clients whose time is up, some a turn: thousands that came at once go at once."""
        if self._connections.sweep(_now_ms()) == CLOSED_A_SWEEP and self._state != "stopped":
            asyncio.get_running_loop().call_later(SWEEP_PAUSE_S, self._sweep)

    async def _switch_back(self) -> None:
        async with self._changing:
            await self._install(self._config, self._live)


def _killed(value: object) -> dict[ListName, Instant]:
    """The switches that control sent."""
    if not isinstance(value, dict) or not all(isinstance(until, int | float) for until in value.values()):
        raise Refused("shape", "switches: killed is {list: seconds since the epoch}")
    return {ListName(str(name)): Instant(float(until)) for name, until in value.items()}


def _endpoint(sock: socket.socket) -> Endpoint:
    host, port = sock.getsockname()[:2]
    return Endpoint(host, port)


def _is_local(host: str) -> bool:
    """Tell whether the machine has this address: only then a socket can be bound to it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.bind((host, 0))
    except OSError:
        return False
    return True


def _raise_file_limit() -> None:
    """Each query upstream has its own socket: take the files that the system lets us have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
