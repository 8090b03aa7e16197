"""One question over real sockets: hedging, answers beyond their time, TLS from end to end, what native threads tried."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import dns.rcode
import pytest

from blockd.config.schema import Endpoint
from blockd.config.schema import Upstream as Configured
from blockd.dns import forward
from blockd.dns.hedge import QUERIES_A_HEDGE, SAMPLES_LEAST
from blockd.dns.upstreams import HEDGED, Way
from tests.dns.running import Running, addresses, configured, ede, generation, listed, until
from tests.dns.tls_upstream import NAME, Authority, TlsUpstream
from tests.dns.upstream import ADDRESS, Gate, Upstream

pytestmark = pytest.mark.usefixtures("misses_come_up")

NOERROR, SERVFAIL, NXDOMAIN = dns.rcode.NOERROR, dns.rcode.SERVFAIL, dns.rcode.NXDOMAIN


def row(r, place):
    return r.health().upstreams[place]


def warm(r):
    """Enough answers to know when one is late, and a budget."""
    for number in range(max(SAMPLES_LEAST, QUERIES_A_HEDGE)):
        r.ask(f"warm{number}.example")


# Hedging


def test_a_late_query_is_answered_by_the_second_upstream_and_the_loser_still_counts():
    gate = Gate()

    def slow(query):
        if query.name == "late.example.":
            yield gate
        yield query.address()

    with Upstream(slow) as first, Upstream() as second, Running(configured(first.port, second.port)) as r:
        warm(r)
        before = row(r, 0)["requests"]["ok"]
        assert addresses(r.ask("late.example")) == [ADDRESS]
        assert second.asked("late.example.") == 1
        assert row(r, 1)["requests"][HEDGED] == 1
        assert {q.message.id for q in first.queries if q.name == "late.example."} != {q.message.id for q in second.queries}
        gate.open()
        until(lambda: row(r, 0)["requests"]["ok"] == before + 1)
        assert r.stats()["in_flight"] == 0


def test_a_loser_that_stays_silent_counts_as_silent(monkeypatch):
    monkeypatch.setattr(forward, "TIMEOUT_MS", dict.fromkeys(Way, 150))

    def slow(query):
        if not query.name.startswith("late"):
            yield query.address()

    with Upstream(slow) as first, Upstream() as second, Running(configured(first.port, second.port)) as r:
        warm(r)
        assert addresses(r.ask("late.example")) == [ADDRESS]
        until(lambda: row(r, 0)["requests"]["timeout"] == 1)


def test_the_crash_of_the_first_upstream_loses_no_query():
    with Upstream() as second, Upstream() as first, Running(configured(first.port, second.port)) as r, ThreadPoolExecutor(8) as pool:
        warm(r)
        asked = [pool.submit(r.ask, f"n{n}.example") for n in range(40)]
        first.script = lambda _: ()
        asked += [pool.submit(r.ask, f"m{n}.example") for n in range(40)]
        assert all(addresses(a.result()) == [ADDRESS] for a in asked)


# Beyond their time (RFC 8767)


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(forward, "STALE_MS", 100)


def expired(r, name="a.example", rcode=NOERROR):
    """Have an answer in the cache whose time is up: its TTL is one second."""
    r.ask(name)
    r.call(setattr, r.resolver._driver, "now_ms", lambda before=r.resolver._driver.now_ms: before() + 5000)
    return name


def answer_once(gate=None):
    def script(query):
        if query.number == 1:
            yield query.address(ttl=1)
        elif gate is not None:
            yield gate
            yield query.address()

    return script


def test_an_old_answer_comes_after_the_response_timer_and_the_query_goes_on_and_refreshes(hasty):
    gate = Gate()
    with Upstream(answer_once(gate)) as up, Running(configured(up.port)) as r:
        name = expired(r)
        old = r.ask(name, tcp=True)
        assert (addresses(old), old.answer[0].ttl, ede(old)) == ([ADDRESS], 30, [3])
        assert r.stats()["stale"] == 1
        assert r.stats()["in_flight"] == 1
        again = r.ask(name, tcp=True)  # joins the slow query and does not wait
        assert ede(again) == [3]
        assert up.asked("a.example.") == 2
        gate.open()
        until(lambda: not r.stats()["in_flight"])
        new = r.ask(name, tcp=True)
        assert (addresses(new), ede(new)) == ([ADDRESS], [])
        assert new.answer[0].ttl > 30
        assert up.asked("a.example.") == 2


def test_an_old_nxdomain_is_told_as_such(hasty):
    def script(query):
        if query.number == 1:
            yield query.reply(rcode="NXDOMAIN", authority=["example. 1 SOA ns. host. 1 2 3 4 1"])

    with Upstream(script) as up, Running(configured(up.port)) as r:
        old = r.ask(expired(r), tcp=True)
        assert (old.rcode(), ede(old)) == (NXDOMAIN, [19])


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED"])
def test_an_old_answer_comes_before_a_failure(rcode):
    def script(query):
        yield query.address(ttl=1) if query.number == 1 else query.reply(rcode=rcode)

    with Upstream(script) as up, Running(configured(up.port)) as r:
        old = r.ask(expired(r), tcp=True)
        assert (addresses(old), ede(old)) == ([ADDRESS], [3])
        assert ede(r.ask("a.example", tcp=True)) == [3]  # while the failure holds, at once
        assert up.asked("a.example.") == 2


def test_an_old_answer_when_no_upstream_can_be_reached():
    with Running(configured()) as r:
        with Upstream() as up:
            up.script = lambda query: [query.address(ttl=1)]
            r.reload(upstreams=(Configured("udp", Endpoint("127.0.0.1", up.port)),))
            name = expired(r)
        assert ede(r.ask(name, tcp=True)) == [3]


def test_without_an_old_answer_nothing_changes(hasty):
    gate = Gate()

    def script(query):
        yield gate
        yield query.address()

    with Upstream(script) as up, Running(configured(up.port)) as r, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(r.ask, "a.example", tcp=True)
        gate.wait_reached()
        job = next(iter(r.resolver._driver._jobs.values()))
        until(lambda: job.slow)
        gate.open()
        response = asked.result()
        assert (addresses(response), ede(response)) == ([ADDRESS], [])


def test_a_listed_name_is_never_served_old(hasty, tmp_path):
    with (
        Upstream(answer_once()) as up,
        Running(configured(up.port, lists=["a/l"]), generation(tmp_path, 1, listed("a/l", ["other.example"]))) as r,
    ):
        name = expired(r)
        r.apply(generation(tmp_path, 2, listed("a/l", [name])))
        blocked = r.ask(name, tcp=True)
        assert (blocked.rcode(), ede(blocked)) == (NXDOMAIN, [15])
        assert r.stats()["stale"] == 0


def test_a_name_that_is_listed_while_it_is_asked_for_is_never_served_old(hasty, tmp_path, monkeypatch):
    monkeypatch.setattr(forward, "STALE_MS", 400)
    with (
        Upstream(answer_once()) as up,
        Running(configured(up.port, lists=["a/l"]), generation(tmp_path, 1, listed("a/l", ["other.example"]))) as r,
    ):
        name = expired(r)
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(r.ask, name, tcp=True)
            until(lambda: r.stats()["in_flight"])
            r.apply(generation(tmp_path, 2, listed("a/l", [name])))
            assert asked.result().rcode() == NXDOMAIN
        assert r.stats()["stale"] == 0


def test_a_listed_target_is_never_served_old(hasty, tmp_path):
    def script(query):
        if query.number == 1:
            yield query.reply("a.example. 1 CNAME bad.example.", f"bad.example. 1 A {ADDRESS}")

    with (
        Upstream(script) as up,
        Running(configured(up.port, lists=["a/l"]), generation(tmp_path, 1, listed("a/l", ["other.example"]))) as r,
    ):
        name = expired(r)
        r.apply(generation(tmp_path, 2, listed("a/l", ["bad.example"])))
        up.script = lambda query: [query.reply("a.example. 1 CNAME bad.example.", f"bad.example. 1 A {ADDRESS}")]
        answer = r.ask(name, tcp=True)
        assert (answer.rcode(), addresses(answer)) == (NXDOMAIN, [])
        assert r.stats()["stale"] == 0


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


def over_tls(authority, *ports, name=NAME):
    config = configured()
    upstreams = tuple(Configured("tls", Endpoint("127.0.0.1", port), name) for port in ports)
    return replace(config, dns=replace(config.dns, upstreams=upstreams, upstream_ca=authority.path))


@pytest.mark.parametrize("tcp", [False, True])
def test_an_answer_over_tls(authority, tcp):
    with TlsUpstream(authority.certificate(NAME)) as up, Running(over_tls(authority, up.port)) as r:
        assert addresses(r.ask("Www.Example.COM", tcp=tcp)) == [ADDRESS]
        assert row(r, 0)["address"] == f"tls://{NAME}@127.0.0.1:{up.port}"
        assert row(r, 0)["requests"]["ok"] == 1


def test_a_wrong_certificate_is_one_line_in_log_and_status_and_the_next_upstream_answers(authority, caplog):
    wrong, right = authority.certificate("other.example"), authority.certificate(NAME)
    with TlsUpstream(wrong) as bad, TlsUpstream(right) as good, Running(over_tls(authority, bad.port, good.port)) as r:
        for number in range(4):
            assert addresses(r.ask(f"n{number}.example")) == [ADDRESS]
        assert bad.queries == []
        assert row(r, 0)["requests"]["certificate"] == 3  # then it is asked last
        assert "is not for resolver.example" in row(r, 0)["why"]
        until(lambda: [record for record in caplog.records if "certificate" in record.message])
        until(lambda: not row(r, 0)["up"])
        assert len([record for record in caplog.records if "certificate" in record.message]) == 1


def test_without_a_believable_upstream_it_is_servfail_and_never_plain(authority):
    with TlsUpstream(authority.certificate("other.example")) as up, Running(over_tls(authority, up.port)) as r:
        assert r.ask("a.example").rcode() == SERVFAIL
        assert up.queries == []


def test_another_authority_takes_effect_with_a_reload(authority, tmp_path):
    stranger = Authority(tmp_path, "stranger")
    with TlsUpstream(stranger.certificate(NAME)) as up, Running(over_tls(authority, up.port)) as r:
        assert r.ask("a.example").rcode() == SERVFAIL
        r.reload(upstream_ca=stranger.path)
        assert addresses(r.ask("b.example")) == [ADDRESS]
