"""The doors: octets from anybody, through the real TCP connection, the real UDP socket and the native core behind both.

The input is a stream as a TCP client would send it. Properties, for any octets:

- All at once, in pieces or octet by octet: the same answers in the same order, and the same end.
- The door adds and loses nothing: its answers are what the core says of each message that a plain reading of the stream finds.
- The same messages as datagrams get the core's answers for UDP, to the socket that sent them.
- An answer has the query's ID and QR set, fits its room, and dnspython reads it; silence is for what is no query.
- No message costs more than STALL_S.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import dns.message

from blockd.counts import layout
from blockd.counts.slab import Slab
from blockd.dns.stream import QUERY_MAX_BYTES
from blockd.dns.tcp.server import Connections, TcpConnection
from blockd.native._dns import Acl, Ask, Core, UdpWorker
from blockd.terms import Transport
from tests.fuzz.harness import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

NOW_MS = 1_000_000
STALL_S = 0.005
UDP_ROOM_MAX = 1232
MESSAGES_MAX = 200  # of one input over UDP: what a socket's buffer holds for certain
SERVFAIL = 2
ANSWERS_MAX_BYTES = 1 << 16

CORE = Core(cache_bytes=1 << 20, slab=Slab.in_memory().buffer, layout=layout.NATIVE)
CORE.configure(addresses4=(b"\xc0\0\2\1",), addresses6=(), ttl_s=30, udp_max=UDP_ROOM_MAX, not_ready=False)
PROBE, PROBED = b"\xfe\xed\x10\0" + bytes(8), b"\xfe\xed\x90\x84" + bytes(8)  # a STATUS query, and NOTIMP
ACL = Acl([(bytes(4), 0)])
QUERY = struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0) + b"\x01a\x07example\0\0\1\0\1"
OPT = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"
DICTIONARY = (
    b"\0\x1b" + QUERY, b"\0\x1b", OPT, b"\0\0", b"\xff\xff", b"\x10\0", b"\x10\1", b"\xc0\x0c", b"\0\1\0\1", b"\0\1\0\0\0\0\0\1", b"\x3f" + b"a" * 63,
    b"\x01a" * 64, b"\0\x0a\0\x08" + bytes(8), b"\0\x08\0\x07\0\1\x18\0\x7f\0\0", b"\0\x0f\0\2\0\0", b"\x01\0\0\2", b"\x28\0", b"\0\xfb", b"\0\xff", b"\x80",
)  # fmt: skip


class Loop:
    """`call_soon`, and a turn when it is asked for."""

    def __init__(self) -> None:
        self._ready: list[Callable[[], None]] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self._ready.append(callback)

    def turn(self) -> None:
        while self._ready:
            self._ready.pop(0)()


class Client:
    """The transport of one connection: what the door writes is kept."""

    def __init__(self) -> None:
        self.said = bytearray()
        self.closed = False
        self.ended = False
        self.paused = False

    def get_extra_info(self, _: str) -> tuple[str, int]:
        return ("127.0.0.1", 1)

    def set_write_buffer_limits(self, _: int) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def write_eof(self) -> None:
        """The door has said its last word, and waits for the client to close (a close at once would reset what is under way)."""
        self.ended = True

    def write(self, data: bytes) -> None:
        assert not self.closed, "written behind the end"
        assert not self.ended, "written behind the end"
        self.said += data

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        assert not self.paused
        self.paused = True

    def resume_reading(self) -> None:
        assert self.paused
        self.paused = False


def failing(ask: Ask) -> bytes:
    """The driver's part: nothing is forwarded here."""
    return CORE.failure(ask, SERVFAIL, -1, NOW_MS)


def over_tcp(data: bytes, cuts: Iterable[int]) -> tuple[bytes, bool]:
    """What a client reads that sends `data` in those pieces and waits; and whether the door closed the connection."""
    loop, client = Loop(), Client()
    driver = SimpleNamespace(
        core=CORE, loop=loop, now_ms=lambda: NOW_MS, epoch=0, submit=lambda ask, deliver, _epoch: deliver(failing(ask))
    )
    door = SimpleNamespace(driver=driver, acl=ACL, family=4, connections=Connections(lambda _: None))
    connection = TcpConnection(door)
    connection.connection_made(client)
    start = 0
    for end in (*(cut for cut in cuts if cut < len(data)), len(data)):
        while start < end and not client.closed:
            loop.turn()
            assert client.closed or not client.paused, "it reads no more, and nothing is under way"
            if client.closed:
                break
            room = connection.get_buffer(-1)
            piece = data[start : min(end, start + len(room))]
            room[: len(piece)] = piece
            connection.buffer_updated(len(piece))
            start += len(piece)
    loop.turn()
    closed = client.closed or client.ended
    if not client.closed:
        if not connection.eof_received() and not client.closed:
            client.close()  # what the event loop does then
        loop.turn()
        assert client.closed, "the client has closed its side, and is owed nothing"
    connection.connection_lost(None)
    assert not len(door.connections)
    return bytes(client.said), closed


def messages_of(data: bytes) -> tuple[list[bytes], bool]:
    """A plain reading of the stream: the messages, and whether it breaks."""
    found, at = [], 0
    while at + 2 <= len(data):
        length = int.from_bytes(data[at : at + 2], "big")
        if not 0 < length <= QUERY_MAX_BYTES:
            return found, True
        if at + 2 + length > len(data):
            break
        found.append(data[at + 2 : at + 2 + length])
        at += 2 + length
    return found, False


def core_says(message: bytes, transport: int) -> bytes | None:
    start = time.thread_time()
    said = CORE.handle(message, transport, 4, NOW_MS)
    took_s = time.thread_time() - start
    if took_s > STALL_S:
        took_s = min(took_s, *(cost(message, transport) for _ in range(3)))
        assert took_s <= STALL_S, f"one message holds the loop for {1000 * took_s:.1f} ms"
    return failing(said) if isinstance(said, Ask) else said


def cost(message: bytes, transport: int) -> float:
    start = time.thread_time()
    CORE.handle(message, transport, 4, NOW_MS)
    return time.thread_time() - start


def check(message: bytes, answer: bytes | None, room: int) -> int:
    """The rcode; -1 for silence."""
    if answer is None:
        assert len(message) < 12 or message[2] & 0x80, "silence for a query"
        return -1
    assert answer[:2] == message[:2]
    assert answer[2] & 0x80
    assert len(answer) <= room
    dns.message.from_wire(answer)
    return answer[3] & 15


class Udp:
    """A door on a socket of its own, and a client."""

    def __init__(self) -> None:
        self.server, self.client = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        self.server.bind(("127.0.0.1", 0))
        self.server.setblocking(False)
        self.client.connect(self.server.getsockname())
        self.client.settimeout(5)
        self.door = UdpWorker(CORE, local=[])
        self.door.configure(acl=ACL, rate=0)
        self.door.add_door(self.server.fileno(), 4, False)
        self.door.start()

    def ask(self, message: bytes) -> bytes | None:
        """What one datagram gets. Probes go behind it: when the second is answered the batch of the first is done, so the message is, or came up."""
        self.client.send(message)
        answers = []
        for _ in range(2):
            self.client.send(PROBE)
            while (answer := self.client.recv(65535)) != PROBED:
                answers.append(answer)
        late = self.door.poll()
        self.door.send([(client, failing(ask)) for ask, client in late])
        answers += [self.client.recv(65535) for _ in late]
        if len(answers) > 1:
            raise AssertionError("several answers to one message")
        return answers[0] if answers else None


UDP: list[Udp] = []


def target(data: bytes) -> object:
    """The doors say what the core says, however the octets come."""
    CORE.flush()
    found, broken = messages_of(data)
    answers = [core_says(message, Transport.TCP) for message in found]
    expected = b"".join(len(answer).to_bytes(2, "big") + answer for answer in answers if answer is not None)
    assert over_tcp(data, ()) == (expected, broken)
    assert over_tcp(data, (1, len(data) // 3, len(data) // 2)) == (expected, broken)
    if len(data) < 512:
        assert over_tcp(data, range(len(data))) == (expected, broken)
    rcodes = [check(message, answer, ANSWERS_MAX_BYTES) for message, answer in zip(found, answers, strict=True)]
    if not UDP:
        UDP.append(Udp())  # in the process that runs the inputs
    for message in found[:MESSAGES_MAX] or [data[:QUERY_MAX_BYTES]]:
        answer = UDP[0].ask(message)
        assert answer == (said := core_says(message, Transport.UDP)), (message[:40], answer, said)
        rcodes.append(check(message, answer, UDP_ROOM_MAX))
    return tuple(rcodes[:6]), min(len(found), 40), broken


if __name__ == "__main__":
    main("doors", target, dictionary=DICTIONARY, size_max=1 << 14)
