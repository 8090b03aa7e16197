"""The resolver behind the demo's gateway, for a machine that has none: every name has one address from the documentation range.

It is a stand-in and says so: `blockd demo` uses the machine's own resolvers when they answer, and this one otherwise and for ``--once``,
so that the walk-through checks known answers.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from typing import Self

from blockd.cli.probe import ask
from blockd.dns import build
from blockd.errors import Unavailable

ADDRESS = "198.51.100.7"  # TEST-NET-2, RFC 5737
RESOLVERS_MAX = 3


class DemoUpstream:
    """``with DemoUpstream() as up: up.port``: answers over UDP on loopback from a thread."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="demo-upstream", daemon=True)
        self._running = True

    def __enter__(self) -> Self:
        """Start to answer."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and wait for the thread."""
        self._running = False
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wake:
            wake.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join(5)
        self._socket.close()

    def _serve(self) -> None:
        while self._running:
            query, sender = self._socket.recvfrom(4096)
            # Only blockd asks here, with messages that its own walk has passed; anything else on loopback is ignored.
            with contextlib.suppress(ValueError):
                self._socket.sendto(build.address_answer(query, ADDRESS), sender)


def machine_resolvers() -> tuple[str, ...]:
    """The machine's own resolvers that answer, as upstream URLs; none when nothing answers."""
    found: list[str] = []
    try:
        lines = Path("/etc/resolv.conf").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return ()
    for line in lines:
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver" or "%" in words[1]:
            continue
        with contextlib.suppress(Unavailable, ValueError):
            if ask((words[1], 53), "example.com").rcode == 0:
                found.append(f"udp://[{words[1]}]:53" if ":" in words[1] else f"udp://{words[1]}:53")
        if len(found) == RESOLVERS_MAX:
            break
    return tuple(found)
