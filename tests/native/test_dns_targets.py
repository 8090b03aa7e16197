"""Where an upstream's answer leads to, and how much work an answer may make."""

from __future__ import annotations

import time

import pytest

from blockd.terms import Kind, Transport
from tests.native.dns_packets import HEAVY, message, record
from tests.native.dns_tools import CELL, NXDOMAIN, Rig, ask_for, upstream_answer


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.fixture
def ask(rig):
    return rig.ask(ask_for("www.example.com"), Transport.TCP)


def table(rig, folder, verdict=(NXDOMAIN, 15, CELL, ())):
    rig.swap(folder, {"listed.example": [(Kind.SUBTREE, 0)], "x.listed.example": [(Kind.ALLOW_EXACT, 1)]}, [verdict], lambda *_: 0)


@pytest.mark.parametrize(
    ("qtype", "answer"),
    [
        ("A", ["www.example.com 60 CNAME cdn.listed.example", "cdn.listed.example 60 A 192.0.2.1"]),
        ("A", ["www.example.com 60 CNAME a.example", "a.example 60 CNAME LISTED.example", "listed.example 60 A 192.0.2.1"]),
        ("A", ["example.com 60 DNAME listed.example", "www.example.com 60 CNAME www.listed.example"]),
        ("HTTPS", ["www.example.com 60 HTTPS 0 listed.example"]),
        ("HTTPS", ["www.example.com 60 HTTPS 1 listed.example alpn=h3"]),
        ("SVCB", ["www.example.com 60 SVCB 1 a.listed.example"]),
        ("CNAME", ["www.example.com 60 CNAME listed.example"]),
    ],
)
def test_targets_are_looked_up(rig, tmp_path, qtype, answer):
    table(rig, tmp_path)
    ask = rig.ask(ask_for("www.example.com", qtype))
    reply = rig.reply(ask, upstream_answer(ask, *answer))
    assert reply.hits
    assert all(hit == ((reply.hits[0][0][0], hit[0][1]),) for hit in reply.hits)


def test_targets_have_all_their_hits_in_order(rig, tmp_path):
    table(rig, tmp_path)
    ask = rig.ask(ask_for("www.example.com"))
    reply = rig.reply(
        ask,
        upstream_answer(
            ask,
            "www.example.com 60 CNAME x.listed.example",
            "x.listed.example 60 CNAME free.example",
            "free.example 60 CNAME listed.example",
        ),
    )
    assert [len(hits) for hits in reply.hits] == [2, 1]
    assert [hit[1] for hit in reply.hits[0]] == [False, True]
    assert reply.hits[1][0][1]


def test_no_target_is_the_owner_itself(rig, tmp_path):
    table(rig, tmp_path)
    for text in ("www.example.com 60 HTTPS 1 . alpn=h2", "www.example.com 60 HTTPS 1 free.example", "www.example.com 60 HTTPS 0 example"):
        ask = rig.ask(ask_for("www.example.com", "HTTPS"))
        assert rig.reply(ask, upstream_answer(ask, text)).hits == ()
    ask = rig.ask(ask_for("www.example.com"))
    reply = rig.reply(
        ask,
        upstream_answer(
            ask,
            "www.example.com 60 A 192.0.2.1",
            additional=["x.listed.example 60 A 192.0.2.1"],
            authority=["a.example 60 NS listed.example"],
        ),
    )
    assert reply.hits == ()


def test_many_targets_are_refused_and_counted(rig, ask):
    chain = [record(b"\xc0\x0c", 5, b"\1" + bytes((97 + i % 26,)) + b"\xc0\x10") for i in range(65)]
    assert rig.reply(ask, message(*chain[:64])).ttl_s == 0
    assert rig.limit("answer_records") == 0
    assert rig.core.walk_reply(ask, message(*chain), 7) == "malformed"
    assert rig.limit("answer_records") == 1


@pytest.mark.parametrize("name", HEAVY)
def test_no_answer_takes_a_millisecond(rig, ask, name):
    """The worst that 64 KiB can hold, compression forests included; the best of several runs in processor time."""
    packet = HEAVY[name]
    assert len(packet) <= 65535
    best = 1.0
    for _ in range(15):
        start = time.thread_time()
        reply = rig.core.walk_reply(ask, packet, 7)
        if not isinstance(reply, str):
            rig.core.finish(ask, reply, rig.now_ms)
        best = min(best, time.thread_time() - start)
    assert best < 0.001
    if name == "pointer forest":
        assert reply == "malformed"
        assert rig.limit("answer_records") > 0
