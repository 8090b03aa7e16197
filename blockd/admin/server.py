"""The admin listener: ``/metrics``, ``/healthz``, ``/readyz``, ``/api/v1/status`` and the console at ``/``. Read-only.

It runs in the control process. `facts` and `totals` are that process's callables: `facts` is cheap; `totals` may write and fsync, so it
runs in a thread, one call at a time. Nothing here changes anything: the operator's levers are on the control socket, by peer credentials.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import TYPE_CHECKING, Final

from blockd.admin import console, health, metrics
from blockd.admin.driver import Answer, Door, Limits
from blockd.errors import Unavailable
from blockd.terms import Instant

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp import web

    from blockd.admin.facts import Facts
    from blockd.counts.tallies import Totals

CONNECTIONS_MAX: Final = 128
CONNECTIONS_PER_CLIENT_MAX: Final = 64
LIFETIME_S: Final = 30.0

_PLAIN: Final = (("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))
_JSON: Final = (("Content-Type", "application/json"), *_PLAIN[1:])

_log = logging.getLogger("blockd.admin")


class AdminServer:
    """Answers on the sockets that it is given. `clock` gives the seconds since the epoch."""

    def __init__(self, facts: Callable[[], Facts], totals: Callable[[], Totals], *, clock: Callable[[], float] = time.time) -> None:
        self._facts = facts
        self._totals = totals
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._door = Door("admin", self._answer, refusal=_refusal, limits=Limits(CONNECTIONS_MAX, CONNECTIONS_PER_CLIENT_MAX, LIFETIME_S))
        self._pages: Mapping[str, Callable[[web.BaseRequest], Awaitable[Answer]]] = {
            "/": self._console,
            "/metrics": self._metrics,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/api/v1/status": self._status,
        }

    async def listen(self, sockets: Mapping[str, socket.socket]) -> None:
        """Serve exactly these bound sockets, by key: at the start and after each reload."""
        await self._door.listen(sockets)

    def addresses(self) -> list[str]:
        """The real addresses that are listened on."""
        return self._door.addresses()

    async def drain(self, timeout_s: float) -> None:
        """Stop accepting, finish the answers under way, close."""
        await self._door.drain(timeout_s)

    async def _answer(self, request: web.BaseRequest) -> Answer:
        page = self._pages.get(request.path)
        if page is None:
            return Answer(404, _PLAIN, b"no such page; see /\n")
        if request.method not in {"GET", "HEAD"}:
            return Answer(405, (*_PLAIN, ("Allow", "GET, HEAD")), b"read-only: use the blockd command\n")
        try:
            return await page(request)
        except Unavailable as error:  # the disk is full, say: no new figure may be shown before it is remembered
            _log.warning("admin: %s", error)
            return Answer(503, _PLAIN, f"{error}\n".encode())

    async def _released(self) -> Totals:
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._totals)

    async def _console(self, _: web.BaseRequest) -> Answer:
        facts, totals = self._facts(), await self._released()
        page = await asyncio.to_thread(console.render, facts, totals, Instant(self._clock()))
        return Answer(200, console.HEADERS, page.encode())

    async def _metrics(self, request: web.BaseRequest) -> Answer:
        facts, totals = self._facts(), await self._released()
        accept = ", ".join(request.headers.getall("Accept", []))
        page, content_type = await asyncio.to_thread(metrics.render, facts, totals, accept)  # 80 ms for 500 lists: not on the loop
        return Answer(200, (("Content-Type", content_type), *_PLAIN[1:]), page)

    async def _healthz(self, _: web.BaseRequest) -> Answer:
        return Answer(200, _PLAIN, b"alive\n")

    async def _readyz(self, _: web.BaseRequest) -> Answer:
        reasons = health.why_not_ready(self._facts())
        if reasons:
            return Answer(503, _PLAIN, ("not ready\n" + "".join(f"{reason}\n" for reason in reasons)).encode())
        return Answer(200, _PLAIN, b"ready\n")

    async def _status(self, _: web.BaseRequest) -> Answer:
        return Answer(200, _JSON, json.dumps(health.status(self._facts())).encode())


def _refusal(status: int) -> Answer:
    text = b"not an HTTP request that is understood here\n" if status < 500 else b"this answer failed; the log says why\n"
    return Answer(status, _PLAIN, text)
