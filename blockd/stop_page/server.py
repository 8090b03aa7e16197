"""The stop page's listener: one service of the web role.

It looks the Host up in the live table and answers by :mod:`blockd.stop_page.page`. The name is not kept, logged, counted or sent back.
What a client can cost is bounded by :class:`blockd.admin.driver.Door`: one answer a connection, ten seconds, capped connections.

Counted: answers by status and language, and connections turned away. An answer here is no policy hit: that was counted when the DNS sent
the client here.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from blockd.admin.driver import Answer, Door, Limits
from blockd.control.service import Health
from blockd.counts.tallies import limit_cell, page_cell
from blockd.errors import Refused
from blockd.policy import verdict
from blockd.stop_page import page, reason
from blockd.stop_page.language import choose
from blockd.terms import Instant, ListName, Notify

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from aiohttp import web

    from blockd.config.schema import Config
    from blockd.control.live import LiveGeneration
    from blockd.counts.slab import Slab

DOOR: Final = "stop_page"
CONNECTIONS_MAX: Final = 2048
CONNECTIONS_PER_CLIENT_MAX: Final = 32
LIFETIME_S: Final = 10.0


class StopPage:
    """Implements :class:`blockd.control.service.Service`. `clock` gives the seconds since the epoch."""

    def __init__(self, *, clock: Callable[[], float] = time.time, limits: Limits | None = None) -> None:
        self._clock = clock
        self._limits = limits or Limits(CONNECTIONS_MAX, CONNECTIONS_PER_CLIENT_MAX, LIFETIME_S)
        self._door = Door(DOOR, self._answer, refusal=self._refusal, limits=self._limits, limit_reached=self._limit_reached)
        self._slab: Slab | None = None
        self._live: LiveGeneration | None = None
        self._config: Config | None = None
        self._settings = page.Settings()
        self._notify: dict[ListName, Notify] = {}
        self._killed: dict[ListName, Instant] = {}
        self._policies: verdict.Policies | None = None
        self._policies_until: Instant | None = None

    async def start(self, config: Config, sockets: Mapping[str, socket.socket], slab: Slab, live: LiveGeneration | None) -> None:
        """Begin to answer on the sockets of this door."""
        self._slab = slab
        self._live = live
        self._take(config)
        await self._door.listen(_ours(sockets))

    async def apply(self, live: LiveGeneration) -> None:
        """Answer from this generation from now on. No answer is ever between two: each is made in one step of the loop."""
        self._live = live
        self._policies = None

    async def reload(self, config: Config, sockets: Mapping[str, socket.socket]) -> None:
        """Take the new configuration and exactly these sockets."""
        self._take(config)
        await self._door.listen(_ours(sockets))

    async def drain(self, timeout_s: float) -> None:
        """Stop accepting, finish, close."""
        await self._door.drain(timeout_s)

    def health(self) -> Health:
        """Ready once it listens where it was told to; whether lists are loaded is the resolver's and control's to say."""
        addresses = self._door.addresses()
        wanted = self._config is not None and bool(self._config.stop_page.listen)
        ready = bool(addresses) or (self._config is not None and not wanted)
        return Health(ready, "" if ready else "the stop page does not listen yet", {DOOR: addresses} if addresses else {})

    async def request(self, verb: str, arguments: Mapping[str, object]) -> Mapping[str, object]:
        """`switches` {"killed": {list: until, seconds since the epoch}}, as the resolver takes it. Refused: another verb or shape."""
        if verb != "switches":
            raise Refused("verb", "the stop page knows the verb switches alone")
        switched = arguments.get("killed")
        if not isinstance(switched, dict) or not all(type(until) in {int, float} for until in switched.values()):
            raise Refused("shape", "switches: killed is {list: seconds since the epoch}")
        self._killed = {ListName(str(name)): Instant(until) for name, until in switched.items()}
        self._policies = None
        return {"killed": len(self._killed)}

    def _take(self, config: Config) -> None:
        self._config = config
        self._policies = None
        self._notify = {entry.name: entry.notify for entry in config.lists}
        self._settings = _settings(config)

    def _current(self, live: LiveGeneration, config: Config, now: Instant) -> verdict.Policies:
        """What holds now, worked out again when a switch runs out."""
        if self._policies is None or (self._policies_until is not None and now >= self._policies_until):
            self._policies = verdict.resolve(live, config, self._killed, now)
            self._policies_until = verdict.next_change(self._killed, now)
        return self._policies

    async def _answer(self, request: web.BaseRequest) -> Answer:
        language = choose(",".join(request.headers.getall("Accept-Language", [])))
        return self._counted(self._page(request, language))

    def _page(self, request: web.BaseRequest, language: str) -> page.Page:
        hosts = request.headers.getall("Host", [])
        host = reason.host_of(request.raw_path, hosts)
        if host is None and (len(hosts) > 1 or request.version >= (1, 1)):
            return page.bare(400)  # RFC 9112 §3.2: one Host, or it is a bad request
        if self._live is None or self._config is None:
            return page.starting(language, self._settings)
        name = reason.name_of(host) if host else None
        if name is None:
            return page.nothing(language, self._settings)
        now = Instant(self._clock())
        found = reason.find(self._live, self._current(self._live, self._config, now), self._notify, name)
        if found is None:
            return page.nothing(language, self._settings)
        return page.blocked(found, language, self._settings, now)

    def _refusal(self, status: int) -> Answer:
        return self._counted(page.bare(400 if status < 500 else 503))

    def _counted(self, made: page.Page) -> Answer:
        if self._slab is not None:
            self._slab.add(page_cell(made.status, made.language))
        return Answer(made.status, made.headers, made.body)

    def _limit_reached(self) -> None:
        if self._slab is not None:
            self._slab.add(limit_cell("stop_page_connections"))


def _ours(sockets: Mapping[str, socket.socket]) -> dict[str, socket.socket]:
    return {key: sock for key, sock in sockets.items() if key.partition(" ")[0] == DOOR}


def _settings(config: Config) -> page.Settings:
    section = config.stop_page
    helplines = tuple(page.Helpline(line.name, line.phone, line.url, line.language) for line in section.helplines)
    return page.Settings(section.operator, section.contact, helplines, section.hotline)
