"""Moves queries to upstreams and what comes back: one UDP socket a query, and streams that are used again (`tcp/client.py`).

No rule lives here. Who is asked, how often and for how long is `forward.py`'s; whether a packet is the answer is the caller's, who gets
every packet until it takes one.

UDP: each sending has a new connected socket, so the kernel chooses a random port and drops what other addresses send, and a random ID
(RFC 5452 §9). An upstream of TLS has TLS alone: there is no other way to it.
"""

from __future__ import annotations

import secrets
import socket
from functools import partial
from typing import TYPE_CHECKING

from blockd.dns import tls
from blockd.dns.tcp.client import OUR_FAULTS, Pool, fail_soon
from blockd.dns.upstreams import Broken, Way

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from blockd.config.schema import Endpoint, Upstream
    from blockd.dns.tcp.client import Exchange

PACKET_MAX_BYTES = 4096  # our OPT asks for 1232 at most
PACKETS_A_TICK = 8  # from one socket, before others have their turn
SOCKETS_MAX = 4096  # UDP sockets of one configuration


class Client:
    """The ways to the upstreams of one configuration.

    `reached`: counts a limit by its name; `authorities`: whom to believe about certificates, None: whom the system does; `trouble`: hears what is
    wrong with an upstream, in words.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        configured: Sequence[Upstream],
        reached: Callable[[str], None],
        authorities: Path | None = None,
        trouble: Callable[[int, str], None] | None = None,
    ) -> None:
        self._loop = loop
        self._configured = tuple(configured)
        self._pools: dict[int, Pool] = {}
        self._reached = reached
        self._authorities = authorities
        self._trouble = trouble
        self._datagrams: set[_Datagram] = set()

    def send(self, upstream: int, way: Way, exchange: Exchange, *, probe: bool = False) -> Callable[[], None]:
        """Send. Returns what ends the exchange early; calling it later does nothing. `exchange` is never called before this returns.

        `probe`: send whatever the limit of sockets says; there is one probe for an upstream.
        """
        if way is not Way.UDP:
            pool = self._pools.get(upstream) or self._pool(upstream, way)
            return fail_soon(self._loop, exchange, Broken.CERTIFICATE) if pool is None else pool.send(exchange)
        if len(self._datagrams) >= SOCKETS_MAX and not probe:
            self._reached("upstream_sockets")
            return fail_soon(self._loop, exchange, Broken.OURS)
        try:
            datagram = _Datagram(self._loop, self._configured[upstream].endpoint, exchange, self._datagrams)
        except OSError as error:
            return fail_soon(self._loop, exchange, Broken.OURS if error.errno in OUR_FAULTS else Broken.NETWORK)
        return datagram.close

    def _pool(self, upstream: int, way: Way) -> Pool | None:
        """Make the pool to an upstream. None: its server could not be verified, since the authorities can't be read; the next query tries again."""
        trouble = None if self._trouble is None else partial(self._trouble, upstream)
        context = None
        if way is Way.TLS:
            try:
                context = tls.context(self._authorities)
            except OSError:
                if trouble is not None:
                    trouble("dns.upstream_ca cannot be read, or holds no certificate: nothing is sent to it; mend the file")
                return None
        pool = self._pools[upstream] = Pool(self._loop, self._configured[upstream], self._reached, context, trouble)
        return pool

    def close(self) -> None:
        """Close every socket; no exchange is called any more."""
        for datagram in list(self._datagrams):
            datagram.close()
        for pool in self._pools.values():
            pool.close()


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
                self._exchange.failed(Broken.NETWORK)
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
