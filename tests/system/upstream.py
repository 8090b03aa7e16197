"""A resolver for the system tests to forward to: real sockets on loopback, answers made by dnspython.

Every name under `.example` and `.test` has an address; names of the table CHAINS lead to others. It remembers the raw
queries that it received, so that a test can look for what must never go upstream.
"""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
import time
from typing import Self

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

ADDRESS4 = "198.51.100.7"
ADDRESS6 = "2001:db8:51::7"
CHAINS: dict[str, list[tuple[str, str, str]]] = {}


def answer(wire: bytes) -> bytes:
    """One answer to one query."""
    query = dns.message.from_wire(wire)
    response = dns.message.make_response(query)
    response.flags |= dns.flags.RA
    question = query.question[0]
    name = question.name.to_text().lower()
    for owner, rdtype, data in CHAINS.get(name, []):
        response.answer.append(dns.rrset.from_text(owner, 60, "IN", rdtype, data))
    if name.startswith("nx."):
        response.set_rcode(dns.rcode.NXDOMAIN)
        response.authority.append(dns.rrset.from_text("example.", 300, "IN", "SOA", "ns.example. host.example. 1 7200 3600 1209600 60"))
    elif not response.answer and question.rdtype == dns.rdatatype.A:
        response.answer.append(dns.rrset.from_text(name, 60, "IN", "A", ADDRESS4))
    elif not response.answer and question.rdtype == dns.rdatatype.AAAA:
        response.answer.append(dns.rrset.from_text(name, 60, "IN", "AAAA", ADDRESS6))
    elif not response.answer and question.rdtype == dns.rdatatype.TXT:
        response.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", *[" ".join(f'"{"x" * 200}"' for _ in range(10))]))
    return response.to_wire(max_size=65535)


class _Udp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        wire, sock = self.request
        self.server.owner.received.append(bytes(wire))
        time.sleep(self.server.owner.delay_s)
        response = answer(wire)
        if len(response) > 1232:
            short = dns.message.make_response(dns.message.from_wire(wire))
            short.flags |= dns.flags.TC | dns.flags.RA
            response = short.to_wire()
        sock.sendto(response, self.client_address)


class _Tcp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while True:
            head = self._exactly(2)
            if head is None:
                return
            wire = self._exactly(struct.unpack("!H", head)[0])
            if wire is None:
                return
            self.server.owner.received.append(wire)
            response = answer(wire)
            self.request.sendall(struct.pack("!H", len(response)) + response)

    def _exactly(self, n: int) -> bytes | None:
        data = b""
        while len(data) < n:
            more = self.request.recv(n - len(data))
            if not more:
                return None
            data += more
        return data


class _UdpServer(socketserver.ThreadingUDPServer):
    daemon_threads = True
    max_packet_size = 4096


class _TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def _pair() -> tuple[_UdpServer, _TcpServer]:
    """One port for both transports: the kernel chooses it for one, and somebody may have it for the other."""
    for _ in range(50):
        udp = _UdpServer(("127.0.0.1", 0), _Udp)
        try:
            return udp, _TcpServer(udp.server_address, _Tcp)
        except OSError:
            udp.server_close()
    raise AssertionError("no port is free for both")


class Upstream:
    """``with Upstream() as up: up.port``"""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.delay_s = 0.0
        self._udp, self._tcp = _pair()
        self.port = self._udp.server_address[1]
        self._threads = []
        for server in (self._udp, self._tcp):
            server.owner = self
            self._threads.append(threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in (self._udp, self._tcp):
            server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join()


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
