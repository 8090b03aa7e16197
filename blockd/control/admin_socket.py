"""The control socket: one JSON line in, one out, and who asks is known by the kernel (SO_PEERCRED), not by what they say.

=========  =====================================================  ==================================================
role       may                                                    who
=========  =====================================================  ==================================================
viewer     status                                                 whoever can open the socket
operator   update, hold, resume, rollback, kill                   `[admin.roles] operator`, root, blockd's own user
approver   approve                                                `[admin.roles] approver`, root, blockd's own user
=========  =====================================================  ==================================================

A refusal is ``{"error": one line, "reason": word}``. The socket's file is 0660: its group decides who can open it.
"""

from __future__ import annotations

import asyncio
import contextlib
import grp
import logging
import os
import pwd
import socket
import struct
from typing import TYPE_CHECKING, Any, TypeAlias

from blockd.control import lines, logs
from blockd.errors import BlockdError, Misconfigured, Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from blockd.config.schema import Config

LOG = logging.getLogger("blockd.control")

CONNECTIONS_MAX = 32
CALLER_CONNECTIONS_MAX = 8  # of one user: nobody can keep the others, or root, from the levers
REQUEST_MAX_BYTES = 256 << 10  # a command names its lists; this is memory that anyone who can open the socket can take
BUSY_S = 1.0
IDLE_S = 60.0  # for a command to arrive, and for its answer to be taken
SUN_PATH_MAX_BYTES = 107  # unix(7)

OPERATOR = frozenset({"update", "hold", "resume", "rollback", "kill"})
APPROVER = frozenset({"approve"})


class Caller:
    """Who is at the other end of the socket."""

    def __init__(self, uid: int, gid: int) -> None:
        self.uid = uid
        try:
            account = pwd.getpwuid(uid)
            self.name = account.pw_name
            groups = {grp.getgrgid(g).gr_name for g in _groups(account.pw_name, gid)}
        except KeyError:
            self.name, groups = f"uid {uid}", set()
        self._known_as = groups | {self.name}

    def is_one_of(self, names: tuple[str, ...]) -> bool:
        """Root is everyone, and so is the daemon's own user: it could write all of the state anyway."""
        return self.uid in {0, os.geteuid()} or bool(self._known_as.intersection(names))


Verb: TypeAlias = "Callable[[Caller, Mapping[str, Any]], Awaitable[dict[str, Any]]]"


def _groups(name: str, gid: int) -> set[int]:
    return {gid} | {g.gr_gid for g in grp.getgrall() if name in g.gr_mem}


def peer(sock: socket.socket) -> Caller:
    """The caller of a connected Unix socket."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, gid = struct.unpack("3i", credentials)
    return Caller(uid, gid)


def path_of(config: Config) -> Path:
    """Where the socket is."""
    return config.admin.socket or config.runtime_dir / "admin.sock"


class AdminSocket:
    """Serves `verbs` by name."""

    def __init__(self, verbs: Mapping[str, Verb]) -> None:
        self._verbs = verbs
        self._server: asyncio.Server | None = None
        self._path: Path | None = None
        self._operators: tuple[str, ...] = ()
        self._approvers: tuple[str, ...] = ()
        self._turned_away = 0  # connections that are being told so
        self._open: dict[asyncio.StreamWriter, int] = {}  # and whose it is: uid

    async def listen(self, config: Config) -> None:
        """Listen, and again after a reload."""
        self._operators, self._approvers = config.admin.operators, config.admin.approvers
        path = path_of(config)
        if path == self._path:
            return
        if len(str(path).encode()) > SUN_PATH_MAX_BYTES:
            raise Misconfigured(
                f"[admin] socket: the path has more than {SUN_PATH_MAX_BYTES} octets, which the kernel does not take: choose a shorter one"
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            server = await asyncio.start_unix_server(self._serve, str(path), limit=REQUEST_MAX_BYTES)
            path.chmod(0o660)
        except OSError as error:
            raise Unavailable(f"the control socket {path} cannot be made: {error.strerror}") from None
        await self.stop()  # the old one, now that the new one is there
        self._server, self._path = server, path

    async def stop(self) -> None:
        """Close, and take the file away."""
        if self._server:
            self._server.close()
            self._server = None
        for writer in self._open:
            writer.close()
        if self._path:
            self._path.unlink(missing_ok=True)
            self._path = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        caller = peer(writer.get_extra_info("socket"))
        try:
            with contextlib.suppress(ConnectionError, TimeoutError):
                mine = sum(uid == caller.uid for uid in self._open.values())
                if mine >= CALLER_CONNECTIONS_MAX or (caller.uid != 0 and len(self._open) >= CONNECTIONS_MAX):
                    await self._turn_away(caller, reader, writer)
                    return
                self._open[writer] = caller.uid
                while (answer := await self._next(caller, reader)) is not None:
                    await asyncio.wait_for(lines.send(writer, answer), IDLE_S)
        finally:
            self._open.pop(writer, None)
            writer.close()

    async def _turn_away(self, caller: Caller, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        LOG.warning("the control socket has no room for another connection of %s", caller.name)
        if self._turned_away >= CONNECTIONS_MAX:
            return  # without a word
        self._turned_away += 1
        try:
            await lines.send(writer, {"error": "too many connections are open already: end one and try again", "reason": "busy"})
            with contextlib.suppress(Refused):
                await asyncio.wait_for(lines.receive(reader), BUSY_S)  # closed before it has spoken, the caller would not read the answer
        finally:
            self._turned_away -= 1

    async def _next(self, caller: Caller, reader: asyncio.StreamReader) -> dict[str, Any] | None:
        try:
            try:
                message = await asyncio.wait_for(lines.receive(reader), IDLE_S)
            except TimeoutError:
                return None
            return None if message is None else await self.answer(caller, message)
        except Refused as error:
            return {"error": str(error), "reason": error.reason}
        except BlockdError as error:
            return {"error": str(error), "reason": "unavailable"}
        except Exception as error:  # noqa: BLE001 -- our bug: the person gets a line, the log the place, and the daemon goes on
            LOG.error("a command failed: %s", logs.where(error))
            return {"error": "this command failed inside blockd; its log has the place: report it", "reason": "bug"}

    async def answer(self, caller: Caller, message: Mapping[str, Any]) -> dict[str, Any]:
        """One command. Raises Refused."""
        name = message.get("verb")
        verb = self._verbs.get(name) if isinstance(name, str) else None
        if verb is None:
            raise Refused("unknown", "the daemon does not know that command: is it of an older version than the command line?")
        if name in OPERATOR and not caller.is_one_of(self._operators):
            raise Refused("forbidden", f"{caller.name} is not an operator: [admin.roles] operator names who is")
        if name in APPROVER and not caller.is_one_of(self._approvers):
            raise Refused("forbidden", f"{caller.name} is not an approver: [admin.roles] approver names who is")
        return await verb(caller, message)
