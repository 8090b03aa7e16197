"""Forwarding against a scripted upstream: coalescing, failover, wrong packets, truncation, targets, failures, caches."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import dns.flags
import dns.message
import dns.rcode
import pytest

from blockd.dns import driver as driver_file
from blockd.dns import upstreams as upstreams_file
from blockd.dns.query import driver as query_file
from blockd.dns.route import driver as route_file
from blockd.dns.upstreams import SENDS_MAX
from tests.dns.running import Running, addresses, configured, ede, until
from tests.dns.upstream import ADDRESS, CLOSE, Gate, Upstream, free_port

pytestmark = pytest.mark.usefixtures("misses_come_up")

NOERROR, SERVFAIL, NXDOMAIN = dns.rcode.NOERROR, dns.rcode.SERVFAIL, dns.rcode.NXDOMAIN


def short(query):
    """A truncated answer over UDP, the whole over TCP."""
    yield query.address() if query.tcp else query.reply(flags=dns.flags.TC)


def silent(_):
    return ()


@pytest.fixture
def quick(monkeypatch):
    """Short timeouts: the rules are tested as dialogues, here it is the sockets."""
    from blockd.dns import forward

    monkeypatch.setattr(forward, "TIMEOUT_MS", dict.fromkeys(upstreams_file.Way, 150))
    monkeypatch.setattr(route_file, "PROBE_TIMEOUT_S", 0.15)


# The plain way


@pytest.mark.parametrize("scheme", ["udp", "tcp"])
@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_an_answer_is_forwarded(scheme, tcp):
    with Upstream() as up, Running(configured(up.port, scheme=scheme)) as r:
        response = r.ask("Www.Example.COM", tcp=tcp)
        assert addresses(response) == [ADDRESS]
        assert response.question[0].name.to_text() == "Www.Example.COM."
        assert [q.tcp for q in up.queries] == [scheme == "tcp"]


def test_what_goes_upstream_is_the_question_and_nothing_of_the_client():
    with Upstream() as up, Running(configured(up.port)) as r:
        options = [dns.edns.ECSOption("203.0.113.0", 24), dns.edns.CookieOption(b"12345678", b"")]
        r.ask("a.example", use_edns=0, payload=4096, options=options, want_dnssec=True)
        sent = up.queries[0].message
        assert (sent.edns, sent.payload, list(sent.options)) == (0, 1232, [])
        assert sent.ednsflags & dns.flags.DO
        assert sent.flags & dns.flags.RD


def test_unknown_types_pass_through_unharmed():
    def script(query):
        yield query.reply(rf"{query.name} 60 TYPE65400 \# 4 00ff00ff")

    with Upstream(script) as up, Running(configured(up.port)) as r:
        assert r.ask("a.example", "TYPE65400").answer[0][0].to_text() == r"\# 4 00ff00ff"


def test_ids_and_ports_are_random():
    with Upstream() as up, Running(configured(up.port)) as r:
        for number in range(40):
            r.ask(f"n{number}.example")
        ids = {q.message.id for q in up.queries}
        ports = {q.sender[1] for q in up.queries}
        assert len(ids) > 35
        assert len(ports) > 30
        steps = [b - a for a, b in zip(sorted(ports), sorted(ports)[1:], strict=False)]
        assert max(steps) > 50  # spread, not counted up


# Caches


def test_a_second_question_is_answered_from_the_cache_with_its_ttl_aged():
    with Upstream() as up, Running(configured(up.port)) as r:
        first, second = r.ask("a.example"), r.ask("A.EXAMPLE", tcp=True)
        assert first.answer[0].ttl == 60
        assert 0 < second.answer[0].ttl <= 60
        assert addresses(second) == [ADDRESS]
        assert up.asked("a.example.") == 1


@pytest.mark.parametrize("rcode", ["NXDOMAIN", "NOERROR"])
def test_negative_answers_are_cached(rcode):
    def script(query):
        yield query.reply(rcode=rcode, authority=["example. 300 SOA ns.example. h.example. 1 2 3 4 30"])

    with Upstream(script) as up, Running(configured(up.port)) as r:
        for _ in range(3):
            response = r.ask("a.example")
            assert dns.rcode.to_text(response.rcode()) == rcode
            assert response.authority[0].ttl <= 30  # the lesser of TTL and MINIMUM (RFC 2308 §5)
        assert up.asked("a.example.") == 1


def test_the_cache_keeps_do_and_cd_apart():
    with Upstream() as up, Running(configured(up.port)) as r:
        r.ask("a.example")
        r.ask("a.example", want_dnssec=True)
        r.ask("a.example", flags=dns.flags.RD | dns.flags.CD)
        assert up.asked("a.example.") == 3


def test_a_failure_is_remembered(quick):
    def script(query):
        yield query.reply(rcode="SERVFAIL")

    with Upstream(script) as up, Running(configured(up.port)) as r:
        assert r.ask("a.example").rcode() == SERVFAIL
        again = r.ask("a.example")
        assert (again.rcode(), ede(again)) == (SERVFAIL, [13])  # cached error
        assert up.asked("a.example.") == 1


# Coalescing


def test_many_equal_questions_are_one_question_upstream():
    gate = Gate()

    def script(query):
        yield gate
        yield query.address()

    with Upstream(script) as up, Running(configured(up.port)) as r, ThreadPoolExecutor(50) as pool:
        answers = [pool.submit(r.ask, "a.example", tcp=number % 5 == 0) for number in range(50)]
        gate.wait_reached()
        until(lambda: r.stats()["coalesced"] >= 49)
        gate.open()
        assert all(addresses(a.result()) == [ADDRESS] for a in answers)
        assert len({a.result().id for a in answers}) > 40
        assert up.asked("a.example.") == 1


def test_waiters_have_a_limit_and_the_others_are_told(monkeypatch):
    monkeypatch.setattr(driver_file, "WAITERS_MAX", 3)
    gate = Gate()

    def script(query):
        yield gate
        yield query.address()

    with Upstream(script) as up, Running(configured(up.port)) as r, ThreadPoolExecutor(5) as pool:
        answers = [pool.submit(r.ask, "a.example", tcp=True) for _ in range(5)]
        until(lambda: r.limit("pending") >= 2)
        gate.open()
        assert sorted(a.result().rcode() for a in answers) == [NOERROR] * 3 + [SERVFAIL] * 2


def test_pending_questions_have_a_limit(monkeypatch):
    monkeypatch.setattr(driver_file, "PENDING_MAX", 2)
    gate = Gate()

    def script(query):
        yield gate
        yield query.address()

    with Upstream(script) as up, Running(configured(up.port)) as r, ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(r.ask, f"n{n}.example", tcp=True) for n in range(3)]
        until(lambda: r.limit("pending"))
        gate.open()
        assert sorted(a.result().rcode() for a in answers) == [NOERROR, NOERROR, SERVFAIL]


# Failures of upstreams


def test_a_lost_packet_is_sent_again(quick):
    def script(query):
        if query.number > 1:
            yield query.address()

    with Upstream(script) as up, Running(configured(up.port)) as r:
        assert addresses(r.ask("a.example")) == [ADDRESS]
        assert up.asked("a.example.") == 2
        assert len({q.message.id for q in up.queries}) == 2


def test_at_most_three_sends_then_servfail_with_ede_22(quick, monkeypatch):
    from blockd.dns import forward

    monkeypatch.setattr(forward.Forward.__init__, "__defaults__", (900,))
    with Upstream(silent) as up, Running(configured(up.port)) as r:
        response = r.ask("a.example")
        assert (response.rcode(), ede(response)) == (SERVFAIL, [22])
        assert up.asked("a.example.") == SENDS_MAX


def test_failover_to_the_second_upstream(quick):
    with Upstream(silent) as first, Upstream() as second, Running(configured(first.port, second.port)) as r:
        for number in range(6):
            assert addresses(r.ask(f"n{number}.example")) == [ADDRESS]
        assert len(first.queries) == upstreams_file.SUSPECT_AFTER  # then it is asked last
        assert len(second.queries) == 6


def test_a_closed_port_fails_over_at_once():
    with Upstream() as up, Running(configured(free_port(), up.port)) as r:
        assert addresses(r.ask("a.example")) == [ADDRESS]
        assert r.health().upstreams[0]["requests"]["error"] == 1


def test_all_ports_closed_is_a_network_error():
    with Running(configured(free_port(), free_port())) as r:
        response = r.ask("a.example")
        assert (response.rcode(), ede(response)) == (SERVFAIL, [23])


def test_no_upstream_configured_is_a_network_error_and_not_ready():
    with Running(configured()) as r:
        assert ede(r.ask("a.example")) == [23]
        assert not r.health().ready


def test_a_dead_upstream_goes_down_by_probes_and_comes_back(quick, monkeypatch):
    from blockd.dns import forward

    monkeypatch.setattr(forward.Forward.__init__, "__defaults__", (900,))
    monkeypatch.setattr(upstreams_file, "PROBE_FIRST_MS", 50)
    with Upstream(silent) as up, Running(configured(up.port)) as r:
        pool = ThreadPoolExecutor(3)
        asked = [pool.submit(r.ask, f"n{n}.example") for n in range(3)]
        until(lambda: not r.health().upstreams[0]["up"])
        health = r.health()
        assert not health.ready
        assert "no upstream answers" in health.why_not
        up.script = lambda query: [query.address()]
        until(lambda: r.health().ready)
        pool.shutdown(wait=False, cancel_futures=True)
        assert all(a.result().rcode() in {NOERROR, SERVFAIL} for a in asked)


def test_a_node_out_of_sockets_blames_no_upstream_and_remembers_no_failure(monkeypatch):
    from blockd.dns import client

    with Upstream() as up, Running(configured(up.port)) as r:
        monkeypatch.setattr(client, "SOCKETS_MAX", 0)
        for number in range(10):
            assert r.ask(f"n{number}.example").rcode() == SERVFAIL
        assert r.limit("upstream_sockets") == 10
        monkeypatch.undo()
        assert addresses(r.ask("n0.example")) == [ADDRESS]
        assert r.health().ready


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED"])
def test_a_failing_upstream_is_passed_over(rcode):
    def failing(query):
        yield query.reply(rcode=rcode)

    with Upstream(failing) as first, Upstream() as second, Running(configured(first.port, second.port)) as r:
        assert addresses(r.ask("a.example")) == [ADDRESS]
        assert (len(first.queries), len(second.queries)) == (1, 1)


def test_a_refusal_that_was_meant_for_us_is_servfail():
    def refusing(query):
        yield query.reply(rcode="REFUSED")

    with Upstream(refusing) as up, Running(configured(up.port)) as r:
        response = r.ask("a.example")
        assert (response.rcode(), ede(response)) == (SERVFAIL, [22])


# Wrong packets


def wrong_id(query):
    yield (query.message.id ^ 1).to_bytes(2, "big") + query.address()[2:]
    yield query.address()


def wrong_question(query):
    other = dns.message.make_query("other.example", "A", id=query.message.id)
    yield dns.message.make_response(other).to_wire()
    yield query.address()


def a_query_back(query):
    yield query.wire
    yield query.address()


def garbage(query):
    yield b""
    yield b"\xff" * 5
    yield query.wire[:2] + b"\x81"
    yield query.address()


@pytest.mark.parametrize("script", [wrong_id, wrong_question, a_query_back, garbage])
def test_wrong_packets_are_ignored_and_the_right_one_is_taken(script):
    with Upstream(script) as up, Running(configured(up.port)) as r:
        assert addresses(r.ask("a.example")) == [ADDRESS]
        assert len(up.queries) == 1


def test_spoof_flood_from_the_upstreams_address_goes_to_tcp():
    def flood(query):
        if query.tcp:
            yield query.address()
        for guess in range(query_file.WRONG_MAX):
            yield (query.message.id + 1 + guess & 0xFFFF).to_bytes(2, "big") + query.address()[2:]

    with Upstream(flood) as up, Running(configured(up.port)) as r:
        assert addresses(r.ask("a.example")) == [ADDRESS]
        assert [q.tcp for q in up.queries] == [False, True]


def test_an_answer_from_another_port_is_not_seen():
    import socket

    def script(query):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.sendto(query.reply(f"{query.name} 60 A 192.0.2.66"), query.sender)
        yield query.address()

    with Upstream(script) as up, Running(configured(up.port)) as r:
        assert addresses(r.ask("a.example")) == [ADDRESS]


@pytest.mark.parametrize("tail", [b"\xc0", b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\1\2\3", b"\xc0\xff" * 30], ids=["cut", "short-rdata", "pointers"])
def test_a_malformed_answer_fails_over(tail):
    def malformed(query):
        good = query.address()
        end = 12 + len(query.message.question[0].name.to_wire()) + 4
        yield good[:6] + b"\0\1\0\0\0\0" + good[12:end] + tail

    with Upstream(malformed) as first, Upstream() as second, Running(configured(first.port, second.port)) as r:
        assert addresses(r.ask("a.example")) == [ADDRESS]
        assert r.health().upstreams[0]["requests"]["malformed"] == 1


# Truncation and TCP


def test_a_truncated_answer_is_asked_for_again_over_tcp():
    with Upstream(short) as up, Running(configured(up.port)) as r:
        assert addresses(r.ask("a.example")) == [ADDRESS]
        assert [q.tcp for q in up.queries] == [False, True]


def test_tcp_connections_are_used_again():
    with Upstream(short) as up, Running(configured(up.port)) as r:
        for number in range(5):
            assert addresses(r.ask(f"n{number}.example")) == [ADDRESS]
        assert up.connections == 1


def test_a_connection_that_the_upstream_closed_meanwhile_costs_no_answer():
    def script(query):
        yield query.address()
        yield CLOSE

    with Upstream(script) as up, Running(configured(up.port, scheme="tcp")) as r:
        for number in range(5):
            assert addresses(r.ask(f"n{number}.example")) == [ADDRESS]


def test_a_large_answer_is_whole_over_tcp_and_truncated_over_udp():
    def script(query):
        if not query.tcp:
            yield query.reply(flags=dns.flags.TC)
        yield query.reply(*[f"{query.name} 60 A 10.0.{n // 256}.{n % 256}" for n in range(300)])

    with Upstream(script) as up, Running(configured(up.port)) as r:
        truncated = r.ask("a.example")
        assert truncated.flags & dns.flags.TC
        whole = r.ask("a.example", tcp=True)
        assert len(addresses(whole)) == 300
        assert not whole.flags & dns.flags.TC


def test_the_driver_is_idle_when_everything_is_answered():
    with Upstream() as up, Running(configured(up.port)) as r:
        r.ask("a.example")
        assert r.stats()["in_flight"] == 0
        assert threading.active_count() < 100
