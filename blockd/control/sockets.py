"""Listening sockets: which ones the configuration asks for, bound by the supervisor and handed to the roles.

A socket's key is its door and its configured address, ``"udp 127.0.0.1:53"``: the same key before and after a reload is the same socket. Doors: `udp` and
`tcp` (the resolver), `stop_page` (web), `admin` (control). UDP and TCP of one DNS address share the port, also when the kernel
chooses it (port 0).
"""

from __future__ import annotations

import contextlib
import errno
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blockd.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from blockd.config.schema import Config, Endpoint

ROLES = ("control", "resolver", "web")
BACKLOG = 1024
RECEIVE_BUFFER_BYTES = 4 << 20  # a burst waits here while a worker starts again
PORT_TRIES = 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """One listener that the configuration asks for."""

    role: str
    door: str
    endpoint: Endpoint

    @property
    def key(self) -> str:
        """What roles and reloads know it by."""
        return f"{self.door} {self.endpoint}"


def wanted(config: Config, roles: Iterable[str]) -> tuple[Wanted, ...]:
    """Every listener of these roles, in the order of the configuration."""
    found = [Wanted("resolver", door, endpoint) for endpoint in config.dns.listen for door in ("udp", "tcp")]
    found += [Wanted("web", "stop_page", endpoint) for endpoint in config.stop_page.listen]
    found += [Wanted("control", "admin", endpoint) for endpoint in config.admin.listen]
    return tuple(w for w in found if w.role in roles)


def bind_missing(listeners: Iterable[Wanted], have: Mapping[str, socket.socket]) -> dict[str, socket.socket]:
    """Bind those that are not in `have`. All or none: Unavailable says which one cannot be had and why, and nothing stays bound."""
    made: dict[str, socket.socket] = {}
    with contextlib.ExitStack() as undo:
        listeners = [w for w in listeners if w.key not in have]
        for item in listeners:
            if item.key in made:
                continue
            if item.door == "udp" and item.endpoint.port == 0:
                for sock, door in zip(_bind_pair(item), ("udp", "tcp"), strict=True):
                    made[f"{door} {item.endpoint}"] = undo.enter_context(contextlib.closing(sock))
                continue
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
        sock.bind((item.endpoint.host, port))
        if not datagram:
            sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise Unavailable(_why(item, error)) from None
    return sock


def _why(item: Wanted, error: OSError) -> str:
    what = f"{item.door} {item.endpoint}"
    if error.errno == errno.EADDRINUSE:
        return f"{what} is in use: stop what listens there (ss -lnp), or change the address in the configuration"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"{what} needs root or CAP_NET_BIND_SERVICE: ports below 1024 are privileged"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{what}: this machine does not have that address"
    return f"{what} cannot be bound: {error.strerror}"


def address_of(sock: socket.socket) -> str:
    """The real address of a listener, ``127.0.0.1:5300`` or ``[::1]:5300``."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def addresses(sockets: Mapping[str, socket.socket]) -> list[str]:
    """Each listener as people read it: its door, and where it really is."""
    return [f"{key.partition(' ')[0]} {address_of(sock)}" for key, sock in sockets.items()]
