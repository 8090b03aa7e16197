"""A scripted resolver behind blockd: real UDP and TCP sockets on loopback, each query answered by a script.

A script is a function of the query that yields what happens: octets to send, a :class:`Gate` to wait for, :data:`CLOSE` to end a TCP
connection. Nothing yielded is silence. Gates are opened by the test, so that no test sleeps to be right.
"""

from __future__ import annotations

import contextlib
import random
import socket
import socketserver
import struct
import threading
from collections import Counter
from dataclasses import dataclass

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

ADDRESS = "198.51.100.7"
CLOSE = object()
WAIT_S = 10.0


class Gate:
    """Closed until the test opens it; `reached` is set when a query waits."""

    def __init__(self):
        self._open = threading.Event()
        self.reached = threading.Event()

    def open(self):
        self._open.set()

    def wait(self):
        self.reached.set()
        self._open.wait(WAIT_S)

    def wait_reached(self):
        assert self.reached.wait(WAIT_S), "no query came"


@dataclass
class Query:
    wire: bytes
    tcp: bool
    number: int  # of this name and type, from 1
    sender: tuple

    @property
    def message(self):
        return dns.message.from_wire(self.wire)

    @property
    def name(self):
        return self.message.question[0].name.to_text().lower()

    def response(self, *records, rcode="NOERROR", authority=(), flags=0):
        """The answer with these records, each ``"owner ttl TYPE data"``."""
        query = self.message
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA | flags
        response.set_rcode(dns.rcode.from_text(rcode))
        for section, texts in ((response.answer, records), (response.authority, authority)):
            for text in texts:
                owner, ttl, rdtype, data = text.split(None, 3)
                section.append(dns.rrset.from_text(owner, int(ttl), "IN", rdtype, data))
        return response

    def reply(self, *records, **more):
        return self.response(*records, **more).to_wire(max_size=65535)

    def address(self, ttl=60):
        """What most names have."""
        if self.message.question[0].rdtype != 1:
            return self.reply(authority=[f"{self.name} {ttl} SOA ns. host. 1 2 3 4 {ttl}"])
        return self.reply(f"{self.name} {ttl} A {ADDRESS}")


def answer_everything(query):
    yield query.address()


class Upstream:
    """``with Upstream(script) as up``: `up.port`, `up.queries`, `up.script` can be replaced."""

    def __init__(self, script=answer_everything, *, port=0, tcp=True):
        self.script = script
        self.queries = []
        self.connections = 0
        self._counts = Counter()
        self._lock = threading.Lock()
        self.port = port or free_port()
        self._udp = _UdpServer(("127.0.0.1", self.port), _Udp)
        self._servers = [self._udp]
        if tcp:
            self._servers.append(_TcpServer(("127.0.0.1", self.port), _Tcp))
        for server in self._servers:
            server.owner = self

    def steps(self, wire, *, tcp, sender):
        query = Query(wire, tcp, 0, sender)
        question = query.message.question[0]
        probe = question.name == dns.name.root
        with self._lock:
            if not probe:
                self.queries.append(query)
                self._counts[question.name, question.rdtype] += 1
                query.number = self._counts[question.name, question.rdtype]
        for step in self.script(query):
            if isinstance(step, Gate):
                step.wait()
            else:
                yield step

    def asked(self, name):
        return sum(q.name == name for q in list(self.queries))

    def __enter__(self):
        self._threads = [threading.Thread(target=s.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True) for s in self._servers]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        for server in self._servers:
            server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join(5)


class _Udp(socketserver.BaseRequestHandler):
    def handle(self):
        wire, sock = self.request
        for step in self.server.owner.steps(wire, tcp=False, sender=self.client_address):
            with contextlib.suppress(OSError):
                sock.sendto(step, self.client_address)


class _Tcp(socketserver.BaseRequestHandler):
    def handle(self):
        self.server.owner.connections += 1
        with contextlib.suppress(OSError):
            while (head := self._exactly(2)) is not None:
                wire = self._exactly(struct.unpack("!H", head)[0])
                if wire is None:
                    return
                for step in self.server.owner.steps(wire, tcp=True, sender=self.client_address):
                    if step is CLOSE:
                        return
                    self.request.sendall(struct.pack("!H", len(step)) + step)

    def _exactly(self, n):
        data = b""
        while len(data) < n:
            more = self.request.recv(n - len(data))
            if not more:
                return None
            data += more
        return data


class _UdpServer(socketserver.ThreadingUDPServer):
    daemon_threads = True
    block_on_close = False


class _TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True


def free_port():
    """A port that nothing listens on, UDP or TCP. Not one of those that the kernel gives to clients, so that none takes it meanwhile."""
    while True:
        port = random.randint(20000, 32000)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp, contextlib.suppress(OSError):
            udp.bind(("127.0.0.1", port))
            tcp.bind(("127.0.0.1", port))
            return port
