"""What holds for any octets: the fuzz targets' properties under hypothesis, and a model of the whole core against dnspython and a dict."""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING

import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
from hypothesis import given, settings
from hypothesis import strategies as st

from blockd.native._dns import Ask, Reply
from blockd.terms import Kind
from tests.fuzz.harness import CORPUS, read_corpus
from tests.house.sources import ROOT
from tests.native.dns_tools import CELL, NODATA, NONE, NXDOMAIN, REFUSED, Rig, ask_for, raw_query, read, upstream_answer, wire

if TYPE_CHECKING:
    from collections.abc import Callable

sys.path.insert(0, str(ROOT / "tests" / "fuzz"))
import fuzz_query
import fuzz_reply

LABEL = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", min_size=1, max_size=63)
NAME = st.lists(LABEL, min_size=1, max_size=8).map(".".join).filter(lambda name: len(name) < 250)


@st.composite
def mutated(draw: Callable, corpus: str) -> bytes:
    """A corpus input with some octets set, taken out or put in."""
    data = bytearray(draw(st.sampled_from(read_corpus(CORPUS / corpus))))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 3)):
            case 0:
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case 1:
                del data[at : at + draw(st.integers(1, 8))]
            case 2:
                data[at:at] = draw(st.binary(min_size=1, max_size=8))
            case _:
                del data[at:]
    return bytes(data)


@settings(max_examples=600, deadline=None)
@given(st.one_of(st.binary(max_size=600), mutated("query")))
def test_any_octets_from_a_client(data):
    fuzz_query.target(data)


@settings(max_examples=600, deadline=None)
@given(st.one_of(st.binary(max_size=600), mutated("reply")))
def test_any_octets_from_an_upstream(data):
    fuzz_reply.target(data)


@settings(max_examples=300, deadline=None)
@given(
    NAME,
    st.integers(0, 65535).filter(lambda qtype: qtype not in {41, 249, 250, 251, 252}),
    st.booleans(),
    st.booleans(),
    st.sampled_from((None, 0, 512, 1232, 4096, 65535)),
)
def test_any_valid_query_goes_through(name, qtype, dnssec, cd, payload):
    more = {"use_edns": False} if payload is None else {"use_edns": 0, "payload": payload, "want_dnssec": dnssec}
    query = ask_for(name, dns.rdatatype.RdataType.make(qtype), flags=0x0110 if cd else 0x0100, **more)
    rig = Rig(cache_bytes=0)
    ask = rig.raw(query.to_wire())
    assert isinstance(ask, Ask)
    assert (ask.wire, ask.qtype, ask.qclass) == (wire(name.lower()), qtype, 1)
    upstream = dns.message.from_wire(ask.upstream(5))
    assert upstream.question == query.question
    assert upstream.question[0].name.to_text() == name + "."
    read(rig.core.failure(ask, dns.rcode.SERVFAIL, 22, 0), query)


WELL_FORMED = [data for data in read_corpus(CORPUS / "query") if isinstance(fuzz_query.CORE.handle(data, 0, 4, 0), Ask)]


def test_every_cut_of_a_query_is_an_error_or_silence():
    assert len(WELL_FORMED) > 5
    for data in WELL_FORMED:
        for length in range(len(data)):
            found = fuzz_query.CORE.handle(data[:length], 0, 4, 0)
            assert found is None if length < 12 else isinstance(found, bytes)
            assert found is None or found[3] & 15 == dns.rcode.FORMERR


ANSWERS = st.lists(
    st.tuples(
        st.sampled_from(("www.example.com", "a.example.com", "b.other.example", "listed.example", "x.listed.example", "example.com")),
        st.integers(0, 0xFFFFFFFF),
        st.sampled_from(
            (
                "A 192.0.2.1",
                "AAAA 2001:db8::1",
                "CNAME a.example.com.",
                "CNAME x.listed.example.",
                "DNAME listed.example.",
                "MX 5 mail.b.other.example.",
                "TXT hello",
                "NS ns.example.com.",
                "SRV 1 2 3 a.example.com.",
                "HTTPS 1 . alpn=h2",
                "SVCB 0 x.listed.example.",
            )
        ),
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(ANSWERS, ANSWERS, st.integers(0, 90_000_000))
def test_any_answer_ages_and_keeps_its_records(answer, additional, elapsed_ms):
    def lines(section):
        return [f"{owner} {min(ttl, 0x7FFFFFFF)} {data}" for owner, ttl, data in section]

    rig = Rig()
    query = ask_for("www.example.com", "ANY")
    ask = rig.ask(query, 1)
    made = upstream_answer(ask, *lines(answer), additional=lines(additional))
    reply = rig.reply(ask, made)
    ttls = [min(ttl, 0x7FFFFFFF) for _, ttl, _ in answer + additional]
    assert reply.ttl_s == (min([86400, *ttls]) if answer else 0)
    first = dns.message.from_wire(rig.core.finish(ask, reply, rig.now_ms), one_rr_per_rrset=True)
    theirs = dns.message.from_wire(made.to_wire(), one_rr_per_rrset=True)
    for section in (1, 2, 3):
        got = [(some.name, some.rdtype, some[0]) for some in first.sections[section]]
        assert got == [(some.name, some.rdtype, some[0]) for some in theirs.sections[section]]
        assert [some.ttl for some in first.sections[section]] == [min(some.ttl, 86400) for some in theirs.sections[section]]
    rig.now_ms += elapsed_ms
    later = rig.raw(query.to_wire(), 1)
    assert isinstance(later, bytes) == (elapsed_ms < reply.ttl_s * 1000)
    if isinstance(later, bytes):
        aged = dns.message.from_wire(later, one_rr_per_rrset=True)
        for section in (1, 3):
            assert [some.ttl for some in aged.sections[section]] == [some.ttl - elapsed_ms // 1000 for some in first.sections[section]]


VERDICTS = [
    (NONE, -1, -1, ()),
    (NXDOMAIN, 15, CELL, ()),
    (NODATA, 16, CELL + 1, ()),
    (REFUSED, 17, CELL + 2, ()),
    (NONE, -1, -1, (CELL + 3,)),
]
TREE = [".".join(reversed(path)) for path in (["example", a, b, c][:n] for n in (2, 3, 4) for a in "pq" for b in "rs" for c in "tu")]


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(sorted(set(TREE))),
        st.tuples(st.sampled_from((Kind.SUBTREE, Kind.EXACT)), st.integers(0, 4)),
        min_size=1,
        max_size=8,
    )
)
def test_the_core_decides_as_a_dict_does(tmp_path_factory, entries):
    """Entries at every depth; a reference that walks the labels says who speaks about each name."""
    rig = Rig(cache_bytes=0)
    names = list(entries)
    rig.swap(
        tmp_path_factory.mktemp("t"),
        {name: [(entries[name][0], number)] for number, name in enumerate(names)},
        VERDICTS,
        lambda rules, _full: entries[names[rules[0]]][1],
    )
    for name in {*TREE, "x.t.r.p.example", "example", "other.test"}:
        labels = name.split(".")
        suffixes = [".".join(labels[-depth:]) for depth in range(1, len(labels) + 1)]
        hits = [entries[some][1] for some in suffixes if some in entries and (entries[some][0] is Kind.SUBTREE or some == name)]
        found = rig.raw(raw_query(name))
        if all(number == 0 for number in hits) or hits == [4]:
            assert isinstance(found, Ask)
            assert found.why == "miss"
        elif len(hits) > 1:
            assert isinstance(found, Ask)
            assert (found.why, len(found.hits)) == ("hits", len(hits))
        else:
            assert isinstance(found, bytes)
            assert found[3] & 15 == {1: 3, 2: 0, 3: 5}[hits[0]]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=64), st.integers(0, 65535))
def test_a_wrong_identity_never_matches(rdata, identity):
    rig = Rig(cache_bytes=0)
    ask = rig.raw(raw_query("www.example.com", 16))
    packet = (
        struct.pack(">6H", identity, 0x8180, 1, 1, 0, 0)
        + wire("www.example.com")
        + struct.pack(">HH", 16, 1)
        + b"\xc0\x0c"
        + struct.pack(">HHIH", 16, 1, 60, len(rdata))
        + rdata
    )
    assert rig.core.walk_reply(ask, packet, identity ^ 0x8000) == "mismatch"
    assert isinstance(rig.core.walk_reply(ask, packet, identity), Reply)
