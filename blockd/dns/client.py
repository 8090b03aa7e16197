"""Moves queries to upstreams and what comes back: one UDP socket a query, and TCP connections that are used again.

No rule lives here. Who is asked, how often and for how long is `forward.py`'s; whether a packet is the answer is the caller's, who gets
every packet until it takes one.

UDP: each sending has a new connected socket, so the kernel chooses a random port and drops what other addresses send, and a random ID
(RFC 5452 §9). TCP: queries are pipelined (RFC 7766 §6.2.1.1), at most PIPELINE_MAX on a connection and CONNECTIONS_MAX to an upstream.
An upstream may close an idle connection at any time; a query that met such an end is sent once more on a new one (RFC 7766 §6.2.4).
"""

from __future__ import annotations

import asyncio
import errno
import secrets
import socket
from functools import partial
from typing import TYPE_CHECKING, Protocol, cast

from blockd.dns.stream import ANSWER_MAX_BYTES, Framer
from blockd.dns.upstreams import Way
from blockd.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blockd.config.schema import Endpoint, Upstream

PACKET_MAX_BYTES = 4096  # our OPT asks for 1232 at most
PACKETS_A_TICK = 8  # from one socket, before others have their turn
SOCKETS_MAX = 4096  # UDP sockets of one configuration
CONNECTIONS_MAX = 8  # to one upstream
PIPELINE_MAX = 64  # queries on one connection
CONNECT_S = 3.0
IDLE_S = 5.0

OUR_FAULTS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EAGAIN})
"""Errors that speak of this node, not of the upstream or the way to it."""


class Exchange(Protocol):
    """One sending: what to send and whom to tell."""

    def make(self, identity: int) -> bytes:
        """Make the query with this ID."""
        ...

    def packet(self, identity: int, packet: bytes) -> bool:
        """Take a packet. True: it ended the exchange; False: wait for another."""
        ...

    def failed(self, *, ours: bool) -> None:
        """Nothing will come. `ours`: for want of a socket here; else the network or the other side refused."""
        ...


class Client:
    """The ways to the upstreams of one configuration. `reached`: counts a limit by its name."""

    def __init__(self, loop: asyncio.AbstractEventLoop, configured: Sequence[Upstream], reached: Callable[[str], None]) -> None:
        self._loop = loop
        self._endpoints = [upstream.endpoint for upstream in configured]
        self._pools: dict[int, _Pool] = {}
        self._reached = reached
        self._datagrams: set[_Datagram] = set()

    def send(self, upstream: int, way: Way, exchange: Exchange, *, probe: bool = False) -> Callable[[], None]:
        """Send. Returns what ends the exchange early; calling it later does nothing. `exchange` is never called before this returns.

        `probe`: send whatever the limit of sockets says; there is one probe for an upstream.
        """
        if way is Way.TCP:
            pool = self._pools.get(upstream)
            if pool is None:
                pool = self._pools[upstream] = _Pool(self._loop, self._endpoints[upstream], self._reached)
            return pool.send(exchange)
        if len(self._datagrams) >= SOCKETS_MAX and not probe:
            self._reached("upstream_sockets")
            return _fail_soon(self._loop, exchange, ours=True)
        try:
            datagram = _Datagram(self._loop, self._endpoints[upstream], exchange, self._datagrams)
        except OSError as error:
            return _fail_soon(self._loop, exchange, ours=error.errno in OUR_FAULTS)
        return datagram.close

    def close(self) -> None:
        """Close every socket; no exchange is called any more."""
        for datagram in list(self._datagrams):
            datagram.close()
        for pool in self._pools.values():
            pool.close()


def _fail_soon(loop: asyncio.AbstractEventLoop, exchange: Exchange, *, ours: bool) -> Callable[[], None]:
    return loop.call_soon(partial(exchange.failed, ours=ours)).cancel


class _Datagram:
    """One query over UDP."""

    __slots__ = ("_all", "_exchange", "_identity", "_loop", "_socket")

    def __init__(self, loop: asyncio.AbstractEventLoop, endpoint: Endpoint, exchange: Exchange, everyone: set[_Datagram]) -> None:
        self._loop = loop
        self._exchange = exchange
        self._all = everyone
        self._identity = secrets.randbits(16)
        family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            self._socket.connect((endpoint.host, endpoint.port))
            self._socket.send(exchange.make(self._identity))
        except OSError:
            self._socket.close()
            raise
        everyone.add(self)
        loop.add_reader(self._socket.fileno(), self._readable)

    def _readable(self) -> None:
        for _ in range(PACKETS_A_TICK):
            try:
                packet = self._socket.recv(PACKET_MAX_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # an ICMP error: port or host unreachable
                self.close()
                self._exchange.failed(ours=False)
                return
            if self._exchange.packet(self._identity, packet):
                self.close()
            if self not in self._all:
                return

    def close(self) -> None:
        if self in self._all:
            self._all.remove(self)
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()


class _Query:
    """One query over TCP."""

    __slots__ = ("connection", "exchange", "identity", "resent")

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.connection: _Connection | None = None
        self.identity = 0
        self.resent = False

    def close(self) -> None:
        if self.connection is not None:
            self.connection.forget(self)


class _Pool:
    """The TCP connections to one upstream."""

    def __init__(self, loop: asyncio.AbstractEventLoop, endpoint: Endpoint, reached: Callable[[str], None]) -> None:
        self.loop = loop
        self.endpoint = endpoint
        self.connections: set[_Connection] = set()
        self._reached = reached

    def send(self, exchange: Exchange) -> Callable[[], None]:
        query = _Query(exchange)
        if not self.place(query):
            return _fail_soon(self.loop, exchange, ours=True)
        return query.close

    def place(self, query: _Query) -> bool:
        """Put the query on the least loaded connection that takes more. False: there is none, and no room for another."""
        free = [connection for connection in self.connections if connection.takes]
        connection = min(free, key=lambda c: len(c.waiting), default=None)
        if connection is None:
            if len(self.connections) >= CONNECTIONS_MAX:
                self._reached("upstream_sockets")
                return False
            connection = _Connection(self)
            self.connections.add(connection)
        connection.send(query)
        return True

    def close(self) -> None:
        for connection in list(self.connections):
            connection.close()


class _Connection(asyncio.Protocol):
    """One TCP connection with its queries under way, by ID."""

    def __init__(self, pool: _Pool) -> None:
        self.waiting: dict[int, _Query] = {}
        self.takes = True
        self._pool = pool
        self._framer = Framer(ANSWER_MAX_BYTES)
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []
        self._ours = False
        self._used = False  # an answer has come: the other side may have closed it since
        self._idle: asyncio.TimerHandle | None = None
        self._connecting = pool.loop.create_task(self._connect(), name="upstream-connect")

    async def _connect(self) -> None:
        endpoint = self._pool.endpoint
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._pool.loop.create_connection(lambda: self, endpoint.host, endpoint.port)
        except OSError as error:  # TimeoutError is one
            self._ours = error.errno in OUR_FAULTS
            self._end()

    def send(self, query: _Query) -> None:
        identity = secrets.randbits(16)
        while identity in self.waiting:
            identity = secrets.randbits(16)
        query.connection, query.identity = self, identity
        self.waiting[identity] = query
        self.takes = len(self.waiting) < PIPELINE_MAX
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        message = query.exchange.make(identity)
        framed = len(message).to_bytes(2, "big") + message  # one write a message (RFC 7766 §8)
        if self._transport is None:
            self._unsent.append(framed)
        else:
            self._transport.write(framed)

    def forget(self, query: _Query) -> None:
        """Expect no answer. The ID stays taken until the connection ends or the answer comes, so that none is mistaken for another's."""
        query.connection = None
        self._rest()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        for framed in self._unsent:
            self._transport.write(framed)
        self._unsent.clear()
        self._rest()

    def data_received(self, data: bytes) -> None:
        self._framer.feed(data)
        try:
            while (message := self._framer.take()) is not None:
                if not self._answer(message):
                    self.close()
                    return
        except Refused:
            self.close()

    def _answer(self, message: bytes) -> bool:
        """Hand a message to its query. False: the other side makes no sense."""
        query = self.waiting.pop(int.from_bytes(message[:2], "big"), None)
        if query is None:
            return False
        self._used = True
        self.takes = not self._ended
        if query.connection is not None:
            query.connection = None
            if not query.exchange.packet(query.identity, message):
                query.exchange.failed(ours=False)
        self._rest()
        return True

    def _rest(self) -> None:
        """Close in a while, unless somebody waits for an answer."""
        if self._idle is None and not any(query.connection is self for query in self.waiting.values()):
            self._idle = self._pool.loop.call_later(IDLE_S, self.close)

    @property
    def _ended(self) -> bool:
        return self not in self._pool.connections

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why it ended changes nothing
        self._end()

    def close(self) -> None:
        self._connecting.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._end()

    def _end(self) -> None:
        """Leave the pool; send what waits once more when this connection had served before, else say that it failed."""
        if self._ended:
            return
        self._pool.connections.discard(self)
        self.takes = False
        if self._idle is not None:
            self._idle.cancel()
        waiting = [query for query in self.waiting.values() if query.connection is self]
        self.waiting.clear()
        for query in waiting:
            query.connection = None
            if self._used and not query.resent:
                query.resent = True
                if self._pool.place(query):
                    continue
            _fail_soon(self._pool.loop, query.exchange, ours=self._ours)
