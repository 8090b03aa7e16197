"""A role's process: ``python -m blockd.control.role resolver FILE``, started by the supervisor.

It hosts one :class:`~blockd.control.service.Service` and does for it what every role needs: privileges and dumps, the configuration, the counter slab, the
current generation (from the disk: control need not run), signals, the channel to the supervisor, the line to control.

A current generation that fails its check is not used: the newest older one that passes is, with an alarm, until control has built the current one again
and tells. Without any, the service decides (before_lists).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from blockd.audit.store import read_entries
from blockd.config.load import load
from blockd.control import channel, hardening, logs
from blockd.control.levers import Levers
from blockd.control.line_to_control import LineToControl
from blockd.counts.store import create_slab
from blockd.errors import BlockdError, Corrupt, Misconfigured
from blockd.table.store import load_key, open_current, open_live, table_digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from blockd.control.live import LiveGeneration
    from blockd.control.service import Service
    from blockd.counts.slab import Slab

LOG = logging.getLogger("blockd.role")

ALIVE_EVERY_S = 1.0
DRAIN_S = 10.0


def service_for(role: str) -> Service:
    """The service of a role. Imported here, so that a role loads only what it runs."""
    if role == "resolver":
        from blockd.dns.server import Resolver

        return Resolver()
    if role == "web":
        from blockd.stop_page.server import StopPage

        return StopPage()
    if role == "xdp":
        from blockd.control.xdp import Xdp

        return Xdp()
    if role == "control":
        from blockd.control.server import Control

        return Control()
    raise Misconfigured(f"there is no role {role}: roles are control, resolver, web, xdp")


class Role:
    """The runtime of one role."""

    def __init__(self, name: str, path: Path, sockets: Mapping[str, socket.socket], end: socket.socket) -> None:
        self._name = name
        self._path = path
        self._sockets = dict(sockets)
        self._handed: dict[str, socket.socket] = {}  # of a reload that is not whole yet
        self._end = end
        self._service = service_for(name)
        self._stopping = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        """Until SIGTERM or the supervisor's end."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(logs.loop_exception_handler)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: None)  # the supervisor's business
        config = load(self._path)
        self._start(self._alive())  # before the service: what control has to finish after a crash takes its time, and is no silence
        slab = create_slab(config.runtime_dir / "counts", self._name)
        live = newest_good(config.state_dir)
        await self._service.start(config, self._sockets, slab, live)
        loop.add_reader(self._end, self._hear)
        line = LineToControl(self._name, config, self._service, live.number if live else 0) if self._name != "control" else None
        if line:
            self._start(line.run())
        channel.send(self._end, {"verb": "ready"})
        await self._stopping.wait()
        await self._end_well(slab)
        return 0

    async def _end_well(self, slab: Slab) -> None:
        try:
            await asyncio.wait_for(self._service.drain(DRAIN_S), DRAIN_S + 2)
        except TimeoutError:
            LOG.error("not everything was answered within %.0f s of the order to stop", DRAIN_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        slab.close()

    def _start(self, work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            # Our own bug: this role dies by the book and is started again, the others go on.
            LOG.critical("this role ends: %s", logs.where(task.exception()))
            os._exit(70)

    async def _alive(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                channel.send(self._end, {"verb": "alive"})
            await asyncio.sleep(ALIVE_EVERY_S)

    def _hear(self) -> None:
        try:
            record = channel.receive(self._end)
        except (BlockingIOError, OSError):
            return
        if record is None:
            asyncio.get_running_loop().remove_reader(self._end)
            self._stopping.set()
            return
        message, sockets = record
        if message["verb"] == "reload":
            self._handed.update(zip(message["keys"], sockets, strict=True))
            if not message["more"]:
                handed, self._handed = self._handed, {}
                self._start(self._reload(handed))

    async def _reload(self, sockets: dict[str, socket.socket]) -> None:
        error = ""
        try:
            # A key that is there already is the same listener: the one at work stays, its copy is closed.
            wanted = {key: self._sockets.get(key, sock) for key, sock in sockets.items()}
            for key in sockets.keys() & self._sockets.keys():
                sockets[key].close()
            config = load(self._path)
            await self._service.reload(config, wanted)
            self._sockets = wanted
        except BlockdError as refused:
            error = str(refused).replace("\n", "; ")
        except (OSError, ValueError) as failed:
            error = logs.where(failed)
        with contextlib.suppress(OSError):
            channel.send(self._end, {"verb": "reloaded", "error": error})


def newest_good(state_dir: Path) -> LiveGeneration | None:
    """The current generation, or the newest other one that passes its check and that the audit record has; None when there is none.

    A generation that control has built and not recorded lies beside the others: it may not be answered from, whatever happened to the current one.
    """
    try:
        return open_current(state_dir)
    except (Corrupt, FileNotFoundError) as error:
        LOG.error("the current generation is not used (%s): the newest good one before it is", logs.where(error))
    try:
        key = load_key(state_dir)
        recorded = Levers.of(read_entries(state_dir / "audit")).digests
    except (Corrupt, OSError) as error:
        LOG.error("no older generation can be used: %s", logs.where(error))
        return None
    for number, digest in sorted(recorded.items(), reverse=True):
        folder = state_dir / "generations" / str(number)
        with contextlib.suppress(Corrupt, OSError):
            if table_digest(folder) == digest:
                return open_live(folder, key, verify=True)
    return None


def handed_sockets(environment: Mapping[str, str]) -> dict[str, socket.socket]:
    """The listening sockets that the supervisor passed."""
    sockets = {}
    for key, fd in json.loads(environment["BLOCKD_SOCKETS"]).items():
        sock = socket.socket(fileno=fd)
        sock.setblocking(False)
        os.set_inheritable(fd, False)
        sockets[key] = sock
    return sockets


def main(arguments: Sequence[str]) -> int:
    """The process. Exit 70 is our bug, 1 a fault that a line on standard error names."""
    name, path = arguments
    logs.set_up(name)
    hardening.no_dumps()
    try:
        hardening.end_with_parent(int(os.environ["BLOCKD_SUPERVISOR"]))
        end = socket.socket(fileno=int(os.environ["BLOCKD_CHANNEL"]))
        end.setblocking(False)
        sockets = handed_sockets(os.environ)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(Role(name, Path(path), sockets, end).run())
    except BlockdError as error:
        LOG.error("%s", logs.where(error))
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
