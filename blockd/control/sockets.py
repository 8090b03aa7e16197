"""Listening sockets: which ones the configuration asks for, bound by the supervisor and handed to the roles.

A socket's key is its door and its configured address, ``"udp 127.0.0.1:53"``: the same key before and after a reload is the same socket. Doors: `udp` and
`tcp` (the resolver), `stop_page` (web), `admin` (control). UDP and TCP of one DNS address share the port, also when the kernel
chooses it (port 0).

A UDP address has a socket for each thread (`dns.threads`); the ones after the first are ``"udp 127.0.0.1:53 #1"``, ``#2`` and so on. They share the port by
SO_REUSEPORT, and the kernel gives each datagram to one of them.

- **Nobody shares our port by accident.** The first socket is bound without SO_REUSEPORT, which fails when anybody holds the port, another blockd too; it gets
  the option afterwards, when the second one is to join. What remains: a program of the same user that asks for SO_REUSEPORT itself can join.
- **No socket of an address that stays is closed.** What waits in a closed socket is lost. With more threads, sockets are added. With fewer, those that are too
  many stay open and served, and :func:`spread` has the kernel give them nothing new; they end with a stop, or are used again.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blockd.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from blockd.config.schema import Config, Endpoint

ROLES = ("control", "resolver", "web")
BACKLOG = 1024
RECEIVE_BUFFER_BYTES = 4 << 20  # a burst waits here while a worker starts again
PORT_TRIES = 20
SO_ATTACH_REUSEPORT_CBPF, SO_DETACH_REUSEPORT_BPF = 51, 68  # socket(7); not in Python's socket module


@dataclass(frozen=True, slots=True)
class Wanted:
    """One listener that the configuration asks for. `number`: which of the UDP sockets of its address."""

    role: str
    door: str
    endpoint: Endpoint
    number: int = 0

    @property
    def key(self) -> str:
        """What roles and reloads know it by."""
        return f"{self.first} #{self.number}" if self.number else self.first

    @property
    def first(self) -> str:
        """The key of the first socket of its address."""
        return f"{self.door} {self.endpoint}"


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def wanted(config: Config, roles: Iterable[str], threads: int, have: Container[str] = ()) -> tuple[Wanted, ...]:
    """Every listener of these roles, in the order of the configuration. `have`: keys of sockets that are there; more than `threads` of an address stay."""
    found = []
    for endpoint in config.dns.listen:
        number = 0
        while number < threads or Wanted("resolver", "udp", endpoint, number).key in have:
            found.append(Wanted("resolver", "udp", endpoint, number))
            number += 1
        found.append(Wanted("resolver", "tcp", endpoint))
    found += [Wanted("web", "stop_page", endpoint) for endpoint in config.stop_page.listen]
    found += [Wanted("control", "admin", endpoint) for endpoint in config.admin.listen]
    return tuple(w for w in found if w.role in roles)


def bind_missing(listeners: Iterable[Wanted], have: Mapping[str, socket.socket]) -> dict[str, socket.socket]:
    """Bind those that are not in `have`. All or none: Unavailable says which one cannot be had and why, and nothing stays bound."""
    made: dict[str, socket.socket] = {}
    with contextlib.ExitStack() as undo:
        for item in listeners:
            if item.key in have or item.key in made:
                continue
            if item.number:
                first = have[item.first] if item.first in have else made[item.first]
                made[item.key] = undo.enter_context(contextlib.closing(_join(item, first)))
            elif item.door == "udp" and item.endpoint.port == 0:
                for sock, door in zip(_bind_pair(item), ("udp", "tcp"), strict=True):
                    made[f"{door} {item.endpoint}"] = undo.enter_context(contextlib.closing(sock))
            else:
                made[item.key] = undo.enter_context(contextlib.closing(_bind(item, item.endpoint.port)))
        undo.pop_all()
    return made


def _bind_pair(item: Wanted) -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket on one port that the kernel chooses."""
    for _ in range(PORT_TRIES):
        udp = _bind(item, 0)
        try:
            return udp, _bind(Wanted(item.role, "tcp", item.endpoint), udp.getsockname()[1])
        except Unavailable:
            udp.close()
    raise Unavailable(f"no port is free for both UDP and TCP on {item.endpoint.host}")


def _join(item: Wanted, first: socket.socket) -> socket.socket:
    """One more UDP socket on the port of the first one."""
    first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return _bind(item, first.getsockname()[1])


def _bind(item: Wanted, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in item.endpoint.host else socket.AF_INET
    datagram = item.door == "udp"
    # The protocol is named, not 0: asyncio sets TCP_NODELAY only on sockets that say IPPROTO_TCP.
    kind, protocol = (socket.SOCK_DGRAM, socket.IPPROTO_UDP) if datagram else (socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if datagram:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if item.number:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((item.endpoint.host, port))
        if not datagram:
            sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise Unavailable(_why(item, error)) from None
    return sock


def _why(item: Wanted, error: OSError) -> str:
    what = f"{item.door} {item.endpoint}"
    if error.errno == errno.EADDRINUSE and item.number:  # the first one is ours, so only its owner can stand in the way
        return f"{what}: a socket for thread {item.number + 1} cannot join the first, which was opened by another user ([run] user): restart blockd"
    if error.errno == errno.EADDRINUSE:
        return f"{what} is in use: stop what listens there (ss -lnp), or change the address in the configuration"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"{what} needs root or CAP_NET_BIND_SERVICE: ports below 1024 are privileged"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{what}: this machine does not have that address"
    return f"{what} cannot be bound: {error.strerror}"


def orphans(sockets: Mapping[str, socket.socket]) -> list[str]:
    """The keys of UDP sockets whose address has lost its first socket: nothing could be bound beside them."""
    return [key for key in sockets if key.partition(" #")[0] not in sockets]


def spread(sockets: Mapping[str, socket.socket], threads: int) -> None:
    """Have the kernel choose among the first `threads` sockets of each UDP address; among all where there are no more than that.

    With a socket too many it chooses by a program over the datagram: the query's ID modulo `threads`. Else by its own hash of the addresses.
    """
    for key, sock in sockets.items():
        if not key.startswith("udp ") or f"{key} #1" not in sockets:
            continue
        if f"{key} #{threads}" in sockets:
            _choose_by_id(sock, threads)
            continue
        with contextlib.suppress(FileNotFoundError):  # it has no program
            sock.setsockopt(socket.SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, 0)


def _choose_by_id(sock: socket.socket, threads: int) -> None:
    """Attach ``ldh [0]; mod #threads; ret a`` (bpf(4)): the first two octets behind the UDP header are the query's ID (RFC 1035 §4.1.1)."""
    program = b"".join(struct.pack("=HBBI", code, 0, 0, k) for code, k in ((0x28, 0), (0x94, threads), (0x16, 0)))
    memory = ctypes.create_string_buffer(program, len(program))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, struct.pack("@HP", len(program) // 8, ctypes.addressof(memory)))


def address_of(sock: socket.socket) -> str:
    """The real address of a listener, ``127.0.0.1:5300`` or ``[::1]:5300``."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def addresses(sockets: Mapping[str, socket.socket]) -> list[str]:
    """Each listener as people read it: its door, and where it really is. The sockets of one address are one line."""
    return [f"{key.partition(' ')[0]} {address_of(sock)}" for key, sock in sockets.items() if " #" not in key]
