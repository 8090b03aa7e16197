from __future__ import annotations

import dns.edns
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockd.dns import build


@pytest.mark.parametrize("rdtype", ["A", "AAAA", "HTTPS", "TXT"])
def test_a_query_is_what_an_independent_reader_sees(rdtype):
    seen = dns.message.from_wire(build.query("www.a.example", rdtype, 4711))
    assert seen.id == 4711
    assert seen.question[0].to_text() == f"www.a.example. IN {rdtype}"
    assert (seen.edns, seen.payload) == (0, 1232)
    assert seen.flags == 0x0100


def answered(**kwargs) -> bytes:
    message = dns.message.make_response(dns.message.make_query("a.example", "A", use_edns=0))
    message.use_edns(0, options=[dns.edns.EDEOption(code) for code in kwargs.get("ede", ())])
    message.set_rcode(kwargs.get("rcode", 0))
    for address in kwargs.get("addresses", ()):
        message.answer.append(dns.rrset.from_text("a.example.", 60, "IN", "A", address))
    return message.to_wire()


def test_an_answer_is_read():
    assert build.read(answered(addresses=["192.0.2.1"], ede=[16])) == build.Answer(0, False, ("192.0.2.1",), 1, (16,))
    assert build.read(answered(rcode=dns.rcode.NXDOMAIN, ede=[15])) == build.Answer(3, False, (), 0, (15,))


def test_an_address_is_answered():
    query = build.query("x.example", "A", 7)
    seen = dns.message.from_wire(build.address_answer(query, "198.51.100.7"))
    assert (seen.id, seen.answer[0][0].address) == (7, "198.51.100.7")
    assert not dns.message.from_wire(build.address_answer(build.query("x.example", "TXT", 7), "198.51.100.7")).answer


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_a_value_error(data):
    try:
        build.read(data)
    except ValueError as error:
        assert str(error) == "the message cannot be read"


def test_a_long_message_is_not_read():
    with pytest.raises(ValueError, match="longer"):
        build.read(b"\0" * (build.MESSAGE_MAX_BYTES + 1))
