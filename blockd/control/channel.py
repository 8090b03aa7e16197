"""The supervisor's end and the role's end of one private channel: a socket pair that carries JSON and, on a reload, new listening sockets.

Supervisor to role: ``{"verb":"reload","keys":[...],"more":false}`` with the descriptors of these keys; ``"more":true`` where the next record goes on with it (a
thread has a socket for each address: more in all than one record may carry). Role to supervisor: ``{"verb":"ready"}``, ``{"verb":"alive"}`` each second,
``{"verb":"reloaded","error":""}``. Messages are SOCK_SEQPACKET records, so there is no framing to get wrong.
"""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

RECORD_MAX_BYTES = 64 << 10
DESCRIPTORS_MAX = 250  # of one record: the kernel's SCM_MAX_FD is 253


def pair() -> tuple[socket.socket, socket.socket]:
    """(supervisor's end, role's end)."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def send(end: socket.socket, message: dict[str, Any], sockets: list[socket.socket] | None = None) -> None:
    """Send one record. OSError when the other side is gone or does not read."""
    data = json.dumps(message).encode()
    if len(data) > RECORD_MAX_BYTES:
        raise AssertionError("a channel's records are short")
    socket.send_fds(end, [data], [s.fileno() for s in sockets or []])


def send_sockets(end: socket.socket, message: dict[str, Any], sockets: Mapping[str, socket.socket]) -> None:
    """Send `message` with these sockets under their keys, in as many records as it takes. OSError as :func:`send`."""
    keys = list(sockets)
    for at in range(0, max(len(keys), 1), DESCRIPTORS_MAX):
        portion = keys[at : at + DESCRIPTORS_MAX]
        more = at + DESCRIPTORS_MAX < len(keys)
        send(end, {**message, "keys": portion, "more": more}, [sockets[key] for key in portion])


def receive(end: socket.socket) -> tuple[dict[str, Any], list[socket.socket]] | None:
    """The next record and its sockets; None when the other side has closed. BlockingIOError when there is none yet."""
    data, descriptors, _, _ = socket.recv_fds(end, RECORD_MAX_BYTES, DESCRIPTORS_MAX)
    sockets = [socket.socket(fileno=fd) for fd in descriptors]
    for sock in sockets:
        sock.setblocking(False)
    return (json.loads(data), sockets) if data else None
