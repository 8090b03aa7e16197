"""What is remembered and for how long, with a clock that the test turns: answers, negative answers, failures.

Over TCP, which the loop answers: native threads have the machine's clock. The caches are the same.
"""

from __future__ import annotations

import dns.rcode
import pytest

from blockd.dns import server
from tests.dns.running import Running, addresses, configured, ede
from tests.dns.upstream import ADDRESS, Upstream

SERVFAIL = dns.rcode.SERVFAIL


@pytest.fixture
def clock(monkeypatch):
    """Turned by the test, in seconds."""

    class Clock:
        ahead_s = 0

    real = server._now_ms
    monkeypatch.setattr(server, "_now_ms", lambda: real() + Clock.ahead_s * 1000)
    return Clock


def test_ttls_are_aged_and_end(clock):
    with Upstream() as up, Running(configured(up.port)) as r:
        r.ask("a.example", tcp=True)
        clock.ahead_s = 20
        assert 38 <= r.ask("a.example", tcp=True).answer[0].ttl <= 40
        assert up.asked("a.example.") == 1
        clock.ahead_s = 61
        assert r.ask("a.example", tcp=True).answer[0].ttl == 60
        assert up.asked("a.example.") == 2


@pytest.mark.parametrize("rcode", ["NXDOMAIN", "NOERROR"])
def test_negative_answers_end_with_the_lesser_of_ttl_and_minimum(clock, rcode):
    def script(query):
        yield query.reply(rcode=rcode, authority=["example. 300 SOA ns.example. h.example. 1 2 3 4 30"])

    with Upstream(script) as up, Running(configured(up.port)) as r:
        r.ask("a.example", tcp=True)
        clock.ahead_s = 29
        assert dns.rcode.to_text(r.ask("a.example", tcp=True).rcode()) == rcode
        assert up.asked("a.example.") == 1
        clock.ahead_s = 31
        r.ask("a.example", tcp=True)
        assert up.asked("a.example.") == 2


def test_a_ttl_of_zero_is_not_cached(clock):
    with Upstream(lambda q: [q.address(ttl=0)]) as up, Running(configured(up.port)) as r:
        for _ in range(2):
            assert addresses(r.ask("a.example")) == [ADDRESS]
        assert up.asked("a.example.") == 2


def test_failures_hold_for_five_seconds_and_then_twice_as_long(clock):
    def failing(query):
        yield query.reply(rcode="SERVFAIL")

    with Upstream(failing) as up, Running(configured(up.port)) as r:
        asked = []
        for clock.ahead_s in (0, 4, 6, 11, 14, 17, 25, 35, 37):
            assert r.ask("a.example", tcp=True).rcode() == SERVFAIL
            asked.append(up.asked("a.example."))
        assert asked == [1, 1, 2, 2, 2, 3, 3, 3, 4]  # 5 s, 10 s, 20 s (RFC 9520 §3.2)
        up.script = lambda q: [q.address()]
        clock.ahead_s = 37 + 41
        assert addresses(r.ask("a.example", tcp=True)) == [ADDRESS]


def test_a_cached_failure_says_so(clock):
    with Upstream(lambda q: [q.reply(rcode="SERVFAIL")]) as up, Running(configured(up.port)) as r:
        r.ask("a.example")
        assert ede(r.ask("a.example")) == [13]
