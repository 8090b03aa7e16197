"""Two network namespaces with a cable between them: a server and its client. Made and removed by the test."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import subprocess
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Self

import dns.exception
import dns.message
import dns.query

from blockd.kernel.forms import Settings
from blockd.kernel.plan import Plan
from blockd.kernel.store import Attached, Loaded

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVER4, SERVER6 = "192.0.2.1", "2001:db8:5::1"
CLIENT4, CLIENT6 = "192.0.2.2", "2001:db8:5::2"
OTHER4 = "203.0.113.9"  # the client has it too; allow_from does not
AGAIN = 8
"""How often a client asks. veth in native mode holds a frame of XDP_TX back now and then until the next one comes: seen as an answer that is late."""

CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"ip {' '.join(words)}: {done.stderr}")


@contextlib.contextmanager
def inside(name: str) -> Iterator[None]:
    """This thread is in the namespace; a socket that it makes stays there."""
    with Path("/proc/thread-self/ns/net").open("rb") as home, Path(f"/run/netns/{name}").open("rb") as there:
        if _libc.setns(there.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            _libc.setns(home.fileno(), CLONE_NEWNET)


def receive_xdp(index: int) -> contextlib.AbstractContextManager[None]:
    """What veth needs before it takes frames that the other end's XDP program sends: a program of its own. This one knows no service and passes all."""
    idle = Loaded(Settings(0, 0, 0, -1, 1, 0, (), bytes(6)), Plan())
    undo = contextlib.ExitStack()
    undo.callback(idle.close)
    undo.callback(Attached(idle, index, "native").close)
    return undo


class Cable:
    """``with Cable() as cable:``; the server's end and the client's end are both called eth0."""

    def __enter__(self) -> Self:
        stem = f"bd{os.getpid()}{uuid.uuid4().hex[:4]}"
        self.server, self.client = f"{stem}s", f"{stem}c"
        self._undo = contextlib.ExitStack()
        try:
            for name in (self.server, self.client):
                _ip("netns", "add", name)
                self._undo.callback(subprocess.run, ["ip", "netns", "del", name], check=False)
                _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", self.server, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", self.client)
            for name, addresses in ((self.server, (SERVER4, SERVER6)), (self.client, (CLIENT4, CLIENT6, OTHER4))):
                for address in addresses:
                    _ip(
                        "-n",
                        name,
                        "addr",
                        "add",
                        f"{address}/{64 if ':' in address else 24}",
                        *(["nodad"] if ":" in address else []),
                        "dev",
                        "eth0",
                    )
                _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", self.server, "route", "add", "203.0.113.0/24", "dev", "eth0")
            with inside(self.client):
                self._undo.enter_context(receive_xdp(socket.if_nametoindex("eth0")))
        except BaseException:
            self._undo.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def udp(self, source: str = CLIENT4) -> socket.socket:
        """A UDP socket of the client."""
        with inside(self.client):
            sock = socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((source, 0))
        sock.settimeout(0.5)
        return sock

    def ask(self, query: dns.message.Message, *, to: str = SERVER4, source: str = "", tcp: bool = False) -> dns.message.Message:
        """Ask as the client."""
        own = source or (CLIENT6 if ":" in to else CLIENT4)
        if not tcp:
            with self.udp(own) as sock:
                for _ in range(AGAIN - 1):
                    with contextlib.suppress(dns.exception.Timeout, TimeoutError):
                        return dns.query.udp(query, to, sock=sock, timeout=0.5)
                return dns.query.udp(query, to, sock=sock, timeout=0.5)
        with inside(self.client):
            sock = socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET, socket.SOCK_STREAM)
        with sock:
            sock.settimeout(5)
            sock.connect((to, 53))
            sock.setblocking(False)
            return dns.query.tcp(query, to, sock=sock, timeout=5)
