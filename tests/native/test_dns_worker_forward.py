"""The native UDP worker's plain forwarding: what it settles and what comes up."""

from __future__ import annotations

import threading
import time

import dns.message
import dns.rcode
import pytest

from blockd.counts import layout
from blockd.terms import Source
from tests.native.dns_tools import Rig, ask_for, ede, raw_query, wire
from tests.native.worker_tools import ADDRESS, Gate, Upstream, made_and_closed, reply, until


@pytest.fixture
def rig() -> Rig:
    return Rig(now_ms=time.monotonic_ns() // 1_000_000)


made = pytest.fixture(made_and_closed)


def test_a_miss_is_forwarded_and_then_cached(rig, made):
    upstream = made(Upstream)
    gate = made(Gate, rig, upstream)
    first, second = gate.ask(ask_for("www.example.com")), gate.ask(ask_for("wWw.example.com"))
    assert [str(answer.answer[0][0]) for answer in (first, second)] == ["192.0.2.1"] * 2
    assert len(upstream.queries) == 1
    until(lambda: rig.slab.read()[layout.RESPONSES + Source.CACHE] == 1)
    assert rig.slab.read()[layout.RESPONSES + Source.UPSTREAM] == 1


def test_the_query_that_goes_upstream_is_our_own(rig, made):
    upstream = made(Upstream)
    query = ask_for("wWw.example.com", want_dnssec=True)
    query.flags |= dns.flags.CD
    query.id = 0x1234
    made(Gate, rig, upstream).ask(query)
    seen = dns.message.from_wire(upstream.queries[0])
    assert str(seen.question[0].name) == "wWw.example.com."
    assert (seen.payload, seen.ednsflags, seen.flags, list(seen.options)) == (1232, 0x8000, 0x0110, [])


def test_ports_and_ids_are_many(rig, made):
    """Kaminsky 2008: a guesser must hit a port and an ID that he cannot foresee."""
    upstream = made(Upstream)
    client = (gate := made(Gate, rig, upstream)).client()
    for number in range(600):
        client.send(raw_query(f"n{number}.example.com"))
        client.recv(65535)
    ids = [int.from_bytes(query[:2]) for query in upstream.queries]
    assert len(set(ids)) > 580
    assert len(upstream.ports) >= 9  # 64 queries a port at most, eight at a time
    assert gate.worker.stats()["forwarded"] == 600


def test_equal_questions_share_one_way(rig, made):
    slow = threading.Event()
    upstream = made(Upstream, lambda query: slow.wait(5) and reply(query))
    gate = made(Gate, rig, upstream)
    clients = [gate.client() for _ in range(20)]
    for number, client in enumerate(clients):
        client.send(raw_query("www.example.com", identity=number))
    until(lambda: gate.worker.stats()["in_flight"] == 20)
    slow.set()
    assert [int.from_bytes(client.recv(65535)[:2]) for client in clients] == list(range(20))
    assert (len(upstream.queries), gate.worker.stats()["coalesced"]) == (1, 19)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        (lambda query: reply(query, rcode=2), "failed"),
        (lambda query: reply(query, rcode=5), "failed"),
        (lambda query: reply(query, flags=0x8380), "truncated"),
        (lambda query: reply(query)[:-1], "failed"),
        (lambda query: [b"\0\0" + reply(query)[2:] for _ in range(20)], "spoofed"),
    ],
)
def test_what_the_worker_does_not_settle_comes_up(rig, made, how, why):
    gate = made(Gate, rig, made(Upstream, how))
    client = gate.client()
    client.send(raw_query("www.example.com", identity=9))
    ((ask, whom),) = gate.polled()
    assert (ask.why, ask.tried, ask.wire, ask.epoch) == (why, 0, wire("www.example.com"), rig.core.epoch)
    assert gate.worker.send([(whom, rig.core.failure(ask, 2, 22, rig.now_ms))]) == 1
    assert client.recv(512)[:2] == b"\0\x09"


def test_silence_comes_up_after_a_second(rig, made):
    gate = made(Gate, rig, made(Upstream, lambda _query: None))
    started = time.monotonic()
    gate.client().send(raw_query("www.example.com"))
    ((ask, _),) = gate.polled()
    assert (ask.why, time.monotonic() - started > 0.9) == ("timeout", True)
    assert gate.worker.stats()["in_flight"] == 0


def test_a_closed_port_comes_up_at_once(rig, made):
    upstream = Upstream()
    gate = made(Gate, rig, upstream)
    upstream.close()
    started = time.monotonic()
    gate.client().send(raw_query("www.example.com"))
    ((ask, _),) = gate.polled()
    assert (ask.why, time.monotonic() - started < 0.9) == ("failed", True)


def test_a_slow_upstream_is_hedged(rig, made):
    slow = threading.Event()
    first, second = made(Upstream, lambda query: reply(query) if not slow.is_set() else None), made(Upstream)
    gate = made(Gate, rig, first, second)
    client = gate.client()
    for number in range(60):  # what fills the budget, and shows how fast it is
        client.send(raw_query(f"n{number}.example.com"))
        client.recv(65535)
    slow.set()
    client.send(raw_query("late.example.com"))
    assert client.recv(65535)[-4:] == ADDRESS
    assert gate.worker.stats()["hedged"] >= 1
    assert [row[:2] for row in gate.worker.upstreams()] == [(0, 60), (1, len(second.queries))]


def test_hedges_have_a_budget(rig, made):
    """An overload is not doubled: one in twenty at most."""
    first, second = made(Upstream, lambda _query: None), made(Upstream, lambda _query: None)
    gate = made(Gate, rig, first, second)
    client = gate.client()
    for number in range(200):
        client.send(raw_query(f"n{number}.example.com"))
    until(lambda: gate.worker.stats()["escalated"] == 200)
    assert len(second.queries) <= 200 / 20


def test_a_listed_target_makes_the_blocked_answer(rig, made, tmp_path):
    rig.block(tmp_path, "bad.example")
    upstream = made(Upstream, lambda query: reply(query, target=wire("www.bad.example")))
    gate = made(Gate, rig, upstream)
    for _ in range(2):
        answer = gate.ask(ask_for("www.example.com", use_edns=0))
        assert (answer.rcode(), ede(answer), answer.answer) == (dns.rcode.NXDOMAIN, 15, [])
    assert len(upstream.queries) == 2  # it is not cached


def test_special_names_come_up(rig, made):
    gate = made(Gate, rig, made(Upstream))
    for name in ("localhost", "a.b.LOCALHOST"):
        gate.client().send(raw_query(name))
        ((ask, _),) = gate.polled()
        assert ask.why == "miss"


def test_without_upstreams_every_miss_comes_up(rig, made):
    gate = made(Gate, rig)
    client = gate.client()
    client.send(raw_query("www.example.com"))
    ((ask, whom),) = gate.polled()
    assert (ask.why, ask.tried) == ("miss", -1)
    gate.worker.send([(whom, b"answer")])
    assert client.recv(512) == b"answer"


def test_a_swap_while_a_question_is_under_way(rig, made, tmp_path):
    go = threading.Event()
    upstream = made(Upstream, lambda query: go.wait(5) and reply(query))
    gate = made(Gate, rig, upstream)
    client = gate.client()
    client.send(raw_query("www.bad.example"))
    until(lambda: gate.worker.stats()["in_flight"] == 1)
    rig.block(tmp_path, "bad.example")
    go.set()
    assert client.recv(512)[3] & 15 == dns.rcode.NXDOMAIN


def test_a_cached_answer_with_a_target_that_a_swap_lists(rig, made, tmp_path):
    upstream = made(Upstream, lambda query: reply(query, target=wire("cdn.bad.example")))
    gate = made(Gate, rig, upstream)
    assert gate.ask(ask_for("www.example.com")).answer
    rig.block(tmp_path, "bad.example")
    assert gate.ask(ask_for("www.example.com")).rcode() == dns.rcode.NXDOMAIN
