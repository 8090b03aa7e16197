"""The upstreams of one configuration together with the ways to them, and the probes of those in doubt."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from blockd.dns import build
from blockd.dns.client import Client
from blockd.dns.upstreams import NUMBERS, Broken, Upstreams

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from blockd.config.schema import Upstream
    from blockd.dns.upstreams import Way

LOG = logging.getLogger("blockd.dns")

PROBE_TIMEOUT_S = 1.0
PROBE = build.query(".", "NS", 0)
"""What every resolver has at hand: the root's name servers."""


class Route:
    """The upstreams of one configuration: their health, the ways to them, how many queries still use it.

    `authorities`: PEM file of those that certificates are believed of; `before`: the route whose place it takes; `reached`: counts a limit by its name.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        configured: Sequence[Upstream],
        reached: Callable[[str], None],
        authorities: Path | None = None,
        before: Route | None = None,
    ) -> None:
        first = 0 if before is None else before.upstreams.first_number + len(before.upstreams.configured)
        self.upstreams: Upstreams = Upstreams(configured, first if first + len(configured) <= NUMBERS else 0)
        self.authorities = authorities
        self.client = Client(loop, configured, reached, authorities, self.upstreams.trouble)
        self.users = 0
        self.left = False  # a newer configuration has taken its place
        self._loop = loop

    def is_for(self, configured: Sequence[Upstream], authorities: Path | None) -> bool:
        """Tell whether it is what this configuration asks for."""
        return tuple(configured) == self.upstreams.configured and authorities == self.authorities

    def release(self) -> None:
        """Close when nobody uses it any more."""
        if self.left and not self.users:
            self.client.close()

    def probe(self, now_ms: Callable[[], int]) -> None:
        """Ask the upstreams that are in doubt, and say what has changed."""
        for number, way in self.upstreams.take_probes(now_ms()):
            Probe(self._loop, self, number, way, now_ms)
        self.tell()

    def tell(self) -> None:
        """Log what is wrong with an upstream, and which went down or came up; each once."""
        for upstream, why in self.upstreams.take_troubles():
            LOG.error("upstream %s: %s", upstream, why)
        for upstream, up in self.upstreams.take_changes():
            if up:
                LOG.info("upstream %s answers again", upstream)
            else:
                LOG.warning("upstream %s does not answer: queries go to the others, if there are any; look at the way to it", upstream)


class Probe:
    """One question to an upstream in doubt."""

    def __init__(self, loop: asyncio.AbstractEventLoop, route: Route, upstream: int, way: Way, now_ms: Callable[[], int]) -> None:
        self._route = route
        self._upstream = upstream
        self._now_ms = now_ms
        self._sent_ms = now_ms()
        self._timer = loop.call_later(PROBE_TIMEOUT_S, partial(self._end, None))
        self._cancel = route.client.send(upstream, way, self, probe=True)

    def make(self, identity: int) -> bytes:
        """Make the query with this ID."""
        return identity.to_bytes(2, "big") + PROBE[2:]

    def packet(self, identity: int, packet: bytes) -> bool:
        """Take a packet: any response to our ID shows life."""
        if len(packet) < 12 or packet[:2] != identity.to_bytes(2, "big") or not packet[2] & 0x80:
            return False
        self._end(self._now_ms() - self._sent_ms)
        return True

    def failed(self, why: Broken) -> None:
        """Nothing will come."""
        if why is Broken.OURS:
            self._timer.cancel()
            self._route.upstreams.not_probed(self._upstream, self._now_ms())
        else:
            self._end(None)

    def _end(self, rtt_ms: float | None) -> None:
        self._timer.cancel()
        self._cancel()
        self._route.upstreams.probed(self._upstream, rtt_ms, self._now_ms())
