"""The TCP door (RFC 7766, RFC 9210): moves what `stream.py` decides.

Pipelined queries are answered as their answers come, one write a message. What is read is handed on in portions of MESSAGES_A_TICK, so
that one client's burst does not hold the loop. A client's address is used to look it up in the access list and to count its
connections, in memory, while they last; it is kept nowhere else.

Limits: CONNECTIONS_MAX for all doors together (a new client then takes the place of the longest idle one, RFC 7766 §6.2.3, and is
refused when none is idle), CLIENT_CONNECTIONS_MAX for one client (an IPv4 address, an IPv6 /56: what one subscriber is given), and those of `stream.py`.
"""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address
from itertools import islice
from typing import TYPE_CHECKING, cast

from blockd.dns.stream import Conversation
from blockd.native._dns import Ask
from blockd.terms import Transport

if TYPE_CHECKING:
    from collections.abc import Callable

    from blockd.dns.driver import Driver
    from blockd.native._dns import Acl

CONNECTIONS_MAX = 4096
CLIENT_CONNECTIONS_MAX = 64
MESSAGES_A_TICK = 32
CLOSED_A_SWEEP = 64  # connections whose time is up, before others have their turn
WRITE_BUFFER_BYTES = 64 << 10  # unsent answers of one connection, beyond which it is not read
BACKLOG = 1024  # connections that the kernel holds for us
IPV6_CLIENT_OCTETS = 7  # a household is given a /56 (RFC 6177 §2), and could fill all with /64s of it
IPV4_OCTETS = 4
READ_BYTES = 8 << 10  # at once, so that a client that floods costs no more memory than this
UNSENT_MAX_BYTES = 1 << 20  # of one connection; beyond, the client is dropped

_SCRATCH = memoryview(bytearray(READ_BYTES))


class Connections:
    """All TCP connections of one worker. `reached`: counts a limit by its name."""

    def __init__(self, reached: Callable[[str], None], total_max: int = CONNECTIONS_MAX, client_max: int = CLIENT_CONNECTIONS_MAX) -> None:
        self._reached = reached
        self._total_max = total_max
        self._client_max = client_max
        self._by_client: dict[bytes, int] = {}
        self._open: dict[TcpConnection, bytes] = {}  # the longest untouched first

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    def admit(self, connection: TcpConnection, packed: bytes) -> bool:
        """Take a new connection; False: it must be closed."""
        client = packed[:IPV6_CLIENT_OCTETS] if len(packed) > IPV4_OCTETS else packed
        if self._by_client.get(client, 0) >= self._client_max:
            self._reached("tcp_connections_per_client")
            return False
        if len(self._open) >= self._total_max:
            self._reached("tcp_connections")
            idle = next((c for c in self._open if not c.conversation.in_flight), None)
            if idle is None:
                return False
            idle.abort()
        self._by_client[client] = self._by_client.get(client, 0) + 1
        self._open[connection] = client
        return True

    def touch(self, connection: TcpConnection) -> None:
        """It has said something."""
        client = self._open.pop(connection, None)
        if client is not None:
            self._open[connection] = client

    def leave(self, connection: TcpConnection) -> None:
        """It is closed."""
        client = self._open.pop(connection, None)
        if client is None:
            return
        self._by_client[client] -= 1
        if not self._by_client[client]:
            del self._by_client[client]

    def sweep(self, now_ms: int) -> int:
        """Close those whose time is up, CLOSED_A_SWEEP of them at most; how many. Called about once a second, and again when it was that many."""
        expired = list(islice((c for c in self._open if c.conversation.expired(now_ms)), CLOSED_A_SWEEP))
        for connection in expired:
            connection.abort()
        return len(expired)

    def hurry(self, idle_ms: int) -> None:
        """Close idle ones after this time from now on: the worker is to stop."""
        for connection in self._open:
            connection.conversation.idle_ms = idle_ms

    def abort(self) -> None:
        """Close all at once."""
        for connection in list(self._open):
            connection.abort()

    def reached(self, limit: str) -> None:
        """Count a limit."""
        self._reached(limit)


class TcpDoor:
    """One bound TCP socket."""

    def __init__(self, sock: socket.socket, driver: Driver, acl: Acl, connections: Connections) -> None:
        self.socket = sock
        self.driver = driver
        self.acl = acl
        self.connections = connections
        self.family = 6 if sock.family == socket.AF_INET6 else 4
        self._server: asyncio.Server | None = None
        sock.setblocking(False)

    async def open(self) -> None:
        """Begin to accept."""
        self.socket.listen(BACKLOG)
        self._server = await self.driver.loop.create_server(lambda: TcpConnection(self), sock=self.socket, backlog=BACKLOG)

    def change(self, driver: Driver, acl: Acl) -> None:
        """Answer from this driver and for these clients from now on; open connections stay."""
        self.driver, self.acl = driver, acl

    def stop(self) -> None:
        """Accept no more. Open connections go on; the socket is closed."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def close(self) -> None:
        """The same, for good."""
        self.stop()
        self.socket.close()


class TcpConnection(asyncio.BufferedProtocol):
    """One client."""

    def __init__(self, door: TcpDoor) -> None:
        self._door = door
        self.conversation = Conversation(door.driver.now_ms())
        self._transport: asyncio.Transport | None = None
        self._allowed = False
        self._paused = False
        self._pumping = False
        self._was_full = False
        self._said_end = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Look at who it is, once."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        packed = _packed(peer[0]) if peer else None
        if packed is None or not self._door.connections.admit(self, packed):
            self._transport.abort()
            return
        self._allowed = self._door.acl.allows(packed)
        self._transport.set_write_buffer_limits(WRITE_BUFFER_BYTES)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the limit is ours
        """Lend the buffer of all connections: what is read is taken before the next is."""
        return _SCRATCH

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read."""
        self.conversation.receive(bytes(_SCRATCH[:nbytes]), self._door.driver.now_ms())
        self._door.connections.touch(self)
        if self.conversation.broken and self.conversation.expired(self._door.driver.now_ms()):
            self.abort()
        else:
            self._pump()

    def eof_received(self) -> bool:
        """The client has closed its side: what it asked is still answered (RFC 7766 §6.2.4 has clients that do so)."""
        self.conversation.end()
        self._pump()
        return not self._said_end  # False: both sides have closed

    def pause_writing(self) -> None:
        """The client does not take its answers: read no more of it."""
        self.conversation.stuck(self._door.driver.now_ms())
        self._balance()

    def resume_writing(self) -> None:
        """It takes them again."""
        self.conversation.flowing(self._door.driver.now_ms())
        self._pump()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why it ended changes nothing
        """Forget it."""
        self._transport = None
        self._door.connections.leave(self)

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()
            self._door.connections.leave(self)

    def _pump(self) -> None:
        """Hand on what has come, up to a portion."""
        if self._pumping:
            return  # a portion is waiting for its turn, or this is inside one
        self._pumping = True
        conversation, driver = self.conversation, self._door.driver
        more = True
        for _ in range(MESSAGES_A_TICK):
            message = conversation.take(driver.now_ms())
            if message is None:
                more = False
                self._count_full()
                break
            self._handle(message)
        if more and self._transport is not None:
            driver.loop.call_soon(self._pump_again)
        else:
            self._pumping = False
        self._balance()

    def _count_full(self) -> None:
        """Count the limit each time that the client runs into it."""
        full = self.conversation.full
        if full and not self._was_full:
            self._door.connections.reached("tcp_queries")
        self._was_full = full

    def _pump_again(self) -> None:
        self._pumping = False
        self._pump()

    def _handle(self, message: bytes) -> None:
        driver, family = self._door.driver, self._door.family
        now = driver.now_ms()
        if not self._allowed:
            self._deliver(driver.core.prohibit(message, Transport.TCP, family, now))
            self.conversation.refuse()
            return
        answer = driver.core.handle(message, Transport.TCP, family, now)
        if isinstance(answer, Ask):
            driver.submit(answer, self._deliver_later, driver.epoch)
        else:
            self._deliver(answer)

    def _deliver_later(self, answer: bytes | None) -> None:
        self._deliver(answer)
        self._pump()

    def _deliver(self, answer: bytes | None) -> None:
        self.conversation.answered(self._door.driver.now_ms())
        transport = self._transport
        if answer is None or transport is None or transport.is_closing():
            return
        transport.write(len(answer).to_bytes(2, "big") + answer)  # one write a message (RFC 7766 §8)
        if transport.get_write_buffer_size() > UNSENT_MAX_BYTES:
            self.abort()

    def _balance(self) -> None:
        """Read or not, close or not, as the conversation says."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self.conversation.finished and not self._pumping and not self._said_end:
            self._said_end = True
            if self.conversation.ended:
                transport.close()  # sends what is buffered first
                return
            transport.write_eof()
        wanted = self.conversation.reads and not self._pumping
        if wanted and self._paused:
            self._paused = False
            transport.resume_reading()
        elif not wanted and not self._paused and not self.conversation.ended:
            self._paused = True
            transport.pause_reading()


def _packed(host: str) -> bytes | None:
    try:
        return ip_address(host.partition("%")[0]).packed
    except ValueError:
        return None
