"""A role's line to control: says how the role is, hears which generation to serve. Control may come and go; the role does not wait for it.

Role to control: ``hello`` (name, pid), ``health`` each second, ``applied`` (generation, error), ``answer`` (id, value). Control to role: ``apply`` (generation),
``request`` (id, name, arguments).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from blockd.control import lines, logs
from blockd.errors import BlockdError
from blockd.table.store import load_key, open_live

if TYPE_CHECKING:
    from blockd.config.schema import Config
    from blockd.control.service import Service

LOG = logging.getLogger("blockd.role")

SOCKET = "roles.sock"
AGAIN_S = 0.5
HEALTH_EVERY_S = 1.0


class LineToControl:
    """``await LineToControl(...).run()``: for ever."""

    def __init__(self, role: str, config: Config, service: Service, generation: int) -> None:
        """`generation`: what the service serves now, 0 for none."""
        self._role = role
        self._config = config
        self._service = service
        self._generation = generation

    async def run(self) -> None:
        """Connect, talk, connect again."""
        while True:
            with contextlib.suppress(OSError, BlockdError):
                await self._talk()
            await asyncio.sleep(AGAIN_S)

    async def _talk(self) -> None:
        path = str(self._config.runtime_dir / SOCKET)
        reader, writer = await asyncio.open_unix_connection(path, limit=lines.LINE_MAX_BYTES)
        hello = {"verb": "hello", "role": self._role, "pid": os.getpid(), "generation": self._generation}
        telling = asyncio.create_task(self._tell(writer, hello), name="health")
        try:
            while (message := await lines.receive(reader)) is not None:
                answer = await self._answer(message)
                if answer["verb"] == "applied":  # who is told that it is applied finds the status of now
                    await lines.send(writer, {"verb": "health", **asdict(self._service.health())})
                await lines.send(writer, answer)
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
            writer.close()

    async def _tell(self, writer: asyncio.StreamWriter, hello: dict[str, Any]) -> None:
        await lines.send(writer, hello)
        while True:
            await lines.send(writer, {"verb": "health", **asdict(self._service.health())})
            await asyncio.sleep(HEALTH_EVERY_S)

    async def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        if message["verb"] == "apply":
            return {"verb": "applied", "generation": message["generation"], "error": await self._apply(int(message["generation"]))}
        try:
            value = await self._service.request(message["name"], message["arguments"])
        except BlockdError as error:
            return {"verb": "answer", "id": message["id"], "error": str(error)}
        return {"verb": "answer", "id": message["id"], "value": dict(value)}

    async def _apply(self, number: int) -> str:
        try:
            state = self._config.state_dir
            await self._service.apply(open_live(state / "generations" / str(number), load_key(state)))
        except (BlockdError, OSError, ValueError) as error:
            LOG.error("generation %d is not served, the one before stays: %s", number, logs.where(error))
            return logs.where(error)
        self._generation = number
        return ""
