"""Ask a live listener, as a client would: one DNS question over UDP or TCP, one HTTP request. For the demo and for selftest.

The bytes come from our own daemon on addresses that it reported, so they are parsed without the native walk; sizes and times
are bounded all the same.
"""

from __future__ import annotations

import http.client
import secrets
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blockd.dns import build
from blockd.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT_S = 3.0
BODY_MAX_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Page:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]  # lower-case names
    body: str


def ask(door: tuple[str, int], name: str, rdtype: str = "A", *, tcp: bool = False) -> build.Answer:
    """One question, asked again twice over UDP when nothing comes back. Raises Unavailable."""
    query = build.query(name, rdtype, secrets.randbelow(65536))
    try:
        return build.read(_over_tcp(door, query) if tcp else _over_udp(door, query))
    except OSError as error:
        raise Unavailable(f"no DNS answer from {door[0]} port {door[1]} over {'TCP' if tcp else 'UDP'}: {error}") from None


def _over_udp(door: tuple[str, int], query: bytes) -> bytes:
    with socket.socket(_family(door), socket.SOCK_DGRAM) as s:
        s.settimeout(TIMEOUT_S)
        s.connect(door)
        for _ in range(3):
            s.send(query)
            try:
                answer = s.recv(65535)
            except TimeoutError:
                continue
            if answer[:2] == query[:2]:
                return answer
    raise TimeoutError(f"nothing within {3 * TIMEOUT_S:.0f} s")


def _over_tcp(door: tuple[str, int], query: bytes) -> bytes:
    with socket.create_connection(door, timeout=TIMEOUT_S) as s:
        s.sendall(struct.pack("!H", len(query)) + query)
        (length,) = struct.unpack("!H", _exactly(s, 2))
        return _exactly(s, length)


def _exactly(s: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        more = s.recv(length - len(data))
        if not more:
            raise ConnectionResetError("the connection was closed before the answer was whole")
        data += more
    return data


def _family(door: tuple[str, int]) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in door[0] else socket.AF_INET


def http_get(door: tuple[str, int], path: str, headers: Mapping[str, str] | None = None) -> Page:
    """One GET. Raises Unavailable."""
    connection = http.client.HTTPConnection(door[0], door[1], timeout=TIMEOUT_S)
    try:
        connection.request("GET", path, headers=dict(headers or {}))
        response = connection.getresponse()
        body = response.read(BODY_MAX_BYTES).decode("utf-8", "replace")
        return Page(response.status, {k.lower(): v for k, v in response.getheaders()}, body)
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"no HTTP answer from {door[0]} port {door[1]}: {error}") from None
    finally:
        connection.close()
