"""JSON lines over a stream: what the control socket, the roles' socket and the supervisor's channels speak.

One object a line, at most :data:`LINE_MAX_BYTES`. Both ends are blockd; a line that is too long or no object is :class:`Refused` and ends the
conversation.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from blockd.errors import Refused

if TYPE_CHECKING:
    import asyncio

LINE_MAX_BYTES = 8 << 20  # a status with many lists and rejected rows


def encode(message: dict[str, Any]) -> bytes:
    """The line of an object."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """The object of a line. Raises Refused("shape")."""
    try:
        message = json.loads(line)
    except ValueError:
        raise Refused("shape", "the other side did not speak JSON") from None
    if not isinstance(message, dict):
        raise Refused("shape", "the other side did not send an object")
    return message


async def receive(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    """The next object; None when the other side has closed. Raises Refused("shape")."""
    try:
        line = await reader.readline()
    except ValueError:
        raise Refused("shape", "the other side sent a line over the limit") from None
    except ConnectionError:
        return None
    return decode(line) if line.endswith(b"\n") else None


async def send(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    """Send one object and wait until it is on its way. ConnectionError when the other side is gone."""
    writer.write(encode(message))
    await writer.drain()
