"""The answers of blocked names: every action, every type, every kind of client, read back by dnspython."""

from __future__ import annotations

import itertools

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest

from blockd.counts import layout
from blockd.terms import Kind, Source, Transport
from tests.native.dns_tools import (
    ADDRESS4,
    ADDRESS6,
    CELL,
    DROP,
    NODATA,
    NXDOMAIN,
    REFUSED,
    SDE,
    STOP_PAGE,
    Rig,
    ask_for,
    check_soa,
    ede,
    wire,
)

TYPES = ("A", "AAAA", "NS", "DS", "MX", "TXT", "HTTPS", "SVCB", "CNAME", "SOA", "DNSKEY", "RRSIG", "ANY", "TYPE1000", "TYPE65535")
CLIENTS = (
    {"use_edns": False},
    {"use_edns": 0},
    {"use_edns": 0, "want_dnssec": True},
    {"use_edns": 0, "payload": 100},
    {"use_edns": 0, "options": [SDE]},
    {"use_edns": False, "flags": dns.flags.CD},
    {"use_edns": 0, "want_dnssec": True, "flags": dns.flags.CD | dns.flags.RD | dns.flags.AD},
)


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.mark.parametrize(("action", "rcode"), [(NXDOMAIN, dns.rcode.NXDOMAIN), (NODATA, dns.rcode.NOERROR)])
@pytest.mark.parametrize("code", [-1, 15, 16, 17])
def test_negative_answers_are_one_for_every_type_and_client(rig, tmp_path, action, rcode, code):
    rig.block(tmp_path, "bad.example", action=action, ede=code)
    for qtype, client, name in itertools.product(TYPES, CLIENTS, ("bad.example", "a.b.BAD.example")):
        query = ask_for(name, qtype, **client)
        for transport in Transport:
            answer = rig.send(query, transport)
            assert answer.rcode() == rcode
            check_soa(answer, query)
            assert ede(answer) == (code if code >= 0 and query.edns == 0 else None)


def test_names_beside_and_above_are_free(rig, tmp_path):
    rig.block(tmp_path, "bad.example")
    for name in ("example", "good.example", "xbad.example", "bad.example.com", "b.ad.example", ".", "bad"):
        assert rig.ask(ask_for(name)).why == "miss"


def test_refused_has_no_records(rig, tmp_path):
    """A list with the action refused sends its basis code, never 18."""
    rig.block(tmp_path, "bad.example", action=REFUSED, ede=16)
    for qtype, client in itertools.product(TYPES, CLIENTS):
        answer = rig.send(ask_for("bad.example", qtype, **client))
        assert answer.rcode() == dns.rcode.REFUSED
        assert not answer.answer
        assert not answer.authority
        assert ede(answer) in {None, 16}


def test_drop_is_silence_and_is_counted(rig, tmp_path):
    rig.block(tmp_path, "bad.example", action=DROP)
    assert rig.raw(ask_for("x.bad.example").to_wire()) is None
    assert rig.count(CELL) == 1
    assert sum(rig.slab.read()[layout.RESPONSES : layout.DURATIONS]) == 0


@pytest.mark.parametrize(
    ("addresses4", "addresses6", "qtype", "expected"),
    [
        ([ADDRESS4], [], "A", ["192.0.2.7"]),
        ([ADDRESS4], [], "AAAA", []),
        ([], [ADDRESS6], "AAAA", ["2001:db8::7"]),
        ([], [ADDRESS6], "A", []),
        ([ADDRESS4, b"\xc0\x00\x02\x08"], [ADDRESS6], "A", ["192.0.2.7", "192.0.2.8"]),
        ([ADDRESS4], [ADDRESS6], "HTTPS", []),
        ([ADDRESS4], [ADDRESS6], "ANY", []),
    ],
)
def test_a_stop_page_gives_its_addresses(rig, tmp_path, addresses4, addresses6, qtype, expected):
    rig.configure(addresses4=addresses4, addresses6=addresses6, ttl_s=25)
    rig.block(tmp_path, "bad.example", action=STOP_PAGE, ede=16)
    query = ask_for("www.bad.example", qtype, use_edns=0)
    answer = rig.send(query)
    assert answer.rcode() == dns.rcode.NOERROR
    assert ede(answer) == 16
    if expected:
        (found,) = answer.answer
        assert (found.name, found.ttl) == (query.question[0].name, 25)
        assert [rdata.to_text() for rdata in found] == expected
        assert not answer.authority
    else:
        check_soa(answer, query, 25)


def test_a_stop_page_without_addresses_is_nxdomain(rig, tmp_path):
    rig.configure(addresses4=(), addresses6=())
    rig.block(tmp_path, "bad.example", action=STOP_PAGE)
    for qtype in TYPES:
        query = ask_for("bad.example", qtype)
        answer = rig.send(query)
        assert answer.rcode() == dns.rcode.NXDOMAIN
        check_soa(answer, query)


@pytest.mark.parametrize("data", [b"", b"ignored"])
def test_a_client_with_structured_errors_never_gets_a_forged_address(rig, tmp_path, data):
    rig.configure(addresses4=[ADDRESS4], addresses6=[ADDRESS6])
    rig.block(tmp_path, "bad.example", action=STOP_PAGE, ede=17)
    for qtype in TYPES:
        query = ask_for("bad.example", qtype, use_edns=0, options=[dns.edns.GenericOption(26, data)])
        answer = rig.send(query)
        assert (answer.rcode(), ede(answer)) == (dns.rcode.NXDOMAIN, 17)
        check_soa(answer, query)


def test_class_any_is_blocked_and_answered_in_class_in(rig, tmp_path):
    rig.block(tmp_path, "bad.example", action=STOP_PAGE)
    packet = ask_for("bad.example", rdclass="ANY").to_wire()
    found = rig.raw(packet)
    assert isinstance(found, bytes)
    assert found.endswith(b"\xc0\x0c\0\1\0\1\0\0\0\x1e\0\4" + ADDRESS4)


def test_other_classes_are_blocked_without_an_address(rig, tmp_path):
    rig.block(tmp_path, "bad.example", action=STOP_PAGE)
    query = ask_for("bad.example", rdclass="HS")
    found = rig.raw(query.to_wire())
    assert isinstance(found, bytes)
    assert found[3] & 15 == 0
    assert found[6:10] == b"\0\0\0\1"
    assert ADDRESS4 not in found


def test_every_blocked_answer_fits_512_octets(rig, tmp_path):
    name = ".".join(["a" * 63] * 3 + ["b" * 57]) + ".x.y"  # 255 octets
    rig.configure(addresses4=[bytes((10, 0, 0, i)) for i in range(8)], addresses6=[bytes(15) + bytes((i,)) for i in range(8)])
    for action in (STOP_PAGE, NXDOMAIN, NODATA, REFUSED):
        rig.block(tmp_path, "x.y", action=action)
        for qtype in TYPES:
            query = ask_for(name, qtype, use_edns=0, payload=512)
            assert len(wire(name)) == 255
            answer = rig.send(query)
            assert not answer.flags & dns.flags.TC
            assert len(answer.to_wire()) <= 512


def test_more_addresses_than_fit_are_truncated_over_udp_alone(rig, tmp_path):
    name = ".".join(["a" * 63] * 3 + ["b" * 57]) + ".x.y"
    rig.configure(addresses6=[bytes(15) + bytes((i,)) for i in range(16)])
    rig.block(tmp_path, "x.y", action=STOP_PAGE, ede=15)
    query = ask_for(name, "AAAA", use_edns=0, payload=512)
    answer = rig.send(query)
    assert answer.flags & dns.flags.TC
    assert not answer.answer
    assert ede(answer) == 15
    assert len(rig.send(query, Transport.TCP).answer[0]) == 16


def test_addresses_ttl_and_size_are_checked(rig):
    for wrong in (
        {"addresses4": [b"abc"]}, {"addresses4": [ADDRESS6]}, {"addresses6": [ADDRESS4]}, {"addresses4": [ADDRESS4] * 17}, {"ttl_s": -1}, {"ttl_s": 86401},
        {"udp_max": 511}, {"udp_max": 4097},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"."):
            rig.configure(**wrong)
    with pytest.raises(TypeError):
        rig.configure(addresses4=["192.0.2.1"])
    with pytest.raises(TypeError):
        rig.configure(addresses4="")


def test_python_decides_and_the_core_answers(rig, tmp_path):
    rig.swap(
        tmp_path,
        {"bad.example": [(Kind.SUBTREE, 0)]},
        [(NXDOMAIN, 15, CELL, (CELL + 1,)), (0, -1, -1, ()), (DROP, -1, CELL, ())],
        lambda *_: 0xFFFFFFFF,
    )
    query = ask_for("a.bad.example", use_edns=0)
    ask = rig.ask(query)
    assert (ask.why, ask.hits) == ("hits", ((0, False),))
    answer = dns.message.from_wire(rig.core.blocked(ask, 0, rig.now_ms))
    assert (answer.rcode(), ede(answer)) == (dns.rcode.NXDOMAIN, 15)
    check_soa(answer, query)
    assert (rig.count(CELL), rig.count(CELL + 1)) == (1, 1)
    assert rig.responses("NXDOMAIN", Source.POLICY) == 1
    with pytest.raises(ValueError, match="blocks nothing"):
        rig.core.blocked(ask, 1, 0)
    with pytest.raises(ValueError, match="no such verdict"):
        rig.core.blocked(ask, 3, 0)
    assert rig.core.blocked(ask, 2, 0) is None
    rig.core.note(0)
    assert (rig.count(CELL), rig.count(CELL + 1)) == (3, 2)
