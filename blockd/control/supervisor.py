"""``blockd run``: binds every socket, runs one process per role, starts the dead again, passes signals on.

It holds no policy and answers nobody, so that there is little in it that could fail. What it keeps:

- the listening sockets. A role that dies is started again on the same ones: queries wait in their buffers meanwhile;
- one private channel to each role (:mod:`blockd.control.channel`), over which a reload hands new sockets and each role says that it is alive.

SIGHUP: the configuration is read and checked here first; a bad one is refused with a line for each fault, and everything goes on as before. SIGTERM and
SIGINT: the roles drain, then it ends. A role that dies again and again is started with a growing pause, never given up.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import blockd
from blockd.config.load import load
from blockd.control import channel, hardening, logs, notify, preflight
from blockd.control.roles import CAPABILITIES, capabilities, roles_of
from blockd.control.sockets import addresses, bind_missing, orphans, spread, usable_cores, wanted
from blockd.errors import BlockdError, Misconfigured, Unavailable

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from blockd.config.schema import Config

LOG = logging.getLogger("blockd.supervisor")

PAUSE_FIRST_S = 0.2
PAUSE_MAX_S = 30.0
STEADY_S = 60.0  # a role that lived this long starts with the first pause again
DRAIN_S = 15.0
RELOAD_S = 15.0
ALIVE_MAX_S = 20.0  # without a sign of life the watchdog is not fed


@dataclass(slots=True)
class Child:
    """One role's process."""

    role: str
    process: asyncio.subprocess.Process
    end: socket.socket
    started: float
    alive: float
    ready: bool = False
    reloaded: asyncio.Future[str] | None = None


class Supervisor:
    """``await Supervisor(path, roles).run()``: the exit code. `roles`: one of them, or ``all``."""

    def __init__(self, path: Path, roles: str) -> None:
        self._path = path
        self._config: Config = load(path)
        self._asked = roles
        self._roles = roles_of(self._config, roles)
        self._sockets: dict[str, socket.socket] = {}
        self._threads = 1
        self._children: dict[str, Child] = {}
        self._stopping = asyncio.Event()
        self._announced = False

    async def run(self) -> int:
        """Until a signal. Raises BlockdError for what a person must mend before anything can start."""
        config = self._config
        hardening.no_dumps()
        hardening.raise_file_limit()
        hardening.prepare_folders((config.state_dir, config.runtime_dir), config.run.user)
        self._place = preflight.lock_roles(config.runtime_dir, self._roles)
        self._bind(config)
        hardening.drop_to(config.run.user, capabilities(self._roles))
        preflight.check_key(config.state_dir)
        if config.run.user:
            load(self._path)  # as the roles will: what root alone can read is one line now, not a role that dies again and again
        preflight.check_program(sys.executable)
        if "xdp" in self._roles:
            preflight.check_xdp(config.dns.xdp)
        LOG.info("blockd %s starts on %s", blockd.__version__, ", ".join(addresses(self._sockets)) or "no listener")
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(logs.loop_exception_handler)
        reload_asked = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, reload_asked.set)
        keepers = [asyncio.create_task(self._keep(role), name=f"keep {role}") for role in self._roles]
        reloader = asyncio.create_task(self._reload_when(reload_asked), name="reload")
        watchdog = asyncio.create_task(self._watchdog(), name="watchdog")
        parts = (reloader, watchdog, *keepers)
        for part in parts:
            part.add_done_callback(self._done)
        await self._stopping.wait()
        notify.notify("STOPPING=1")
        for task in (reloader, watchdog):
            task.cancel()
        await self._end(keepers)
        await asyncio.gather(*parts, return_exceptions=True)
        for part in parts:
            if not part.cancelled():
                part.result()  # raises what ended it
        return 0

    def _done(self, task: asyncio.Task[None]) -> None:
        """Without one of its tasks a supervisor would sit there and keep nothing, or hear no SIGHUP: it ends, and is started again."""
        if not task.cancelled() and task.exception():
            self._stopping.set()
            LOG.critical("blockd ends, a part of its supervisor failed (%s): %s", task.get_name(), logs.where(task.exception()))

    def _bind(self, config: Config) -> None:
        """Take over what the blockd before this one left with systemd, bind the rest, leave all of it there in turn."""
        left, self._threads = notify.kept(), config.dns.thread_count(usable_cores())
        self._close(left, orphans(left))
        listeners = wanted(config, self._roles, self._threads, left)
        self._close(left, left.keys() - {w.key for w in listeners})
        self._sockets = left | bind_missing(listeners, left)
        spread(self._sockets, self._threads)
        notify.keep(self._sockets)

    @staticmethod
    def _close(sockets: dict[str, socket.socket], keys: Iterable[str]) -> None:
        for key in list(keys):
            sockets.pop(key).close()
            notify.forget([key])

    async def _keep(self, role: str) -> None:
        """Run the role; again, whenever it ends."""
        pause = PAUSE_FIRST_S
        while not self._stopping.is_set():
            began = time.monotonic()
            how = await self._live(role)
            if self._stopping.is_set():
                return
            pause = PAUSE_FIRST_S if time.monotonic() - began > STEADY_S else min(pause * 2, PAUSE_MAX_S)
            LOG.error("role %s ended (%s): started again in %.1f s; the other roles go on", role, how, pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def _live(self, role: str) -> str:
        """One life of a role; how it ended. A machine without memory, descriptors or processes to spare is one that ended at once."""
        try:
            child = await self._spawn(role)
        except OSError as error:
            return f"it could not be started: {error.strerror}"
        code = await child.process.wait()
        self._forget(child)
        return f"signal {-code}" if code < 0 else f"exit {code}"

    async def _spawn(self, role: str) -> Child:
        ours, theirs = channel.pair()
        try:
            process = await self._start(role, theirs)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        now = time.monotonic()
        child = self._children[role] = Child(role, process, ours, now, now)
        asyncio.get_running_loop().add_reader(ours, self._hear, child)
        return child

    async def _start(self, role: str, theirs: socket.socket) -> asyncio.subprocess.Process:
        mine = {key: self._sockets[key] for key in self._keys(role)}
        environment = {
            **os.environ,
            "BLOCKD_SOCKETS": json.dumps({key: sock.fileno() for key, sock in mine.items()}),
            "BLOCKD_CHANNEL": str(theirs.fileno()),
            "BLOCKD_SUPERVISOR": str(os.getpid()),
        }
        environment.pop("NOTIFY_SOCKET", None)
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "blockd.control.role",
            role,
            str(self._path),
            pass_fds=[theirs.fileno(), *(sock.fileno() for sock in mine.values())],
            env=environment,
            preexec_fn=partial(hardening.pass_on, CAPABILITIES.get(role, frozenset()), capabilities(tuple(CAPABILITIES))),
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which drains them
        )

    def _forget(self, child: Child) -> None:
        asyncio.get_running_loop().remove_reader(child.end)
        child.end.close()
        if child.reloaded and not child.reloaded.done():
            child.reloaded.set_result("the role ended meanwhile and starts with the new configuration")
        if self._children.get(child.role) is child:
            del self._children[child.role]

    def _hear(self, child: Child) -> None:
        try:
            record = channel.receive(child.end)
        except (BlockingIOError, OSError):
            return
        if record is None:
            asyncio.get_running_loop().remove_reader(child.end)
            return
        message, _ = record
        child.alive = time.monotonic()
        if message["verb"] == "ready":
            child.ready = True
            self._announce()
        elif message["verb"] == "reloaded" and child.reloaded and not child.reloaded.done():
            child.reloaded.set_result(message["error"])

    def _announce(self) -> None:
        if not self._announced and all(role in self._children and self._children[role].ready for role in self._roles):
            self._announced = True
            LOG.info("ready: roles %s run", ", ".join(self._roles))
            notify.notify("READY=1", f"STATUS=roles {', '.join(self._roles)} run")

    async def _watchdog(self) -> None:
        """Feed systemd's watchdog while every role has shown a sign of life lately."""
        every = notify.watchdog_s()
        while every:
            await asyncio.sleep(every)
            now = time.monotonic()
            silent = [c.role for c in self._children.values() if now - c.alive > ALIVE_MAX_S]
            if silent:
                LOG.error("role %s gives no sign of life", ", ".join(silent))
                for role in silent:
                    self._children[role].process.kill()
            notify.notify("WATCHDOG=1")

    async def _reload_when(self, asked: asyncio.Event) -> None:
        while True:
            await asked.wait()
            asked.clear()
            notify.reloading()
            try:
                await self._reload()
            except Misconfigured as error:
                for fault in error.faults:
                    LOG.error("the new configuration is refused, the running one stays: %s", fault)
            except (BlockdError, OSError) as error:
                LOG.error("the new configuration is refused, the running one stays: %s", logs.where(error))
            notify.notify("READY=1")

    async def _reload(self) -> None:
        config = load(self._path)
        if (config.state_dir, config.runtime_dir, config.run) != (self._config.state_dir, self._config.runtime_dir, self._config.run):
            raise Misconfigured("state_dir, runtime_dir and [run] cannot change while blockd runs: restart it")
        if self._asked == "all" and (more := set(roles_of(config, "all")) - set(self._roles)):
            raise Misconfigured(f"it needs the role {', '.join(sorted(more))}, and a role starts only with blockd: restart it")
        threads = config.dns.thread_count(usable_cores())
        listeners = wanted(config, self._roles, threads, self._sockets)
        new = bind_missing(listeners, self._sockets)
        self._sockets |= new
        spread(self._sockets, min(threads, self._threads))  # a new socket of an old address gets nothing before the resolver has it
        notify.keep(new)
        self._config, self._threads = config, threads
        answers = [self._tell(child) for child in list(self._children.values())]
        failed = [(role, error) for role, error in await asyncio.gather(*answers) if error]
        for role, error in failed:
            LOG.error("role %s could not take the new configuration: %s", role, error)
        self._close(self._sockets, self._sockets.keys() - {w.key for w in listeners})
        if not failed:
            spread(self._sockets, threads)
        LOG.info("the configuration was read again")

    def _keys(self, role: str) -> list[str]:
        """The sockets of a role. A thread's socket that was there before stays, also when its thread is not wanted any more."""
        return [w.key for w in wanted(self._config, (role,), self._threads, self._sockets)]

    async def _tell(self, child: Child) -> tuple[str, str]:
        child.reloaded = asyncio.get_running_loop().create_future()
        keys = self._keys(child.role)
        try:
            channel.send_sockets(child.end, {"verb": "reload"}, {key: self._sockets[key] for key in keys})
            return child.role, await asyncio.wait_for(child.reloaded, RELOAD_S)
        except TimeoutError:
            return child.role, f"no answer within {RELOAD_S:.0f} s"
        except OSError as error:
            return child.role, str(error.strerror)

    async def _end(self, keepers: Sequence[asyncio.Task[None]]) -> None:
        """Let the roles drain: the resolver and the page first, control last, so that their last counts are taken in."""
        for group in ([r for r in self._roles if r != "control"], [r for r in self._roles if r == "control"]):
            children = [self._children[role] for role in group if role in self._children]
            for child in children:
                with contextlib.suppress(ProcessLookupError):
                    child.process.terminate()
            waits = [asyncio.create_task(child.process.wait()) for child in children]
            if not waits:
                continue
            _, late = await asyncio.wait(waits, timeout=DRAIN_S)
            if late:
                for child in children:
                    if child.process.returncode is None:
                        LOG.error("role %s did not drain within %.0f s and is killed", child.role, DRAIN_S)
                        child.process.kill()
                await asyncio.wait(late)
        for sock in self._sockets.values():
            sock.close()
        for keeper in keepers:
            keeper.cancel()


def run(path: Path, roles: str) -> int:
    """The daemon, in the foreground. Exit 2 for a bad configuration, 1 when it cannot start; one line each."""
    logs.set_up("supervisor")
    try:
        return asyncio.run(_run(path, roles))
    except Misconfigured as error:
        for fault in error.faults:
            LOG.error("%s", fault)
        return 2
    except (Unavailable, OSError) as error:
        LOG.error("%s", error)
        return 1


async def _run(path: Path, roles: str) -> int:
    return await Supervisor(path, roles).run()
