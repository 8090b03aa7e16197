"""The stop page as a service: real table, real sockets, and clients that do not behave."""

from __future__ import annotations

import logging
import socket

import aiohttp
import pytest

from blockd.admin.driver import Limits
from blockd.counts.tallies import FIXED
from blockd.errors import Refused
from blockd.stop_page.page import Helpline
from blockd.stop_page.server import StopPage
from blockd.stop_page.words import WORDS
from tests.admin.raw import HOSTILE, ask, parts, status
from tests.stop_page.gateway import LISTS, NOW, Running, configuration, generation


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    return generation(tmp_path_factory.mktemp("lists"))


def counted(slab):
    return {FIXED[cell][1:]: n for cell, n in enumerate(slab.read()[: len(FIXED)]) if n and FIXED[cell][0] in {"page", "limit"}}


def get(host, *, method="GET", target="/", language="", extra=b""):
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"] + ([f"Accept-Language: {language}"] if language else [])
    return "\r\n".join(lines).encode() + b"\r\n" + extra + b"\r\n"


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("casino.example", 403), ("CASINO.example.", 403), ("www.casino.example:8080", 403), ("ordered.example", 451), ("both.example", 451),
        ("adult.example", 403), ("www.adult.example", 421), ("shadow.example", 421), ("fine.example", 421), ("silent.example", 421),
        ("bare.example", 451), ("192.0.2.80", 421), ("[2001:db8::80]:80", 421), ("xn--bcher-kva.example", 403), ("not a name", 421),
    ],
)  # fmt: skip
async def test_status_by_host(live, host, code):
    async with Running(live) as r:
        assert status(await ask(r.address, get(host))) == code


@pytest.mark.parametrize(("language", "direction"), [("en", "ltr"), ("fr-FR,fr;q=0.9", "ltr"), ("ar", "rtl")])
async def test_the_readers_language(live, language, direction):
    async with Running(live) as r, aiohttp.ClientSession() as session:
        url = f"http://{r.address}/secret-path?q=canary"
        async with session.get(url, headers={"Host": "casino.example", "Accept-Language": language}) as answer:
            text = await answer.text()
            short = language[:2]
            assert answer.status == 403
            assert f'<html lang="{short}" dir="{direction}">' in text
            assert WORDS[short].blocked in text
            assert (answer.headers["Content-Language"], answer.headers["Vary"]) == (short, "Accept-Language")
            assert counted(r.slab) == {("403", short): 1}


async def test_the_operator_the_help_and_the_contact_come_from_the_configuration(live):
    async with Running(live) as r:
        _, body = parts(await ask(r.address, get("casino.example")))
        for text in (b"Example ISP", b"abuse@example.net", b"Stop It Now", b"ops/gambling", b"06:00 UTC"):
            assert text in body


async def test_nothing_of_the_request_comes_back(live):
    extra = b"Referer: http://canary.example/\r\nUser-Agent: canary\r\nCookie: canary=1\r\nOrigin: http://canary.example\r\nX-Forwarded-For: 203.0.113.77\r\n"
    async with Running(live) as r:
        for host in ("canary.casino.example", "canary.ordered.example", "canary.bare.example", "canary.fine.example"):
            answer = (await ask(r.address, get(host, target="/canary?canary=1", extra=extra))).lower()
            asked = (b"canary", b"casino", b"ordered.example", b"bare.example", b"fine.example", b"203.0.113.77")
            for needle in (*asked, b"set-cookie", b"location:", b"access-control"):
                assert needle not in answer


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW", "PROPFIND"])
async def test_the_same_answer_for_every_method(live, method):
    async with Running(live) as r:
        reference = await ask(r.address, get("casino.example"))
        answer = await ask(r.address, get("casino.example", method=method))
        if status(answer) == 400:  # a method that the parser does not know
            assert method == "BREW"
            return
        assert status(answer) == 403
        assert parts(answer)[1] == parts(reference)[1]


async def test_head_has_the_headers_and_no_body(live):
    async with Running(live) as r:
        whole, body = parts(await ask(r.address, get("ordered.example")))
        headers, nothing = parts(await ask(r.address, get("ordered.example", method="HEAD")))
        assert nothing == b""
        assert headers.pop("date", None)
        whole.pop("date")
        assert headers == whole
        assert int(headers["content-length"]) == len(body)
        assert headers["connection"] == "close"


async def test_two_readers_at_once_get_the_same_octets(live):
    async with Running(live) as r:
        assert (
            parts(await ask(r.address, get("casino.example")))[1]
            == parts(await ask(r.address, get("b.casino.example", target="/other")))[1]
        )


async def test_notify_none_looks_like_not_blocked(live):
    async with Running(live) as r:
        silent, fine = [await ask(r.address, get(host)) for host in ("silent.example", "fine.example")]
        assert parts(silent)[1] == parts(fine)[1]
        assert parts(silent)[0].keys() == parts(fine)[0].keys()


async def test_absolute_form_decides_over_host(live):
    # RFC 9112 §3.2.2: else a listed site could be asked for under another's name.
    async with Running(live) as r:
        assert status(await ask(r.address, get("fine.example", target="http://ordered.example/"))) == 451
        assert status(await ask(r.address, get("ordered.example", target="http://fine.example/"))) == 421


async def test_no_host_and_two_hosts_are_bad_requests(live):
    async with Running(live) as r:
        assert status(await ask(r.address, b"GET / HTTP/1.1\r\n\r\n")) == 400
        assert status(await ask(r.address, b"GET / HTTP/1.1\r\nHost: casino.example\r\nHost: fine.example\r\n\r\n")) == 400
        assert status(await ask(r.address, b"GET / HTTP/1.0\r\n\r\n")) == 421


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_octets(live, name, caplog):
    caplog.set_level(logging.DEBUG)
    async with Running(live, limits=Limits(50, 20, 2.0)) as r:
        answer = await ask(r.address, HOSTILE[name].replace(b"canary.example", b"canary.casino.example"))
        assert answer.count(b"HTTP/1.") <= 1
        assert b"canary" not in answer.lower()
        assert b"casino" not in answer.lower()
        assert status(answer) in {0, 400, 403, 421}
        assert sum(counted(r.slab).values()) == (1 if answer else 0), "what was answered is what was counted"
    said = "".join(record.getMessage() for record in caplog.records)
    for needle in ("canary", "casino", "127.0.0.1", "Traceback"):
        assert needle not in said
    assert not [record for record in caplog.records if record.exc_info]


async def test_before_any_list_it_asks_to_come_back():
    async with Running(None) as r:
        answer = await ask(r.address, get("casino.example", language="fr"))
        assert (status(answer), parts(answer)[0]["retry-after"]) == (503, "30")
        assert counted(r.slab) == {("503", "fr"): 1}
        assert r.service.health().ready


async def test_a_new_generation_is_answered_from_at_once(live, tmp_path):
    more = dict(LISTS)
    more["ops/gambling"] = (*LISTS["ops/gambling"][:4], {"other.example": LISTS["ops/gambling"][4]["casino.example"]})
    async with Running(live) as r:
        await r.service.apply(generation(tmp_path, 2, more))
        assert status(await ask(r.address, get("casino.example"))) == 421
        assert status(await ask(r.address, get("other.example"))) == 403


async def test_a_switch_opens_a_list_until_its_instant(live):
    async with Running(live) as r:
        await r.service.request("switches", {"killed": {"ops/gambling": NOW + 60}})
        assert status(await ask(r.address, get("casino.example"))) == 421
        r.service._clock = lambda: NOW + 61
        assert status(await ask(r.address, get("casino.example"))) == 403
        for verb, arguments in (("nonsense", {}), ("switches", {}), ("switches", {"killed": {"a/b": "soon"}})):
            with pytest.raises(Refused):
                await r.service.request(verb, arguments)


async def test_reload_changes_the_words_and_the_sockets(live):
    async with Running(live) as r:
        more = socket.create_server(("127.0.0.1", 0))
        config = configuration(operator="Other ISP", helplines=(), contact=())
        await r.service.reload(config, {"stop_page 127.0.0.1:1": more})
        (address,) = r.service.health().listen["stop_page"]
        assert address != r.address
        assert b"Other ISP" in await ask(address, get("casino.example"))


async def test_clients_over_the_cap_are_turned_away_and_counted(live):
    async with Running(live, limits=Limits(10, 0, 3.0)) as r:
        assert await ask(r.address, get("casino.example")) == b""
        assert counted(r.slab) == {("stop_page_connections",): 1}


async def test_health_before_and_after(live):
    service = StopPage()
    assert not service.health().ready
    assert "does not listen" in service.health().why_not
    async with Running(live) as r:
        assert r.service.health().ready
    config = configuration(listen=())
    async with Running(live):
        idle = StopPage()
        await idle.start(config, {}, r.slab, live)
        assert idle.health().ready, "a gateway that serves no page is not unready for it"
        await idle.drain(0.1)


async def test_helplines_reach_the_page_as_configured(live):
    async with Running(live) as r:
        assert r.service._settings.helplines[0] == Helpline("Stop It Now", "0800 1000 900", "https://help.example/", "en")
