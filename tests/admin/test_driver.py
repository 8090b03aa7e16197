"""The HTTP server that says nothing about its clients: hostile octets on real sockets, at level DEBUG."""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import socket
import time

import pytest
import uvloop

from blockd.admin.driver import Answer, Door, Limits, client_of
from tests.admin.raw import HOSTILE, ask, parts, status

PLAIN = (("Content-Type", "text/plain"),)


class Server:
    """``async with Server() as s: await ask(s.address, ...)``"""

    def __init__(self, answer=None, host="127.0.0.1", **limits):
        self.seen, self.refused, self.reached = [], [], 0
        self._host = host
        self._answer = answer or self._hello
        bounds = Limits(**{"total": 50, "per_client": 20, "lifetime_s": 3.0} | limits)
        self.door = Door("test", self._answer, refusal=self._refusal, limits=bounds, limit_reached=self._reach)

    async def _hello(self, request):
        self.seen.append(request.method)
        return Answer(200, PLAIN, b"hello")

    def _refusal(self, code):
        self.refused.append(code)
        return Answer(code, PLAIN, b"no")

    def _reach(self):
        self.reached += 1

    async def __aenter__(self):
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self.socket = socket.create_server((self._host, 0), family=family)
        await self.door.listen({"a": self.socket})
        (self.address,) = self.door.addresses()
        return self

    async def __aexit__(self, *_):
        await self.door.drain(1.0)


GET = b"GET /canary-path HTTP/1.1\r\nHost: canary.example\r\nUser-Agent: canary-agent\r\nCookie: canary=1\r\n\r\n"


async def test_one_answer_a_connection_and_it_says_so():
    async with Server() as s:
        answer = await ask(s.address, GET + GET)
        headers, body = parts(answer)
        assert answer.count(b"HTTP/1.1") == 1
        assert (status(answer), headers["connection"], body, headers["server"]) == (200, "close", b"hello", "blockd")
        assert s.seen == ["GET"]


async def test_head_has_no_body():
    async with Server() as s:
        headers, body = parts(await ask(s.address, GET.replace(b"GET", b"HEAD")))
        assert (headers["content-length"], body) == ("5", b"")


async def test_a_half_closed_client_is_answered():
    async with Server() as s:
        assert status(await ask(s.address, GET, end=True)) == 200
        assert await ask(s.address, b"GET / HT", end=True) == b""


async def test_octet_by_octet_is_the_same_request():
    async with Server() as s:
        whole = await ask(s.address, GET)
        split = await ask(s.address, GET, pieces=1)
        assert parts(whole)[1] == parts(split)[1]
        assert s.seen == ["GET", "GET"]


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_octets_get_at_most_one_answer_that_quotes_nothing(name):
    async with Server() as s:
        for end in (False, True):
            answer = await ask(s.address, HOSTILE[name], end=end)
            assert answer.count(b"HTTP/1.") <= 1
            assert b"canary" not in answer.lower()
            assert status(answer) in {0, 200, 400}
        assert status(await ask(s.address, GET)) == 200, "the server goes on"
        assert 500 not in s.refused


async def test_smuggling_is_refused_by_the_parser():
    async with Server() as s:
        for name in (
            "CL and TE",
            "two CL",
            "obs-fold",
            "bare CR",
            "space before colon",
            "NUL in a header",
            "negative length",
            "HTTP/0.9",
            "TLS",
            "binary",
        ):
            assert status(await ask(s.address, HOSTILE[name])) in {400, 0}, name


async def test_slow_loris_is_closed_after_the_lifetime():
    async with Server(lifetime_s=0.5) as s:
        started = time.monotonic()
        answer = await ask(s.address, GET[:-2] + b"X: y\r\n" * 40, pieces=6, pause_s=0.05)
        assert answer == b""
        assert time.monotonic() - started < 3
        assert s.door.connections == 0


async def test_a_silent_client_is_closed_after_the_lifetime():
    async with Server(lifetime_s=0.3) as s:
        assert await ask(s.address, b"") == b""
        assert s.door.connections == 0


async def test_a_reader_that_does_not_read_is_closed_after_the_lifetime():
    async def much(_):
        return Answer(200, PLAIN, b"x" * (32 << 20))

    async with Server(much, lifetime_s=0.5) as s:
        host, _, port = s.address.rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port), limit=1024)
        writer.transport.pause_reading()
        writer.write(GET)
        await asyncio.sleep(0.2)
        assert s.door.connections == 1
        for _ in range(30):
            await asyncio.sleep(0.1)
            if not s.door.connections:
                break
        assert s.door.connections == 0
        writer.transport.abort()


async def test_a_body_is_not_read_and_does_not_tear_off_the_answer():
    async with Server() as s:
        started = time.monotonic()
        answer = await ask(s.address, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900000000\r\n\r\n" + b"x" * 200_000)
        assert status(answer) == 200
        assert time.monotonic() - started < 3


async def test_a_client_that_only_looks_in_leaves_no_slot_behind():
    async with Server() as s:
        await ask(s.address, b"", end=True)
        assert s.door.connections == 0
        assert s.refused == []


async def test_each_client_and_the_total_are_capped_and_counted():
    async with Server(per_client=3, total=4) as s:
        host, _, port = s.address.rpartition(":")
        held = [await asyncio.open_connection(host, int(port)) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert await ask(s.address, GET) == b""
        assert s.reached == 1
        other = await asyncio.open_connection(host, int(port), local_addr=("127.0.0.2", 0))
        await asyncio.sleep(0.05)
        assert s.door.connections == 4
        _, writer = await asyncio.open_connection(host, int(port), local_addr=("127.0.0.3", 0))
        await asyncio.sleep(0.05)
        assert s.reached == 2
        for w in (writer, other[1], *(w for _, w in held)):
            w.close()
        for _ in range(50):
            await asyncio.sleep(0.02)
            if not s.door.connections:
                break
        assert s.door.connections == 0
        assert status(await ask(s.address, GET)) == 200


@pytest.mark.parametrize(
    ("peername", "same_as"),
    [
        (("192.0.2.1", 5), ("192.0.2.1", 6)),
        (("2001:db8::1", 5, 0, 0), ("2001:db8::ffff:1", 6, 0, 0)),
        (("fe80::1%eth0", 5, 0, 2), ("fe80::2%eth1", 5, 0, 3)),
        (("::ffff:192.0.2.1", 5, 0, 0), ("192.0.2.1", 9)),
        (None, ""),
        (("nonsense", 1), None),
    ],
)
def test_what_one_client_is(peername, same_as):
    assert client_of(peername) == client_of(same_as)


def test_clients_differ():
    assert (
        len({client_of(p) for p in (("192.0.2.1", 1), ("192.0.2.2", 1), ("2001:db8:0:1::1", 1, 0, 0), ("2001:db8:0:2::1", 1, 0, 0))}) == 4
    )


async def test_an_ipv6_listener():
    async with Server(host="::1") as s:
        assert s.address.startswith("[::1]:")
        assert status(await ask(s.address, GET)) == 200


async def test_our_own_fault_is_named_by_type_alone(caplog):
    async def broken(request):
        raise KeyError(request.headers["User-Agent"])

    caplog.set_level(logging.DEBUG)
    async with Server(broken) as s:
        assert status(await ask(s.address, GET)) == 500
    (record,) = [r for r in caplog.records if r.name.startswith("blockd")]
    assert "KeyError" in record.getMessage()
    assert record.exc_info is None
    assert "canary" not in record.getMessage()


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.filterwarnings("ignore:.*uvloop.*:DeprecationWarning")
def test_leak_nothing_about_a_client_is_logged_at_debug(runner, monkeypatch):
    # aiohttp would write 102 lines for such a run, with addresses, raw requests and tracebacks.
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    root.addHandler(handler)
    monkeypatch.setattr(root, "level", logging.DEBUG)
    monkeypatch.setattr(logging, "raiseExceptions", False)

    async def attack():
        async with Server() as s:
            host, _, port = s.address.rpartition(":")
            for data in (GET, *HOSTILE.values()):
                reader, writer = await asyncio.open_connection(host, int(port), local_addr=("127.77.3.9", 0))
                writer.write(data)
                try:
                    await asyncio.wait_for(reader.read(100), 0.2)
                except (TimeoutError, ConnectionError):
                    pass
                writer.transport.abort()
        gc.collect()

    try:
        runner(attack())
    finally:
        root.removeHandler(handler)
    written = stream.getvalue().lower()
    for needle in ("canary", "127.77.3.9", "traceback", "error"):
        assert needle not in written


async def test_reload_takes_new_sockets_and_closes_old_ones():
    async with Server() as s:
        more = socket.create_server(("127.0.0.1", 0))
        await s.door.listen({"a": s.socket, "b": more})
        assert len(s.door.addresses()) == 2
        await s.door.listen({"b": more})
        (left,) = s.door.addresses()
        assert status(await ask(left, GET)) == 200
        with pytest.raises(OSError):
            await ask(s.address, GET)


async def test_drain_finishes_what_is_being_answered():
    begun = asyncio.Event()

    async def slow(_):
        begun.set()
        await asyncio.sleep(0.2)
        return Answer(200, PLAIN, b"done")

    async with Server(slow) as s:
        asking = asyncio.create_task(ask(s.address, GET))
        await begun.wait()
        await s.door.drain(2.0)
        assert parts(await asking)[1] == b"done"


@pytest.mark.filterwarnings("ignore:.*uvloop.*:DeprecationWarning")
def test_the_same_on_uvloop():
    # The roles run on uvloop, whose transports differ from asyncio's in half-closing and aborting.
    async def dialogue():
        async with Server(per_client=1, lifetime_s=1.0) as s:
            assert status(await ask(s.address, GET, end=True)) == 200
            assert parts(await ask(s.address, GET.replace(b"GET", b"HEAD")))[1] == b""
            assert status(await ask(s.address, HOSTILE["TLS"])) == 400
            assert await ask(s.address, b"GET / HT", end=True) == b""
            assert await ask(s.address, b"", end=True) == b""
            assert await ask(s.address, b"GET / HT") == b"", "closed after the lifetime"
            assert s.door.connections == 0
            host, _, port = s.address.rpartition(":")
            _, writer = await asyncio.open_connection(host, int(port))
            await asyncio.sleep(0.05)
            assert await ask(s.address, GET) == b""
            assert s.reached == 1
            writer.close()

    uvloop.run(dialogue())
