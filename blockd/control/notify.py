"""sd_notify(3): tell systemd that we are ready, reloading, stopping, alive; leave it our listening sockets over a restart.

Does nothing where there is no NOTIFY_SOCKET. The sockets go into the unit's file descriptor store (``FileDescriptorStoreMax=``): systemd holds them
while blockd is restarted or upgraded and hands them to the next one (sd_listen_fds(3)), so queries wait in their buffers instead of being lost.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


FIRST_FD = 3  # SD_LISTEN_FDS_START


def notify(*lines: str, descriptors: Sequence[int] = ()) -> bool:
    """Send state lines (``READY=1``, ``WATCHDOG=1``, ``STATUS=...``) and descriptors with them. False when nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as s:
        s.connect(address)
        socket.send_fds(s, ["\n".join(lines).encode()], list(descriptors))
        return True
    return False


def reloading() -> bool:
    """Say that a reload begins; READY=1 ends it (Type=notify-reload wants the clock too)."""
    return notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def watchdog_s() -> float | None:
    """How often systemd wants WATCHDOG=1, halved as the manual advises; None when it does not."""
    text = os.environ.get("WATCHDOG_USEC", "")
    if not text.isdigit() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(text) / 1e6 / 2


def keep(sockets: Mapping[str, socket.socket]) -> None:
    """Leave these listeners with systemd, under their keys."""
    for key, sock in sockets.items():
        notify("FDSTORE=1", f"FDNAME={_name(key)}", descriptors=[sock.fileno()])


def forget(keys: Iterable[str]) -> None:
    """Take them back: they are not wanted any more."""
    for key in keys:
        notify("FDSTOREREMOVE=1", f"FDNAME={_name(key)}")


def kept() -> dict[str, socket.socket]:
    """The listeners that the blockd before this one left, by key. Each is handed out once."""
    if os.environ.pop("LISTEN_PID", "") != str(os.getpid()):
        return {}
    count = int(os.environ.pop("LISTEN_FDS", "0"))
    names = os.environ.pop("LISTEN_FDNAMES", "").split(":")
    found: dict[str, socket.socket] = {}
    for number, name in zip(range(FIRST_FD, FIRST_FD + count), names, strict=False):
        sock = socket.socket(fileno=number)
        os.set_inheritable(number, False)
        sock.setblocking(False)
        try:
            key = bytes.fromhex(name).decode()
        except ValueError:
            key = ""
        if not key or key in found:
            sock.close()
        else:
            found[key] = sock
    return found


def _name(key: str) -> str:
    """A key as an FDNAME, which may hold no colon: hex."""
    return key.encode().hex()
