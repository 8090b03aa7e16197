from __future__ import annotations

import json
import logging
import socket
import threading
from dataclasses import replace

import aiohttp
import pytest

from blockd.admin.server import AdminServer
from blockd.errors import Unavailable
from tests.admin.facts import NOW, full_facts, full_totals
from tests.admin.raw import HOSTILE, ask, status


class Running:
    """``async with Running() as r: await r.get("/")``"""

    def __init__(self, facts=full_facts, totals=full_totals):
        self.server = AdminServer(facts, totals, clock=lambda: NOW)

    async def __aenter__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        await self.server.listen({"admin 127.0.0.1:0": self.socket})
        (self.address,) = self.server.addresses()
        self.session = aiohttp.ClientSession(f"http://{self.address}")
        return self

    async def __aexit__(self, *_):
        await self.session.close()
        await self.server.drain(1.0)

    async def get(self, path, method="GET", **kwargs):
        async with self.session.request(method, path, **kwargs) as answer:
            return answer.status, answer.headers, await answer.text()


async def test_every_page():
    async with Running() as r:
        code, headers, text = await r.get("/metrics")
        assert (code, headers["Content-Type"].split(";")[0]) == (200, "text/plain")
        assert "blockd_build_info" in text
        code, headers, text = await r.get("/metrics", headers={"Accept": "application/openmetrics-text"})
        assert headers["Content-Type"].startswith("application/openmetrics-text")
        assert text.endswith("# EOF\n")
        assert (await r.get("/healthz"))[0::2] == (200, "alive\n")
        assert (await r.get("/readyz"))[0::2] == (200, "ready\n")
        code, headers, text = await r.get("/api/v1/status")
        assert json.loads(text)["generation"] == 7
        code, headers, text = await r.get("/")
        assert code == 200
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert headers["Refresh"] == "15"
        assert "This gateway is" in text


async def test_every_answer_is_not_cached_and_not_sniffed():
    async with Running() as r:
        for path in ("/", "/metrics", "/healthz", "/readyz", "/api/v1/status", "/nothing"):
            _, headers, _ = await r.get(path)
            assert headers["Cache-Control"] == "no-store"
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Connection"] == "close"
            assert headers["Server"] == "blockd"


async def test_not_ready_says_why():
    async with Running(lambda: replace(full_facts(), roles=())) as r:
        code, _, text = await r.get("/readyz")
        assert code == 503
        assert "no role has reported yet" in text
        assert (await r.get("/healthz"))[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_read_only(method):
    async with Running() as r:
        code, headers, _ = await r.get("/", method)
        assert (code, headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/nothing", "/metrics/", "/../etc/passwd", "/%2e%2e/", "/api/v1/status/x", "//", "/audit"])
async def test_other_paths_are_not_found_and_not_quoted(path):
    async with Running() as r:
        answer = await ask(r.address, f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert status(answer) == 404
        assert b"passwd" not in answer


async def test_alive_does_not_need_facts():
    def broken():
        raise RuntimeError("no facts")

    async with Running(broken) as r:
        assert (await r.get("/healthz"))[0] == 200
        assert (await r.get("/readyz"))[0] == 500


async def test_counts_that_cannot_be_remembered_are_not_shown(caplog):
    def full():
        raise Unavailable("the counts cannot be written: No space left on device; make room in the state directory")

    async with Running(totals=full) as r:
        code, _, text = await r.get("/metrics")
        assert code == 503
        assert "make room" in text
        assert (await r.get("/readyz"))[0] == 200
    assert "make room" in caplog.text


async def test_totals_run_off_the_loop_one_at_a_time():
    names = []

    def totals():
        names.append(threading.current_thread() is threading.main_thread())
        return full_totals()

    async with Running(totals=totals) as r:
        await r.get("/metrics")
    assert names == [False]


async def test_hostile_octets_leave_no_trace(caplog):
    caplog.set_level(logging.DEBUG)
    async with Running() as r:
        for data in HOSTILE.values():
            answer = await ask(r.address, data, end=True)
            assert status(answer) in {0, 200, 400, 404, 405}
            assert b"canary" not in answer
        assert (await r.get("/healthz"))[0] == 200
    assert "canary" not in "".join(record.getMessage() for record in caplog.records if record.name != "asyncio")
