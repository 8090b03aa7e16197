"""The control role: the updater in a thread of its own, the line to the roles, the control socket, the admin listener, the ledger of counts.

The event loop never waits for a feed, a build or an fsync: whatever takes long runs in the updater's one thread, in order, one thing at a
time. When this process dies the resolver and the page go on; when it comes back, the updater finishes or forgets what it was about to do.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from blockd.admin import health
from blockd.admin.facts import Alarm, RoleFacts
from blockd.admin.server import AdminServer
from blockd.control import facts as facts_of
from blockd.control import logs, own_keys
from blockd.control.admin_socket import AdminSocket
from blockd.control.bus import Bus
from blockd.control.line_to_control import SOCKET
from blockd.control.pipeline import Workers
from blockd.control.schedule import Schedule
from blockd.control.service import Health
from blockd.control.updater import Updater
from blockd.counts.store import Ledger
from blockd.counts.windows import ListKind, Rules
from blockd.errors import BlockdError, Refused
from blockd.terms import Instant, ListName

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence

    from blockd.admin.facts import Facts
    from blockd.config.schema import Config
    from blockd.control.admin_socket import Caller
    from blockd.control.live import LiveGeneration
    from blockd.control.outcomes import Outcome
    from blockd.counts.slab import Slab
    from blockd.counts.tallies import Totals

LOG = logging.getLogger("blockd.control")

TICK_S = 1.0
BUG = 70  # EX_SOFTWARE of sysexits.h: our own fault
COLLECT_EVERY_S = 10.0
TELL_S = 60.0
REASON_MAX_CHARS = 1000
KILL_MAX_S = 30 * 86400.0

T = TypeVar("T")


class Control:
    """Hosted by control/role.py like any other service."""

    def __init__(self) -> None:
        self._bus = Bus()
        self._work = ThreadPoolExecutor(1, thread_name_prefix="updater")
        self._tasks: list[asyncio.Task[None]] = []
        self._counts_alarm: tuple[Alarm, ...] = ()
        self._key_faults: list[str] = []
        self._keys_looking = threading.Lock()  # one look at a time: an older one must not overwrite what a newer one found
        self._working = False

    async def start(self, config: Config, sockets: Mapping[str, socket.socket], slab: Slab, live: LiveGeneration | None) -> None:
        """Open what is on the disk, finish or forget what a crash left, listen, begin to look for updates."""
        del slab  # control answers nobody, so it counts nothing
        self._loop = asyncio.get_running_loop()
        self._config = config
        self._ledger = Ledger(config.state_dir, config.runtime_dir, _rules(config))
        await self._bus.start(config.runtime_dir / SOCKET, live.number if live else 0)
        if live:
            live.table.close()
        self._updater = Updater(config, workers=Workers(self._tell, self._in_use, self._ledger.expect))
        await self._in_thread(self._updater.recover)
        self._schedule = Schedule.of({feed.name: feed.every_s for feed in config.feeds})
        self._admin = AdminServer(self.facts, self._totals)
        await self._admin.listen(_admin_sockets(sockets))
        self._socket = AdminSocket(
            {
                "status": self._status,
                "update": self._update,
                "approve": partial(self._lever, "approve"),
                "hold": partial(self._lever, "hold"),
                "resume": partial(self._lever, "resume"),
                "rollback": partial(self._lever, "rollback"),
                "kill": self._kill,
            }
        )
        await self._socket.listen(config)
        self._tasks = [asyncio.create_task(self._run_schedule(), name="schedule"), asyncio.create_task(self._collect(), name="collect")]
        for task in self._tasks:
            task.add_done_callback(_end_on_bug)

    async def apply(self, live: LiveGeneration) -> None:
        """Control tells others; nobody tells it."""

    async def reload(self, config: Config, sockets: Mapping[str, socket.socket]) -> None:
        """Take a new configuration: lists, modes, feeds, listeners, people."""
        await self._socket.listen(config)
        await self._admin.listen(_admin_sockets(sockets))
        self._ledger.configure(_rules(config))
        await self._in_thread(partial(self._updater.reconfigure, config))
        self._config = config
        self._schedule = Schedule.of({feed.name: feed.every_s for feed in config.feeds}, self._schedule)

    async def drain(self, timeout_s: float) -> None:
        """Let the running step end, write the last counts, close."""
        del timeout_s  # an update run that was begun is ended: it is what a restart would have to finish
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._socket.stop()
        await self._admin.drain(1.0)
        await self._bus.stop()
        await self._in_thread(self._last)
        self._work.shutdown(wait=False)

    def _last(self) -> None:
        try:
            self._ledger.close(_now(), cells=self._updater.state().cells, lists=self._list_kinds())
        except BlockdError as error:
            LOG.warning("the last counts are not on the disk: %s", logs.where(error))
        self._updater.close()

    def health(self) -> Health:
        """Control is ready when it runs; what the gateway is, facts() tells."""
        return Health(ready=True, listen={"admin": self._admin.addresses()})

    async def request(self, verb: str, arguments: Mapping[str, object]) -> Mapping[str, object]:
        """Nobody asks control over its own line."""
        del arguments
        raise Refused("unknown", f"control has no verb {verb}")

    # What others call: in the updater's thread

    def _tell(self, number: int) -> list[str]:
        return asyncio.run_coroutine_threadsafe(self._bus.apply(number), self._loop).result(TELL_S)

    def _in_use(self) -> set[int]:
        return {peer.generation for peer in self._bus.peers()}

    # Looking for updates

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await self._loop.run_in_executor(self._work, work)

    async def _run_schedule(self) -> None:
        while True:
            for feed in self._schedule.due(_now()):
                names = [item.name for item in self._config.lists if item.name.partition("/")[0] == feed]
                outcomes = await self._try(partial(self._updater.update, names))
                self._ledger.forget_expected()
                good = outcomes is not None and all(outcome.ok or outcome.result.value in {"held", "change_cap"} for outcome in outcomes)
                self._schedule = self._schedule.after(feed, ok=good, now=_now(), dice=random.random())  # noqa: S311 -- jitter
            await self._try(self._updater.tick)
            await asyncio.sleep(TICK_S)

    async def _try(self, work: Callable[[], T]) -> T | None:
        """What fails here is tried again at the next turn; the gateway goes on with what it has."""
        try:
            return await self._in_thread(work)
        except (BlockdError, OSError) as error:
            LOG.error("an update run failed, the lists in force stay: %s", logs.where(error))
            return None

    # Counts

    def _list_kinds(self) -> list[ListKind]:
        return [ListKind(f.name, f.entries, f.secret, f.category) for f in self._updater.state().lists if f.category and f.version]

    def _totals(self) -> Totals:
        state = self._updater.state()
        return self._ledger.collect(_now(), cells=state.cells, lists=self._list_kinds(), reported=facts_of.reported(self.facts()))

    async def _collect(self) -> None:
        while True:
            await asyncio.to_thread(self._look_at_keys)
            try:
                await asyncio.to_thread(self._totals)
                self._counts_alarm = ()
            except BlockdError as error:
                self._counts_alarm = (Alarm("counts", str(error)),)
            await asyncio.sleep(COLLECT_EVERY_S)

    def _look_at_keys(self) -> None:
        with self._keys_looking:
            found = list(own_keys.faults(self._config.state_dir))
            for line in found:
                if line not in self._key_faults:
                    LOG.error("%s", line)
            self._key_faults = found

    # What is shown

    def facts(self) -> Facts:
        """For the admin listener and status. Cheap."""
        own = RoleFacts("control", os.getpid(), "ready")
        damaged = [Alarm("counts", text) for text in self._ledger.alarms] + [Alarm("keys", text) for text in self._key_faults]
        peers = self._bus.peers()
        return facts_of.facts(self._config, self._updater.state(), peers, own, self._admin.addresses(), (*self._counts_alarm, *damaged))

    async def _status(self, caller: Caller, message: Mapping[str, Any]) -> dict[str, Any]:
        del caller, message
        return health.status(self.facts())

    # Levers

    async def _update(self, caller: Caller, message: Mapping[str, Any]) -> dict[str, Any]:
        del caller
        names = [self._list(name) for name in message.get("lists") or [] if isinstance(name, str)]
        outcomes = await self._in_thread(partial(self._updater.update, names or None))
        self._ledger.forget_expected()  # what went live is known as loaded by now, the rest did not
        return _answer(outcomes)

    async def _lever(self, verb: str, caller: Caller, message: Mapping[str, Any]) -> dict[str, Any]:
        name, reason = self._list(message.get("list")), _reason(message)
        lever = getattr(self._updater, verb)
        return _answer([await self._in_thread(partial(lever, name, caller.name, reason))])

    async def _kill(self, caller: Caller, message: Mapping[str, Any]) -> dict[str, Any]:
        name, reason = self._list(message.get("list")), _reason(message)
        seconds = message.get("seconds")
        if not isinstance(seconds, int | float) or not 1 <= seconds <= KILL_MAX_S:
            raise Refused("usage", "a kill switch ends by itself: say for how long, --for 2h, at most 30d")
        until = Instant(_now() + seconds)
        return _answer([await self._in_thread(partial(self._updater.kill, name, until, caller.name, reason))])

    def _list(self, name: object) -> ListName:
        for item in self._config.lists:
            if item.name == name:
                return item.name
        known = ", ".join(str(item.name) for item in self._config.lists) or "none"
        raise Refused("usage", f"there is no such list in the configuration; there are: {known}")


def _end_on_bug(task: asyncio.Task[None]) -> None:
    """Without its schedule control would look alive and do nothing: it ends, and is started again."""
    if not task.cancelled() and task.exception():
        LOG.critical("control ends, a part of it failed: %s", logs.where(task.exception()))
        os._exit(BUG)


def _answer(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {"outcomes": [{**outcome.json(), "ok": outcome.ok} for outcome in outcomes]}


def _reason(message: Mapping[str, Any]) -> str:
    reason = message.get("reason")
    if not isinstance(reason, str) or not reason.strip():
        raise Refused("usage", "say why: --reason TEXT (it stays on this node; the record holds a commitment to it)")
    if len(reason) > REASON_MAX_CHARS:
        raise Refused("usage", f"the reason has more than {REASON_MAX_CHARS} characters")
    return reason


def _rules(config: Config) -> Rules:
    return Rules(config.counts.window_s, config.counts.threshold)


def _admin_sockets(sockets: Mapping[str, socket.socket]) -> dict[str, socket.socket]:
    return {key: sock for key, sock in sockets.items() if key.startswith("admin ")}


def _now() -> Instant:
    return Instant(time.time())
