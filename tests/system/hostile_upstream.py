"""An upstream that lies: names under `.evil.example` get what their first label says (hostile.ANSWERS), every other name an address.

    with HostileUpstream() as upstream: upstream.port

An answer that is too long for a datagram is truncated there, so that the resolver comes back over TCP for all of it.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from typing import Self

from tests.system import hostile

UDP_MAX_BYTES = 1232


def attack_of(wire: bytes) -> str:
    """The first label of a name under evil.example; "" for any other name."""
    name = hostile.question_of(wire)[:-4].lower()
    return name[1 : 1 + name[0]].decode("ascii", "replace") if name.endswith(b"\x04evil\x07example\x00") else ""


def packets(wire: bytes) -> list[bytes]:
    """What is said to this query, whatever the transport."""
    make = hostile.ANSWERS.get(attack_of(wire))
    made = hostile.answer(wire, hostile.GOOD_A) if make is None else make(wire)
    return [made] if isinstance(made, bytes) else made


def bound_pair() -> tuple[socket.socket, _TcpServer]:
    """A port that is free for both transports: the kernel chooses it for one, and somebody may have it for the other."""
    for _ in range(50):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        try:
            return udp, _TcpServer(udp.getsockname(), _Tcp)
        except OSError:
            udp.close()
    raise AssertionError("no port is free for both")


class HostileUpstream:
    """Real sockets on loopback, one port for both transports."""

    def __init__(self) -> None:
        self.asked = 0
        self._udp, self._tcp = bound_pair()
        self._udp.settimeout(0.1)
        self.port = self._udp.getsockname()[1]
        self._running = True
        self._threads = [
            threading.Thread(target=self._serve_udp, daemon=True),
            threading.Thread(target=self._tcp.serve_forever, args=(0.05,), daemon=True),
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._running = False
        self._tcp.shutdown()
        for thread in self._threads:
            thread.join()
        self._tcp.server_close()
        self._udp.close()

    def _serve_udp(self) -> None:
        while self._running:
            try:
                wire, client = self._udp.recvfrom(4096)
            except TimeoutError:
                continue
            self.asked += 1
            for packet in packets(wire):
                short = packet if len(packet) <= UDP_MAX_BYTES else hostile.answer(wire, flags=0x8380)
                with contextlib.suppress(OSError):
                    self._udp.sendto(short, client)


class _Tcp(socketserver.StreamRequestHandler):
    timeout = 20

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            while len(head := self.rfile.read(2)) == 2:
                wire = self.rfile.read(int.from_bytes(head, "big"))
                for packet in packets(wire):
                    self.connection.sendall(len(packet).to_bytes(2, "big") + packet)


class _TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
