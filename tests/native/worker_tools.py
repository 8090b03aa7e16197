"""A native UDP worker on loopback, its clients and its upstreams, all over real sockets."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time

import dns.message
import dns.rcode

from blockd.native._dns import Acl, UdpWorker
from tests.native.dns_tools import Rig, read

LOOPBACK = [(bytes((127, 0, 0, 0)), 8), (bytes(15) + b"\1", 128)]
ADDRESS = b"\xc0\x00\x02\x01"


def until(true, timeout_s: float = 5.0) -> None:
    """Wait for another thread; the test fails when it takes too long."""
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.001)


def reply(query: bytes, *, rcode: int = 0, flags: int = 0x8180, target: bytes = b"", ttl_s: int = 60) -> bytes:
    """An upstream's answer to the bytes of a query: one A record, or a CNAME to `target`."""
    end = 12
    while query[end]:
        end += 1 + query[end]
    question = query[12 : end + 5]
    record = struct.pack(">HHHIH", 0xC00C, 5 if target else 1, 1, ttl_s, len(target or ADDRESS)) + (target or ADDRESS)
    count = 0 if rcode or flags & 0x0200 else 1
    return query[:2] + struct.pack(">5H", flags | rcode, 1, count, 0, 0) + question + (record if count else b"")


class Upstream:
    """A UDP server that answers as `how` says; None is silence. Its thread ends with the test."""

    def __init__(self, how=reply) -> None:
        self.how = how
        self.queries: list[bytes] = []
        self.ports: set[int] = set()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while True:
            packet, sender = self.socket.recvfrom(4096)
            if not packet:
                return
            self.queries.append(packet)
            self.ports.add(sender[1])
            answer = self.how(packet)
            for one in answer if isinstance(answer, list) else [answer]:
                if one is not None:
                    self.socket.sendto(one, sender)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"", ("127.0.0.1", self.port))
        self.thread.join(5)
        self.socket.close()


class Gate:
    """A worker with one door, and clients of it."""

    def __init__(
        self, rig: Rig, *upstreams: Upstream, address: str = "127.0.0.1", bind: str = "", rate: int = 0, local=(b"\x09localhost\0",)
    ) -> None:
        self.rig = rig
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.address = address
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind((bind or address, 0))
        self.socket.setblocking(False)
        self.port = self.socket.getsockname()[1]
        self.worker = UdpWorker(rig.core, local=local)
        self.worker.configure(acl=Acl(LOOPBACK), rate=rate)
        self.door = self.worker.add_door(self.socket.fileno(), 6 if family == socket.AF_INET6 else 4, bool(bind))
        self.follow(*upstreams)
        self.worker.start()
        self.clients: list[socket.socket] = []

    def follow(self, *upstreams: Upstream) -> None:
        self.worker.follow([(number, bytes((127, 0, 0, 1)), one.port) for number, one in enumerate(upstreams)])

    def client(self, address: str = "") -> socket.socket:
        made = socket.socket(self.socket.family, socket.SOCK_DGRAM)
        made.settimeout(5)
        made.connect((address or self.address, self.port))
        self.clients.append(made)
        return made

    def ask(self, query: dns.message.Message, client: socket.socket | None = None) -> dns.message.Message:
        client = client or self.client()
        client.send(query.to_wire())
        return read(client.recv(65535), query)

    def polled(self, timeout_s: float = 5.0):
        """What comes up."""
        ready, _, _ = select.select([self.worker.fileno()], [], [], timeout_s)
        return self.worker.poll() if ready else []

    def close(self) -> None:
        self.worker.stop()
        self.socket.close()
        for client in self.clients:
            client.close()


def made_and_closed():
    """Make things in a test, and close them after it, the last one first."""
    found: list = []

    def make(kind, *args, **more):
        found.append(kind(*args, **more))
        return found[-1]

    yield make
    for one in reversed(found):
        one.close()
