"""sd_notify(3): tell systemd that we are ready, reloading, stopping, alive. Does nothing where there is no NOTIFY_SOCKET."""

from __future__ import annotations

import contextlib
import os
import socket
import time


def notify(*lines: str) -> bool:
    """Send state lines (``READY=1``, ``WATCHDOG=1``, ``STATUS=...``). False when nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as s:
        s.connect(address)
        s.sendall("\n".join(lines).encode())
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
