"""Control's end of the line to the roles: who is there, how they are, and which generation they answer from.

The other end is :mod:`blockd.control.line_to_control`. A role that connects says which generation it serves; when that is not the current one it is
told at once, so a role that was between two lives during an update does not stay behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from blockd.control import lines
from blockd.errors import BlockdError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LOG = logging.getLogger("blockd.control")

APPLY_S = 30.0
REQUEST_S = 10.0
ROLES_MAX = 64  # connections; a limit against a runaway, not a number of roles


@dataclass(slots=True)
class Peer:
    """One connected role."""

    role: str
    pid: int
    generation: int
    writer: asyncio.StreamWriter
    health: Mapping[str, Any] = field(default_factory=dict)
    applied: dict[int, asyncio.Future[str]] = field(default_factory=dict)
    answers: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)


class Bus:
    """The server behind ``runtime_dir/roles.sock``."""

    def __init__(self) -> None:
        self._peers: list[Peer] = []
        self._current = 0
        self._server: asyncio.Server | None = None
        self._numbers = itertools.count(1)

    async def start(self, path: Path, current: int) -> None:
        """Listen. `current`: the generation in force, 0 for none."""
        self._current = current
        path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, str(path), limit=lines.LINE_MAX_BYTES)
        path.chmod(0o600)

    async def stop(self) -> None:
        """Close every line. Roles go on without."""
        if self._server:
            self._server.close()
        for peer in self._peers:
            peer.writer.close()

    def peers(self) -> tuple[Peer, ...]:
        """Who is connected."""
        return tuple(self._peers)

    async def apply(self, number: int) -> list[str]:
        """Tell every connected role to serve `number`, and wait. Returns the roles that have not confirmed, with why."""
        self._current = number
        tellings = [self._tell(peer, number) for peer in self._peers]
        return [said for said in await asyncio.gather(*tellings) if said]

    async def _tell(self, peer: Peer, number: int) -> str:
        future = peer.applied.setdefault(number, asyncio.get_running_loop().create_future())
        try:
            await lines.send(peer.writer, {"verb": "apply", "generation": number})
            error = await asyncio.wait_for(asyncio.shield(future), APPLY_S)
        except TimeoutError:
            error = f"no answer within {APPLY_S:.0f} s"
        except ConnectionError:
            return ""  # it is gone, and reads the current generation when it comes back
        finally:
            peer.applied.pop(number, None)
        if not error:
            peer.generation = number
        return f"{peer.role}: {error}" if error else ""

    async def request(self, role: str, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the first connected role of that name. Raises Unavailable."""
        peer = next((p for p in self._peers if p.role == role), None)
        if peer is None:
            raise Unavailable(f"role {role} does not run")
        number = next(self._numbers)
        future = peer.answers[number] = asyncio.get_running_loop().create_future()
        try:
            await lines.send(peer.writer, {"verb": "request", "id": number, "name": name, "arguments": dict(arguments)})
            message = await asyncio.wait_for(future, REQUEST_S)
        except (TimeoutError, ConnectionError):
            raise Unavailable(f"role {role} did not answer within {REQUEST_S:.0f} s") from None
        finally:
            peer.answers.pop(number, None)
        if "error" in message:
            raise Unavailable(str(message["error"]))
        return dict(message["value"])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = None
        with contextlib.suppress(ConnectionError, BlockdError, KeyError, ValueError):
            hello = await lines.receive(reader)
            if hello is None or hello.get("verb") != "hello" or len(self._peers) >= ROLES_MAX:
                writer.close()
                return
            peer = Peer(str(hello["role"]), int(hello["pid"]), int(hello["generation"]), writer)
            self._peers.append(peer)
            behind = None
            if peer.generation != self._current and self._current:
                behind = asyncio.create_task(self._tell(peer, self._current), name=f"catch up {peer.role}")
            while (message := await lines.receive(reader)) is not None:
                self._hear(peer, message)
            if behind:
                behind.cancel()
        if peer:
            self._lose(peer)
        writer.close()

    def _hear(self, peer: Peer, message: dict[str, Any]) -> None:
        if message["verb"] == "health":
            peer.health = message
        elif message["verb"] == "applied":
            future = peer.applied.get(int(message["generation"]))
            if future and not future.done():
                future.set_result(str(message["error"]))
        elif message["verb"] == "answer":
            answer = peer.answers.get(int(message["id"]))
            if answer and not answer.done():
                answer.set_result(message)

    def _lose(self, peer: Peer) -> None:
        """A role's line closed. Who waits for it is told; it will read the current generation when it starts again."""
        self._peers.remove(peer)
        for future in peer.applied.values():
            if not future.done():
                future.set_exception(ConnectionResetError())
        for answer in peer.answers.values():
            if not answer.done():
                answer.set_exception(ConnectionResetError())
