"""Upstream answers: matched, walked, written anew (RFC 1035 §4.1.4, RFC 2181, RFC 2308, RFC 3597, RFC 5452, RFC 6891, RFC 9267)."""

from __future__ import annotations

import struct

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import pytest

from blockd.terms import Transport
from tests.native.dns_packets import BODY_AT, NAME, OPT, QUESTION, A, message, pointer, record
from tests.native.dns_tools import Rig, ask_for, ede, read, rrset, upstream_answer, wire


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.fixture
def ask(rig):
    return rig.ask(ask_for("www.example.com"), Transport.TCP)


@pytest.mark.parametrize(
    ("packet", "verdict"),
    [
        (b"", "mismatch"),
        (message()[:11], "mismatch"),
        (message(identity=8), "mismatch"),
        (message(flags=0x0180), "mismatch"),
        (message(flags=0xA180), "mismatch"),
        (message(question=wire("www.example.org") + QUESTION[-4:]), "mismatch"),
        (message(question=NAME + struct.pack(">HH", 28, 1)), "mismatch"),
        (message(question=NAME + struct.pack(">HH", 1, 3)), "mismatch"),
        (message(question=b""), "mismatch"),
        (message()[:4] + bytes(8), "mismatch"),
        (message()[:-1], "mismatch"),
        (struct.pack(">6H", 7, 0x8180, 2, 0, 0, 0) + QUESTION * 2, "mismatch"),
        (message() + b"\0", "malformed"),
        (message(counts=(1, 0, 0)), "malformed"),
        (message(record(b"\xc0\x0c", 1, A)[:-1], counts=(1, 0, 0)), "malformed"),
        (message(record(b"\xc0\x0c", 1, A + b"\0")), "malformed"),
        (message(record(b"\xc0\x0c", 28, A)), "malformed"),
        (message(record(b"\xc0\x0c", 5, b"")), "malformed"),
        (message(record(b"\xc0\x0c", 5, b"\1a")), "malformed"),
        (message(record(b"\xc0\x0c", 5, b"\1a\0\0")), "malformed"),
        (message(record(b"\xc0\x0c", 15, b"\0")), "malformed"),
        (message(record(b"\xc0\x0c", 6, b"\0\0" + bytes(19))), "malformed"),
        (message(record(b"\xc0\x0c", 65, b"\0\1")), "malformed"),
        (message(record(b"\xc0\x0c", 65, b"\0\1\xc0\x0c")), "malformed"),
        (message(record(b"\xc0\x0c", 35, bytes(4) + b"\1S\xff")), "malformed"),
        (message(record(b"\x40", 1, A)), "malformed"),
        (message(OPT, OPT, counts=(0, 0, 2)), "malformed"),
        (message(OPT, counts=(1, 0, 0)), "malformed"),
        (message(record(b"\1a\0", 41, b""), counts=(0, 0, 1)), "malformed"),
    ],
)
def test_what_is_refused(rig, ask, packet, verdict):
    assert rig.core.walk_reply(ask, packet, 7) == verdict


@pytest.mark.parametrize("identity", [-1, 65536, 1 << 20])
def test_an_identity_that_is_none_matches_nothing(rig, ask, identity):
    assert rig.core.walk_reply(ask, message(), identity) == "mismatch"


@pytest.mark.parametrize(
    "owner",
    [
        pointer(BODY_AT),  # itself
        pointer(BODY_AT + 2),  # forward
        pointer(0x3FFF),
        pointer(0),  # into the header
        pointer(11),
        b"\1a" + pointer(BODY_AT),
        b"\1a" + pointer(BODY_AT + 1),
        b"\xc0",
    ],
)
def test_pointer_loops_and_forward_pointers_are_malformed(rig, ask, owner):
    """RFC 9267 §2: CVE after CVE in walkers that follow them."""
    assert rig.core.walk_reply(ask, message(record(owner, 1, A)), 7) == "malformed"


@pytest.mark.parametrize(
    "target", [pointer(BODY_AT + 12), pointer(BODY_AT + 14), b"\1a" + pointer(BODY_AT + 12), b"\1a" + pointer(BODY_AT + 13), pointer(11)]
)
def test_pointer_loops_in_rdata_are_malformed(rig, ask, target):
    assert rig.core.walk_reply(ask, message(record(b"\xc0\x0c", 5, target)), 7) == "malformed"


def test_a_name_of_256_octets_through_a_pointer_is_malformed(rig):
    name = b"\x3f" + b"a" * 63
    ask = rig.ask(ask_for("a" * 63 + "." + "b" * 63 + ".example"))
    question = ask.wire + struct.pack(">HH", 1, 1)
    for labels, good in (
        (b"", True),
        (name, True),
        (b"\x35" + b"c" * 53 + name, True),
        (b"\x36" + b"c" * 54 + name, False),
        (name * 2, False),
    ):
        packet = message(record(labels + b"\xc0\x0c", 1, A), question=question)
        assert (rig.core.walk_reply(ask, packet, 7) != "malformed") == good


def test_the_case_of_an_echoed_question_does_not_matter(rig, ask):
    assert (
        rig.reply(ask, message(record(b"\xc0\x0c", 1, A), question=NAME.upper().replace(b"\x03WWW", b"\x03WWW") + QUESTION[-4:])).ttl_s
        == 60
    )


def test_a_failure_without_a_question_is_believed(rig, ask):
    for rcode in (1, 2, 4, 5):
        reply = rig.reply(ask, struct.pack(">6H", 7, 0x8180 | rcode, 0, 0, 0, 0))
        assert (reply.failed, reply.rcode, reply.ttl_s) == (True, rcode, 0)
    assert rig.core.walk_reply(ask, struct.pack(">6H", 7, 0x8183, 0, 0, 0, 0), 7) == "mismatch"


@pytest.mark.parametrize("rcode", [1, 2, 4, 5, 9])
def test_failures_are_not_cached(rig, ask, rcode):
    reply = rig.reply(ask, upstream_answer(ask, rcode=rcode))
    assert (reply.failed, reply.rcode, reply.ttl_s) == (True, rcode, 0)
    answer = dns.message.from_wire(rig.core.finish(ask, reply, 0))
    assert answer.rcode() == (rcode if rcode in {2, 4, 5} else dns.rcode.SERVFAIL)
    assert rig.core.stats()["cache_entries"] == 0


def test_extended_rcodes_are_put_together(rig):
    for client, seen in ((ask_for("www.example.com", use_edns=0), 22), (ask_for("www.example.com", use_edns=False), 2)):
        ask = rig.ask(client)
        reply = rig.reply(ask, upstream_answer(ask, rcode=22))
        assert reply.rcode == 22
        assert read(rig.core.finish(ask, reply, 0), client).rcode() == seen
    ask = rig.ask(ask_for("www.example.com"))
    assert rig.reply(ask, upstream_answer(ask, rcode=16)).failed


def test_truncation_is_told_and_nothing_else_is_read(rig):
    query = ask_for("www.example.com", use_edns=0)
    ask = rig.ask(query)
    reply = rig.reply(ask, message(flags=0x8380, counts=(9, 9, 9)) + b"\xff")
    assert (reply.truncated, reply.ttl_s) == (True, 0)
    answer = read(rig.core.finish(ask, reply, 0), query)
    assert answer.flags & dns.flags.TC
    assert rig.core.stats()["cache_entries"] == 0


RECORDS = (
    "www.example.com 300 CNAME host.example.com",
    "host.example.com 300 A 192.0.2.1",
    "host.example.com 300 AAAA 2001:db8::1",
    "host.example.com 300 NS ns.host.example.com",
    "host.example.com 300 MX 10 mail.example.com",
    "host.example.com 300 SOA ns.example.com host.example.com 1 2 3 4 5",
    "host.example.com 300 PTR www.example.com",
    'host.example.com 300 TXT "hello" "there"',
    "host.example.com 300 SRV 1 2 3 www.example.com",
    'host.example.com 300 NAPTR 1 2 "S" "SIP+D2U" "" _sip.example.com',
    "host.example.com 300 DNAME other.example.com",
    "host.example.com 300 RP admin.example.com txt.example.com",
    "host.example.com 300 AFSDB 1 afs.example.com",
    "host.example.com 300 KX 1 kx.example.com",
    "host.example.com 300 PX 1 a.example.com b.example.com",
    "host.example.com 300 RT 1 rt.example.com",
    "host.example.com 300 NSEC z.example.com A NS RRSIG",
    "host.example.com 300 RRSIG A 8 3 300 20300101000000 20200101000000 1234 example.com AAAA",
    "host.example.com 300 HTTPS 1 svc.example.com alpn=h3 ipv4hint=192.0.2.9",
    "host.example.com 300 SVCB 0 svc.example.com",
    'host.example.com 300 CAA 0 issue "ca.example"',
    "host.example.com 300 DS 1 8 2 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
    "host.example.com 300 TYPE65400 \\# 4 c00c0102",
)


def texts(rrsets):
    return sorted(f"{some.name} {some.ttl} {dns.rdatatype.to_text(some.rdtype)} {rdata.to_text()}" for some in rrsets for rdata in some)


def test_every_type_comes_through_as_it_was(rig):
    query = ask_for("www.example.com", "ANY", use_edns=0, payload=4096)
    ask = rig.ask(query, Transport.TCP)
    made = upstream_answer(ask, *RECORDS, authority=RECORDS[3:6], additional=RECORDS[1:3])
    for answer in (rig.core.finish(ask, rig.reply(ask, made), rig.now_ms), rig.raw(query.to_wire(), Transport.TCP)):
        found = read(answer, query)
        assert texts(found.answer) == texts(made.answer)
        assert texts(found.authority) == texts(made.authority)
        assert texts(found.additional) == texts(made.additional)
    assert rig.core.stats()["cache_hits"] == 1


def test_an_opt_in_the_middle_leaves_no_hole_and_no_wrong_pointer(rig, ask):
    """Names behind a record that is left out move up; a pointer into what moved follows it."""
    opt = record(b"\0", 41, struct.pack(">HH", 10, 20) + bytes(20), 0, 1232)
    late = wire("late.example.net")
    first = record(late, 1, A)
    packet = message(opt, first, record(pointer(BODY_AT + len(opt)), 1, A[:3] + b"\2"), counts=(0, 0, 3))
    answer = dns.message.from_wire(rig.core.finish(ask, rig.reply(ask, packet), 0))
    assert texts(answer.additional) == ["late.example.net. 60 A 192.0.2.1", "late.example.net. 60 A 192.0.2.2"]


def test_a_pointer_into_what_is_left_out_is_written_out(rig, ask):
    tsig = record(wire("key.example"), 250, b"x" * 9, 0, 255)
    packet = message(tsig, record(b"\3abc" + pointer(BODY_AT), 1, A), counts=(0, 0, 2))
    answer = dns.message.from_wire(rig.core.finish(ask, rig.reply(ask, packet), 0))
    assert texts(answer.additional) == ["abc.key.example. 60 A 192.0.2.1"]


def test_a_pointer_into_rdata_that_is_copied_is_written_out(rig, ask):
    """Nobody should do that; the name is read where it points and no pointer is kept."""
    blob = record(b"\xc0\x0c", 16, b"\x0d" + wire("in.a.text")[:-1] + b"\0\0\0")
    at = BODY_AT + 12 + 1
    packet = message(blob, record(pointer(at), 1, A))
    answer = dns.message.from_wire(rig.core.finish(ask, rig.reply(ask, packet), 0))
    assert "in.a.text. 60 A 192.0.2.1" in texts(answer.answer)


def test_compressed_names_where_none_may_be_are_written_out(rig):
    ask = rig.ask(ask_for("www.example.com", "SRV"), Transport.TCP)
    question = NAME + struct.pack(">HH", 33, 1)
    packet = rig.core.finish(ask, rig.reply(ask, message(record(b"\xc0\x0c", 33, bytes(6) + b"\1a\xc0\x10"), question=question)), 0)
    assert packet[BODY_AT + 2 :][:23] == struct.pack(">HHIH", 33, 1, 60, 6 + 15) + bytes(6) + b"\1a\x07exam"


def test_no_pointer_beyond_14_bits_is_written(rig):
    query = ask_for("www.example.com", "TXT")
    ask = rig.ask(query, Transport.TCP)
    made = upstream_answer(
        ask,
        *(f"www.example.com 60 TXT {'x' * 250}{i}" for i in range(70)),
        additional=[f"h{i}.deep.example.net 60 A 192.0.2.1" for i in range(300)],
    )
    answer = read(rig.core.finish(ask, rig.reply(ask, made), 0), query)
    assert texts(answer.additional) == texts(made.additional)
    assert texts(answer.answer) == texts(made.answer)


@pytest.mark.parametrize(
    ("ttls", "expected"),
    [
        ((300, 60), 60),
        ((60, 300), 60),
        ((0, 60), 0),
        ((86401, 999999), 86400),
        ((0x80000000, 60), 0),
        ((0xFFFFFFFF, 60), 0),
        ((0x7FFFFFFF, 90000), 86400),
    ],
)
def test_the_least_ttl_rules_within_a_day(rig, ask, ttls, expected):
    """RFC 2181 §8: a set top bit is zero."""
    packet = message(*(record(b"\xc0\x0c", 1, A[:3] + bytes((i,)), ttl) for i, ttl in enumerate(ttls)))
    reply = rig.reply(ask, packet)
    assert reply.ttl_s == expected
    written = [some.ttl for some in dns.message.from_wire(rig.core.finish(ask, reply, 0), one_rr_per_rrset=True).answer]
    assert written == [0 if ttl >> 31 else min(ttl, 86400) for ttl in ttls]


SOA = "example.com {} SOA ns.example.com root.example.com 1 2 3 4 {}"


@pytest.mark.parametrize(("ttl", "minimum", "expected"), [(300, 60, 60), (60, 300, 60), (90000, 90000, 10800), (0, 60, 0), (60, 0, 0)])
@pytest.mark.parametrize("rcode", [0, 3])
def test_negative_answers_by_their_soa(rig, ask, ttl, minimum, expected, rcode):
    """RFC 2308 §5; at most three hours, and the client's copy says so."""
    reply = rig.reply(ask, upstream_answer(ask, authority=[SOA.format(ttl, minimum)], rcode=rcode))
    assert (reply.ttl_s, reply.failed) == (expected, False)
    (soa,) = dns.message.from_wire(rig.core.finish(ask, reply, 0)).authority
    assert soa.ttl == expected


def test_negative_answers_without_an_soa_are_not_cached(rig, ask):
    for made in (upstream_answer(ask, rcode=3), upstream_answer(ask), upstream_answer(ask, authority=["example.com 60 NS ns.example.com"])):
        assert rig.reply(ask, made).ttl_s == 0
    assert rig.reply(ask, upstream_answer(ask, "www.example.com 60 CNAME x.example.com")).ttl_s == 0
    assert rig.reply(ask, upstream_answer(ask, "www.example.com 60 CNAME x.example.com", authority=[SOA.format(300, 90)])).ttl_s == 60


def test_an_answer_of_another_kind_is_not_nodata(rig):
    for qtype, text in (
        ("ANY", "www.example.com 60 HINFO a b"),
        ("CNAME", "www.example.com 60 CNAME a.example"),
        ("TXT", "www.example.com 60 TXT a"),
    ):
        ask = rig.ask(ask_for("www.example.com", qtype))
        assert rig.reply(ask, upstream_answer(ask, text)).ttl_s == 60


def test_an_upstream_that_blocks_is_named(rig):
    """RFC 8914 §4.16 from upstream becomes 35, which says who blocked."""
    query = ask_for("www.example.com", use_edns=0)
    for code, expected in ((15, 35), (6, None), (16, None)):
        ask = rig.ask(query)
        made = upstream_answer(ask, authority=[SOA.format(60, 60)], rcode=3)
        made.use_edns(0, options=[dns.edns.EDEOption(code, "their text")])
        assert ede(read(rig.core.finish(ask, rig.reply(ask, made), rig.now_ms), query)) == expected
        assert ede(rig.send(query)) == expected
        rig.core.flush()


def test_ad_is_never_given(rig):
    query = ask_for("www.example.com", want_dnssec=True)
    query.flags |= dns.flags.AD
    assert not rig.resolve(query, "www.example.com 60 A 192.0.2.1", flags=dns.flags.AD | dns.flags.AA).flags & (dns.flags.AD | dns.flags.AA)


@pytest.mark.parametrize("payload", [0, 512, 1000, 1232, 4096])
def test_udp_answers_fit_the_client(rig, payload):
    limit = max(512, min(payload or 512, 1232))
    query = ask_for("www.example.com", "TXT", **({"use_edns": 0, "payload": payload} if payload else {"use_edns": False}))
    for length in range(300, 1400, 7):
        ask = rig.ask(query)
        texts_ = [f"www.example.com 60 TXT {'x' * (length % 250)}{i}" for i in range(max(1, length // 250))]
        made = upstream_answer(ask, *texts_)
        packet = rig.core.finish(ask, rig.reply(ask, made), rig.now_ms)
        cached = rig.raw(query.to_wire())
        assert packet == cached
        assert len(packet) <= limit
        answer = read(packet, query)
        whole = len(dns.message.make_response(query).to_wire()) if answer.flags & dns.flags.TC else 0
        assert bool(answer.answer) != bool(answer.flags & dns.flags.TC)
        if answer.flags & dns.flags.TC:
            assert len(made.to_wire()) > limit - 11 >= whole - 11
        rig.core.flush()


def test_additional_records_go_before_truncation(rig):
    """RFC 2181 §9: TC is not for additional records that were left out."""
    query = ask_for("www.example.com", "NS", use_edns=False)
    more = [f"ns{i}.example.com 60 AAAA 2001:db8::{i}" for i in range(30)]
    answer = rig.resolve(query, "www.example.com 60 NS ns1.example.com", additional=more)
    assert not answer.flags & dns.flags.TC
    assert answer.answer
    assert not answer.additional
    assert len(rig.send(query, Transport.TCP).additional) == 30


def test_a_reply_to_another_question_cannot_be_finished(rig, ask):
    other = rig.ask(ask_for("other.example"))
    reply = rig.reply(ask, message(record(b"\xc0\x0c", 1, A)))
    with pytest.raises(ValueError, match="another question"):
        rig.core.finish(other, reply, 0)


def test_rrsets_are_kept_in_order(rig):
    query = ask_for("www.example.com")
    ask = rig.ask(query)
    made = upstream_answer(ask)
    made.answer = [rrset(f"www.example.com 60 A 192.0.2.{i}") for i in (9, 3, 200, 1)]
    found = dns.message.from_wire(rig.core.finish(ask, rig.reply(ask, made), 0), one_rr_per_rrset=True)
    assert [some[0].to_text() for some in found.answer] == ["192.0.2.9", "192.0.2.3", "192.0.2.200", "192.0.2.1"]
