"""What a role's process needs from the service that it hosts (dns, stop page, later the URL filter).

The role runtime (`control/role.py`) owns signals, privileges, the control socket, readiness and the watchdog; a
service owns its listeners and its answers. A service never imports `control` but for this file's types.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence

    from blockd.config.schema import Config
    from blockd.control.live import LiveGeneration
    from blockd.counts.slab import Slab


@dataclass(frozen=True, slots=True)
class Health:
    """A service's answer to "how are you": shown by status, judged by readyz."""

    ready: bool
    why_not: str = ""
    listen: Mapping[str, Sequence[str]] = field(default_factory=dict)  # door -> ["127.0.0.1:5300"], real ports
    upstreams: Sequence[Mapping[str, object]] = ()  # {"address", "up"}
    xdp: Mapping[str, object] = field(default_factory=dict)  # of the role xdp: interface, mode, attached, program, services, why_not
    workers: Mapping[str, int] = field(default_factory=dict)  # native threads: threads, running, restarts, events since the process started


class Service(Protocol):
    """One role's work. All methods run on the role's event loop."""

    async def start(self, config: Config, sockets: Mapping[str, socket.socket], slab: Slab, live: LiveGeneration | None) -> None:
        """Take the bound sockets (keys as in control/sockets.py: ``"udp 127.0.0.1:53"``) and begin to answer."""

    async def apply(self, live: LiveGeneration) -> None:
        """Swap to a generation. Returns when every worker answers from it; the old one may then be unmapped."""

    async def reload(self, config: Config, sockets: Mapping[str, socket.socket]) -> None:
        """Take a new, already checked configuration and exactly these sockets; those that left are closed after their queries are answered."""

    async def drain(self, timeout_s: float) -> None:
        """Stop accepting, answer what is in flight, close."""

    def health(self) -> Health:
        """Cheap; called every second."""
        ...

    async def request(self, verb: str, arguments: Mapping[str, object]) -> Mapping[str, object]:
        """A seldom question from control; the verbs are the service's own."""
        ...
