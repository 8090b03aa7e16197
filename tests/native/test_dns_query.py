"""What the core makes of a query: header, question, OPT (RFC 1035 §4.1, RFC 6891, RFC 8906, RFC 9619)."""

from __future__ import annotations

import struct

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import pytest

from blockd.native._dns import QUERY_MAX_BYTES, Ask
from blockd.terms import Source, Transport
from tests.native.dns_tools import Rig, ask_for, ede, read, wire

QUESTION = wire("www.example.com") + struct.pack(">HH", 1, 1)
OPT = struct.pack(">BHHIH", 0, 41, 1232, 0, 0)


def header(flags: int = 0x0100, counts: tuple[int, int, int, int] = (1, 0, 0, 0)) -> bytes:
    return struct.pack(">6H", 0xBEEF, flags, *counts)


def opt(rdata: bytes = b"", *, size: int = 1232, ttl: int = 0, owner: bytes = b"\0") -> bytes:
    return owner + struct.pack(">HHIH", 41, size, ttl, len(rdata)) + rdata


@pytest.fixture
def rig() -> Rig:
    return Rig()


def error(rig: Rig, packet: bytes, transport: int = Transport.UDP) -> tuple[dns.rcode.Rcode, dns.message.Message]:
    found = rig.raw(packet, transport)
    assert isinstance(found, bytes), found
    answer = dns.message.from_wire(found)
    assert found[:2] == packet[:2]
    assert answer.flags & dns.flags.QR
    assert not answer.answer
    assert not answer.authority
    return answer.rcode(), answer


def test_an_answer_is_never_answered(rig):
    for flags in (0x8000, 0x8180, 0xF800):
        assert rig.raw(header(flags) + QUESTION) is None


@pytest.mark.parametrize("length", range(12))
def test_less_than_a_header_is_never_answered(rig, length):
    assert rig.raw((header() + QUESTION)[:length]) is None


def test_silence_counts_nothing(rig):
    rig.raw(b"")
    rig.raw(header(0x8000) + QUESTION)
    assert not any(rig.slab.read())


@pytest.mark.parametrize("opcode", [o for o in range(16) if o])
def test_other_opcodes_are_not_implemented_and_echoed(rig, opcode):
    """RFC 8906 §3.1.3: whatever stands behind the header, which has another form."""
    for rest in (QUESTION, b"", b"\xff" * 300):
        code, answer = error(rig, header(opcode << 11 | 0x0110) + rest)
        assert code == dns.rcode.NOTIMP
        assert answer.opcode() == opcode
        assert not answer.question
        assert answer.flags & (dns.flags.RD | dns.flags.CD) == dns.flags.RD | dns.flags.CD


@pytest.mark.parametrize(
    "counts", [(0, 0, 0, 0), (2, 0, 0, 0), (65535, 0, 0, 0), (1, 1, 0, 0), (1, 0, 1, 0), (1, 0, 0, 3), (1, 0, 0, 65535)]
)
def test_counts_that_no_query_has_are_a_format_error(rig, counts):
    """RFC 9619 §4: one question."""
    code, answer = error(rig, header(counts=counts) + QUESTION * 2)
    assert code == dns.rcode.FORMERR
    assert not answer.question
    assert answer.edns < 0


@pytest.mark.parametrize(
    "question",
    [
        b"\xc0\x0c" + QUESTION[-4:],  # a pointer to itself
        b"\3www\xc0\x0c" + QUESTION[-4:],
        b"\x40" + b"a" * 64 + b"\0" + QUESTION[-4:],
        b"\x80\0" + QUESTION[-4:],
        (b"\x3f" + b"a" * 63) * 4 + b"\0" + QUESTION[-4:],  # 257 octets
        (b"\x01a" * 127) + b"\x01" + QUESTION[-4:],
        QUESTION[:-1],
        QUESTION[:-5],
        b"",
    ],
)
def test_bad_names_and_cut_questions_are_a_format_error(rig, question):
    assert error(rig, header() + question)[0] == dns.rcode.FORMERR


def test_the_longest_names_pass(rig):
    for name in (b"\1a" * 127 + b"\0", (b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"b" * 61 + b"\0", b"\0"):
        found = rig.raw(header() + name + QUESTION[-4:])
        assert isinstance(found, Ask)
        assert found.wire == name


def test_octets_behind_the_last_record_are_a_format_error(rig):
    for tail in (b"\0", b"\0" * 100):
        assert error(rig, header() + QUESTION + tail)[0] == dns.rcode.FORMERR
        code, answer = error(rig, header(counts=(1, 0, 0, 1)) + QUESTION + OPT + tail)
        assert code == dns.rcode.FORMERR
        assert answer.edns == 0
        assert answer.question


def test_two_opt_are_a_format_error_with_one_opt(rig):
    """RFC 6891 §6.1.1."""
    code, answer = error(rig, header(counts=(1, 0, 0, 2)) + QUESTION + OPT * 2)
    assert code == dns.rcode.FORMERR
    assert answer.edns == 0


def test_an_opt_that_is_not_at_the_root_is_a_format_error(rig):
    assert error(rig, header(counts=(1, 0, 0, 1)) + QUESTION + opt(owner=b"\1a\0"))[0] == dns.rcode.FORMERR
    assert error(rig, header(counts=(1, 0, 0, 1)) + QUESTION + opt(owner=b"\xc0\x0c"))[0] == dns.rcode.FORMERR


@pytest.mark.parametrize("rdata", [b"\0", b"\0\x0a\0", b"\0\x0a\0\1", b"\0\x0a\0\x08\1\2\3", b"\0\x08\0\0\0\x0a\xff\xff"])
def test_an_option_that_leaves_its_opt_is_a_format_error(rig, rdata):
    assert error(rig, header(counts=(1, 0, 0, 1)) + QUESTION + opt(rdata))[0] == dns.rcode.FORMERR


@pytest.mark.parametrize("cut", range(1, 11))
def test_a_cut_opt_is_a_format_error(rig, cut):
    assert error(rig, header(counts=(1, 0, 0, 1)) + QUESTION + OPT[:-cut])[0] == dns.rcode.FORMERR


@pytest.mark.parametrize("version", [1, 2, 100, 255])
def test_another_edns_version_is_badvers_with_ours(rig, version):
    """RFC 6891 §6.1.3, RFC 8906 §8.2.3; options and flags of the other version are not looked at."""
    code, answer = error(rig, header(counts=(1, 0, 0, 1)) + QUESTION + opt(b"\0\x64\0\0", ttl=version << 16 | 0x8000 | 0x40))
    assert code == dns.rcode.BADVERS
    assert answer.edns == 0
    assert answer.ednsflags & 0xFFFF == 0x8000
    assert not answer.options


def test_unknown_options_and_flags_are_ignored_and_not_given_back(rig):
    """RFC 6891 §6.1.2, §6.1.4; a client subnet goes no further either (RFC 7871 §11.1)."""
    options = [dns.edns.GenericOption(100, b"x" * 40), dns.edns.ECSOption("198.51.100.0", 24), dns.edns.GenericOption(10, b"12345678")]
    query = ask_for("www.example.com", use_edns=0, options=options)
    query.ednsflags = 0x7FFF
    ask = rig.ask(query)
    upstream = dns.message.from_wire(ask.upstream(1))
    assert not upstream.options
    assert upstream.ednsflags == 0
    answer = read(rig.core.failure(ask, 2, -1, rig.now_ms), query)
    assert not answer.options
    assert answer.ednsflags & 0xFFFF == 0


@pytest.mark.parametrize("size", [0, 100, 511, 512])
def test_a_small_size_counts_as_512(rig, size):
    ask = rig.raw(header(counts=(1, 0, 0, 1)) + QUESTION + opt(size=size))
    answer = made_of(ask, 470)
    assert len(answer) <= 512
    assert not dns.message.from_wire(rig.core.finish(ask, rig.reply(ask, answer), 0)).flags & dns.flags.TC


def made_of(ask: Ask, octets: int) -> bytes:
    """An upstream answer of one TXT record that makes the message `octets` long, without OPT."""
    head = struct.pack(">6H", 7, 0x8180, 1, 1, 0, 0) + QUESTION + b"\xc0\x0c" + struct.pack(">HHIH", 16, 1, 60, 0)
    left = octets - len(head)
    data = b"".join(bytes((len(some),)) + some for some in [b"x" * min(255, left - at - 1) for at in range(0, left, 256)])
    return head[:-2] + struct.pack(">H", len(data)) + data


def test_a_second_record_that_is_no_opt_is_passed_over(rig):
    """TSIG: no key is shared with anyone, so the query is answered without."""
    tsig = wire("key.example") + struct.pack(">HHIH", 250, 255, 0, 4) + b"abcd"
    found = rig.raw(header(counts=(1, 0, 0, 2)) + QUESTION + OPT + tsig)
    assert isinstance(found, Ask)
    assert len(found.upstream(0)) == 12 + len(QUESTION) + 11
    assert isinstance(rig.raw(header(counts=(1, 0, 0, 1)) + QUESTION + tsig), Ask)


def test_a_query_may_have_so_many_octets(rig):
    room = QUERY_MAX_BYTES - 12 - len(QUESTION) - 11 - 4
    whole = header(counts=(1, 0, 0, 1)) + QUESTION + opt(struct.pack(">HH", 12, room) + bytes(room))
    assert len(whole) == QUERY_MAX_BYTES
    assert isinstance(rig.raw(whole, Transport.TCP), Ask)
    room += 1
    longer = header(counts=(1, 0, 0, 1)) + QUESTION + opt(struct.pack(">HH", 12, room) + bytes(room))
    assert error(rig, longer, Transport.TCP)[0] == dns.rcode.FORMERR


@pytest.mark.parametrize("qtype", ["AXFR", "IXFR"])
def test_zone_transfers_are_refused(rig, qtype):
    query = ask_for("example.com", qtype, use_edns=0)
    assert rig.send(query, Transport.TCP).rcode() == dns.rcode.REFUSED


@pytest.mark.parametrize("qtype", [41, 249, 250])
def test_types_that_are_never_asked_for_are_a_format_error(rig, qtype):
    assert error(rig, header() + QUESTION[:-4] + struct.pack(">HH", qtype, 1))[0] == dns.rcode.FORMERR


def test_class_ch_is_refused_and_other_classes_go_on(rig):
    query = ask_for("version.bind", "TXT", rdclass="CH")
    assert rig.send(query).rcode() == dns.rcode.REFUSED
    for rdclass in (1, 4, 254, 255, 65280):
        found = rig.raw(header() + QUESTION[:-2] + struct.pack(">H", rdclass))
        assert isinstance(found, Ask)
        assert found.qclass == rdclass


@pytest.mark.parametrize("qtype", [0, 1, 2, 5, 28, 43, 64, 65, 99, 255, 1000, 32769, 65535])
def test_unknown_types_pass(rig, qtype):
    """RFC 3597 §3."""
    found = rig.raw(header() + QUESTION[:-4] + struct.pack(">HH", qtype, 1))
    assert isinstance(found, Ask)
    assert (found.qtype, found.qclass, found.why, found.transport) == (qtype, 1, "miss", Transport.UDP)


def test_the_letter_case_comes_back(rig):
    query = ask_for("wWw.eXaMpLe.CoM")
    ask = rig.ask(query)
    assert ask.wire == wire("www.example.com")
    assert wire("wWw.eXaMpLe.CoM") in ask.upstream(9)
    assert wire("wWw.eXaMpLe.CoM") in rig.core.failure(ask, 2, -1, 0)


@pytest.mark.parametrize("flags", [0, 0x0100, 0x0010, 0x0110, 0x0660, 0x02EF])
def test_what_of_the_header_is_copied(rig, flags):
    """RD and CD; not AA, TC, RA, Z, AD, rcode."""
    found = rig.raw(header(flags) + QUESTION)
    assert isinstance(found, Ask)
    upstream = struct.unpack(">6H", found.upstream(0x1234)[:12])
    assert upstream == (0x1234, 0x0100 | (flags & 0x0010), 1, 0, 0, 1)
    answer = struct.unpack(">6H", rig.core.failure(found, 2, -1, 0)[:12])
    assert answer == (0xBEEF, 0x8082 | (flags & 0x0110), 1, 0, 0, 0)


@pytest.mark.parametrize("do", [False, True])
def test_the_query_upstream(rig, do):
    for query in (
        ask_for("www.example.com", "MX", use_edns=0, want_dnssec=do, payload=4000),
        ask_for("www.example.com", "MX", use_edns=False),
    ):
        upstream = dns.message.from_wire(rig.ask(query).upstream(77))
        assert upstream.id == 77
        assert upstream.question == query.question
        assert (upstream.edns, upstream.payload) == (0, 1232)
        assert upstream.ednsflags == (0x8000 if do and query.edns == 0 else 0)
        assert upstream.flags == dns.flags.RD


def test_a_core_that_is_not_ready_says_so(rig):
    rig.configure(not_ready=True)
    query = ask_for("www.example.com", use_edns=0)
    answer = rig.send(query)
    assert (answer.rcode(), ede(answer)) == (dns.rcode.SERVFAIL, 14)
    assert rig.send(ask_for("www.example.com", use_edns=False)).rcode() == dns.rcode.SERVFAIL
    assert error(rig, header(counts=(2, 0, 0, 0)) + QUESTION)[0] == dns.rcode.FORMERR


def test_a_client_that_may_not_ask_is_told(rig):
    query = ask_for("www.example.com", use_edns=0)
    answer = read(rig.core.prohibit(query.to_wire(), 0, 6, rig.now_ms), query)
    assert (answer.rcode(), ede(answer)) == (dns.rcode.REFUSED, 18)
    assert rig.core.prohibit(header(0x8000) + QUESTION, 0, 4, 0) is None
    bad = rig.core.prohibit(header(counts=(9, 9, 9, 9)), 0, 4, 0)
    assert bad is not None
    assert (len(bad), bad[3] & 15) == (12, dns.rcode.REFUSED)
    assert rig.responses("REFUSED", Source.ERROR) == 2


def test_no_answer_without_a_question_is_larger_than_its_query(rig):
    for packet in (header(0x2800), header(counts=(0, 0, 0, 0)), header() + b"\xc0\x0c"):
        found = rig.raw(packet)
        assert found is not None
        assert len(found) <= len(packet)


def test_extended_rcodes_need_an_opt(rig):
    query = ask_for("www.example.com", use_edns=0)
    assert read(rig.core.failure(rig.ask(query), 23, -1, 0), query).rcode() == 23
    query = ask_for("www.example.com", use_edns=False)
    assert read(rig.core.failure(rig.ask(query), 23, 22, 0), query).rcode() == dns.rcode.SERVFAIL


def test_opcode_is_query_in_answers(rig):
    assert dns.message.from_wire(rig.core.failure(rig.ask(ask_for("a.example")), 2, -1, 0)).opcode() == dns.opcode.QUERY
