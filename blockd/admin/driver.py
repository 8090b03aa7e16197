"""An HTTP/1.1 server that says nothing about its clients: aiohttp with its leaks closed. The admin listener and the stop page use it.

aiohttp by itself writes the client's address and the raw request into its error log, quotes the request in its 400 answers, leaves a
client that has shut down its sending side without an answer, and waits long for a head that never ends. Here:

- one request a connection; every answer says ``Connection: close``, so there is nothing to smuggle a second request into;
- a connection has a lifetime (:class:`Limits`), whatever it does in it; the total and each client's share are capped. A client is an
  IPv4 address or an IPv6 /64, held in memory while it is connected and nowhere else;
- what cannot be parsed gets the fixed answer of :attr:`Door.refusal`, which quotes nothing; nothing is logged about it;
- an answer that our own code fails to make is logged by the exception's type alone;
- bodies are not read: what arrives within :data:`LINGER_S` of the answer is thrown away, so that closing does not tear the answer off.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from aiohttp import web

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Mapping

LINGER_S: Final = 1.0
HALF_CLOSED_S: Final = 1.0
LINE_MAX_BYTES: Final = 8190
FIELDS_MAX: Final = 64
READ_BUFFER_BYTES: Final = 16 << 10
BACKLOG: Final = 1024

_log = logging.getLogger("blockd.http")

_silent = logging.Logger("blockd.http.aiohttp")  # noqa: LOG001 - not in the tree of loggers: no configuration can wake it
_silent.disabled = True


@dataclass(frozen=True, slots=True)
class Limits:
    """Connections at once, in all and from one client, and how long one may last in seconds."""

    total: int
    per_client: int
    lifetime_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `headers` beside Content-Length, Date and Connection."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""


def client_of(peername: object) -> bytes:
    """What one client is for the cap: an IPv4 address, an IPv6 /64 (a host has all of it). Empty when there is none (a Unix socket)."""
    if not isinstance(peername, tuple) or not peername:
        return b""
    try:
        packed = ipaddress.ip_address(str(peername[0]).partition("%")[0])
    except ValueError:
        return b""
    if isinstance(packed, ipaddress.IPv6Address):
        return packed.ipv4_mapped.packed if packed.ipv4_mapped else packed.packed[:8]
    return packed.packed


class Door:
    """Listening sockets and the connections made through them.

    `answer` gets aiohttp's request; it must not log or keep it. `refusal` is the answer to what is no HTTP request (called with 400)
    and to our own fault (500). `limit_reached` is called when a connection was turned away.
    """

    def __init__(
        self,
        name: str,
        answer: Callable[[web.BaseRequest], Awaitable[Answer]],
        *,
        refusal: Callable[[int], Answer],
        limits: Limits,
        limit_reached: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.refusal = refusal
        self.limits = limits
        self._answer = answer
        self._limit_reached = limit_reached
        self._clients: Counter[bytes] = Counter()
        self._server: _Server | None = None
        self._listening: dict[str, asyncio.Server] = {}

    async def listen(self, sockets: Mapping[str, socket.socket]) -> None:
        """Accept on exactly these bound sockets, by key: those that are new are taken, those that left are closed.

        A socket that was taken is the door's: only the door closes it.
        """
        loop = asyncio.get_running_loop()
        if self._server is None:
            self._server = _Server(self._handle, self)
        for key in self._listening.keys() - sockets.keys():
            self._listening.pop(key).close()
        for key, sock in sockets.items():
            if key not in self._listening:
                self._listening[key] = await loop.create_server(self._server, sock=sock, backlog=BACKLOG)

    def addresses(self) -> list[str]:
        """The real addresses that are listened on."""
        names = (sock.getsockname() for server in self._listening.values() for sock in server.sockets)
        return [f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}" for name in names]

    @property
    def connections(self) -> int:
        """Connections that are open."""
        return self._clients.total()

    async def drain(self, timeout_s: float) -> None:
        """Stop accepting, finish what is being answered, close the rest after `timeout_s`."""
        for server in self._listening.values():
            server.close()
        self._listening.clear()
        if self._server is not None:
            await self._server.shutdown(timeout_s)

    def admit(self, client: bytes) -> bool:
        """Whether one more connection of that client is taken. If so it must be :meth:`leave`-d."""
        if self._clients.total() >= self.limits.total or self._clients[client] >= self.limits.per_client:
            self._limit_reached()
            return False
        self._clients[client] += 1
        return True

    def leave(self, client: bytes) -> None:
        """An admitted connection has ended."""
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        return _response(await self._answer(request))


def _response(answer: Answer) -> web.Response:
    response = web.Response(status=answer.status, headers=[*answer.headers, ("Server", "blockd")], body=answer.body)
    if not any(name.lower() == "content-type" for name, _ in answer.headers):
        response.headers.pop("Content-Type", None)  # aiohttp gives every answer one
    response.force_close()
    return response


class _Server(web.Server):
    """aiohttp's server, with our protocol."""

    def __init__(self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], door: Door) -> None:
        super().__init__(handler)
        self._door = door
        self._running = asyncio.get_running_loop()

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, self._door, self._running)


class _Connection(web.RequestHandler):
    """One connection."""

    __slots__ = ("_asked", "_client", "_door", "_end", "_seconds")

    def __init__(self, server: web.Server, door: Door, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            logger=_silent,
            access_log=cast("Any", None),
            keepalive_timeout=door.limits.lifetime_s,
            lingering_time=LINGER_S,
            max_line_size=LINE_MAX_BYTES,
            max_field_size=LINE_MAX_BYTES,
            max_headers=FIELDS_MAX,
            read_bufsize=READ_BUFFER_BYTES,
            auto_decompress=False,
        )
        self._door = door
        self._client: bytes | None = None
        self._asked = False
        self._seconds = loop
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        client = client_of(transport.get_extra_info("peername"))
        if not self._door.admit(client):
            cast("asyncio.Transport", transport).abort()
            return
        self._client = client
        self._end = self._seconds.call_later(self._door.limits.lifetime_s, cast("asyncio.Transport", transport).abort)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._client is None:  # it was turned away
            return
        self._door.leave(self._client)
        self._client = None
        if self._end is not None:
            self._end.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._client is not None:
            self._asked = True
            super().data_received(data)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep our side open: the client has said all, and waits for the answer (RFC 9293 §3.6.1)."""
        if self._client is None or self.transport is None or not self._asked:
            return False  # it only looked in
        if self._end is not None:
            self._end.cancel()
        self._end = self._seconds.call_later(HALF_CLOSED_S, self.transport.abort)
        return True

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The fixed answer, and no word about who asked what."""
        del message
        if request.writer.output_size > 0:
            raise ConnectionError("the answer was begun already")
        if status >= 500:
            _log.error("%s: an answer failed with %s: this is a bug in blockd, report it", self._door.name, type(exc).__name__)
        return _response(self._door.refusal(status))
