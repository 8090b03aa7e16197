"""Streams to one upstream, TCP or TLS: a pool of connections that are used again.

Queries are pipelined (RFC 7766 §6.2.1.1; over TLS too, RFC 7858 §3.3), at most PIPELINE_MAX on a connection and CONNECTIONS_MAX to an upstream;
answers come in any order and find their query by its ID. An upstream may close an idle connection at any time; a query that met such an end is sent
once more on a new one (RFC 7766 §6.2.4). A connection on which nothing has come for STALL_S while something was asked is closed as soon as the
next query wants it: the other side may have gone without a word, and what is sent there then never arrives.

Over TLS nothing is sent before the server has proved its name (`tls.py`); when it does not, the query fails, and what is wrong is told.
"""

from __future__ import annotations

import asyncio
import errno
import secrets
import ssl
from functools import partial
from typing import TYPE_CHECKING, cast

from blockd.dns import tls
from blockd.dns.stream import ANSWER_MAX_BYTES, Framer
from blockd.dns.upstreams import Broken
from blockd.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from blockd.config.schema import Upstream

    class Exchange(Protocol):
        """One sending: what to send and whom to tell."""

        def make(self, identity: int) -> bytes:
            """Make the query with this ID."""
            ...

        def packet(self, identity: int, packet: bytes) -> bool:
            """Take a packet. True: it ended the exchange; False: wait for another."""
            ...

        def failed(self, why: Broken) -> None:
            """Nothing will come."""
            ...


CONNECTIONS_MAX = 8  # to one upstream
PIPELINE_MAX = 64  # queries on one connection
CONNECT_S = 3.0  # with the TLS handshake
IDLE_S = {"tcp": 5.0, "tls": 20.0}  # a TLS connection costs more to make
STALL_S = 2.0

OUR_FAULTS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EAGAIN})
"""Errors that speak of this node, not of the upstream or the way to it."""


def fail_soon(loop: asyncio.AbstractEventLoop, exchange: Exchange, why: Broken) -> Callable[[], None]:
    """Tell it in the loop's next turn; returns what prevents that."""
    return loop.call_soon(partial(exchange.failed, why)).cancel


class _Query:
    """One query on a stream."""

    __slots__ = ("connection", "exchange", "identity", "resent")

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.connection: _Connection | None = None
        self.identity = 0
        self.resent = False

    def close(self) -> None:
        if self.connection is not None:
            self.connection.forget(self)


class Pool:
    """The connections to one upstream. `context`: of TLS, None for plain TCP; `trouble`: what is wrong with TLS there, in words."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        upstream: Upstream,
        reached: Callable[[str], None],
        context: tls.UpstreamContext | None = None,
        trouble: Callable[[str], None] | None = None,
    ) -> None:
        self.loop = loop
        self.endpoint = upstream.endpoint
        self.server_name = upstream.server_name
        self.context = context
        self.idle_s = IDLE_S["tcp" if context is None else "tls"]
        self.connections: set[_Connection] = set()
        self._reached = reached
        self._trouble = trouble

    def send(self, exchange: Exchange) -> Callable[[], None]:
        """Send. Returns what ends the exchange early; calling it later does nothing. `exchange` is never called before this returns."""
        query = _Query(exchange)
        if not self.place(query):
            return fail_soon(self.loop, exchange, Broken.OURS)
        return query.close

    def place(self, query: _Query) -> bool:
        """Put the query on the least loaded connection that takes more. False: there is none, and no room for another."""
        for stalled in [connection for connection in self.connections if connection.stalled]:
            stalled.close()
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

    def tell(self, why: str) -> None:
        """Say what is wrong."""
        if self._trouble is not None:
            self._trouble(why)

    def close(self) -> None:
        """Close every connection; no exchange is called any more."""
        for connection in list(self.connections):
            connection.drop()


class _Connection(asyncio.Protocol):
    """One connection with its queries under way, by ID."""

    def __init__(self, pool: Pool) -> None:
        self.waiting: dict[int, _Query] = {}
        self.takes = True
        self._pool = pool
        self._framer = Framer(ANSWER_MAX_BYTES)
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []
        self._why = Broken.NETWORK
        self._used = False  # an answer has come: the other side may have closed it since
        self._asked_s: float | None = None  # when the first query was sent since something came
        self._idle: asyncio.TimerHandle | None = None
        self._connecting = pool.loop.create_task(self._connect(), name="upstream-connect")

    async def _connect(self) -> None:
        pool = self._pool
        host, port, name = pool.endpoint.host, pool.endpoint.port, pool.server_name or None
        try:
            async with asyncio.timeout(CONNECT_S):
                await pool.loop.create_connection(lambda: self, host, port, ssl=pool.context, server_hostname=name)
        except OSError as error:  # TimeoutError and ssl.SSLError are some
            self._broke(error)
            self._end()

    def _broke(self, error: Exception | None) -> None:
        """Find why there is no connection, or none any more."""
        if self._pool.context is not None and isinstance(error, ssl.SSLError | ConnectionResetError | ConnectionAbortedError):
            self._why, text = tls.what_broke(error, self._pool.server_name)
            self._pool.tell(text)
        elif isinstance(error, OSError) and error.errno in OUR_FAULTS:
            self._why = Broken.OURS

    @property
    def stalled(self) -> bool:
        """Tell whether nothing has come for too long, though something was asked."""
        return self._asked_s is not None and self._pool.loop.time() - self._asked_s >= STALL_S

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
        if self._pool.context is not None:
            message = tls.pad(message)
        framed = len(message).to_bytes(2, "big") + message  # one write a message (RFC 7766 §8)
        if self._transport is None:
            self._unsent.append(framed)
        else:
            self._transport.write(framed)
            self._ask()

    def _ask(self) -> None:
        if self._asked_s is None:
            self._asked_s = self._pool.loop.time()

    def forget(self, query: _Query) -> None:
        """Expect no answer. The ID stays taken until the connection ends or the answer comes, so that none is mistaken for another's."""
        query.connection = None
        self._rest()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._ended:
            self._transport.abort()
            return
        for framed in self._unsent:
            self._transport.write(framed)
        if self._unsent:
            self._ask()
        self._unsent.clear()
        self._rest()

    def data_received(self, data: bytes) -> None:
        self._asked_s = None
        self._framer.feed(data)
        try:
            while (message := self._framer.take()) is not None:
                if not self._answer(message):
                    self.close()
                    return
        except Refused:
            self.close()
            return
        if any(query.connection is self for query in self.waiting.values()):
            self._ask()

    def _answer(self, message: bytes) -> bool:
        """Hand a message to its query. False: the other side makes no sense."""
        query = self.waiting.pop(int.from_bytes(message[:2], "big"), None)
        if query is None:
            return False
        if not self._used:
            self._keep_session()
        self._used = True
        self.takes = not self._ended
        if query.connection is not None:
            query.connection = None
            if not query.exchange.packet(query.identity, message):
                query.exchange.failed(Broken.NETWORK)
        self._rest()
        return True

    def _keep_session(self) -> None:
        """Keep the session for the next connection: the ticket of TLS 1.3 has come before the first answer, or with it."""
        if self._pool.context is not None and self._transport is not None:
            self._pool.context.session = self._transport.get_extra_info("ssl_object").session

    def _rest(self) -> None:
        """Close in a while, unless somebody waits for an answer."""
        if self._idle is None and not self._ended and not any(query.connection is self for query in self.waiting.values()):
            self._idle = self._pool.loop.call_later(self._pool.idle_s, self.close)

    @property
    def _ended(self) -> bool:
        return self not in self._pool.connections

    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, ssl.SSLError):
            self._broke(exc)
        self._end()

    def close(self) -> None:
        """End it here; what waits is told."""
        self._connecting.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._end(again=not self.stalled)

    def drop(self) -> None:
        """End it and tell nobody."""
        self.waiting.clear()
        self.close()

    def _end(self, *, again: bool = True) -> None:
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
            if again and self._used and not query.resent:
                query.resent = True
                if self._pool.place(query):
                    continue
            fail_soon(self._pool.loop, query.exchange, self._why)
