"""Messages that blockd builds, read back by an independent library."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import pytest

from blockd.dns import build
from blockd.dns.special import special
from blockd.names import parse_domain


def test_a_query():
    message = dns.message.from_wire(build.query("www.example.com", "HTTPS", 4711))
    assert (message.id, message.flags, message.edns, message.payload) == (4711, dns.flags.RD, 0, 1232)
    assert message.question[0].to_text() == "www.example.com. IN HTTPS"


def test_a_probe_asks_for_the_root():
    assert dns.message.from_wire(build.query(".", "NS", 0)).question[0].to_text() == ". IN NS"


def test_read_sees_what_a_client_sees():
    response = dns.message.make_response(dns.message.make_query("a.example", "A", use_edns=0))
    response.set_rcode(dns.rcode.NXDOMAIN)
    response.use_edns(0, options=[dns.edns.EDEOption(16, "text"), dns.edns.EDEOption(15)])
    response.answer.append(dns.rrset.from_text("a.example.", 5, "IN", "A", "192.0.2.1"))
    assert build.read(response.to_wire()) == build.Answer(3, truncated=False, addresses=("192.0.2.1",), answers=1, ede=(16, 15))


@pytest.mark.parametrize("data", [b"", b"\0" * 11, b"\0" * (build.MESSAGE_MAX_BYTES + 1), b"\0" * 5 + b"\1" + b"\0" * 6 + b"\xc0\x0c"])
def test_what_cannot_be_read_is_a_value_error(data):
    with pytest.raises(ValueError, match="message"):
        build.read(data)


@pytest.mark.parametrize(
    ("name", "rdtype", "rcode", "answer"),
    [
        ("printer.localhost", "A", "NOERROR", "127.0.0.1"),
        ("localhost", "AAAA", "NOERROR", "::1"),
        ("localhost", "TXT", "NOERROR", None),
        ("x.invalid", "A", "NXDOMAIN", None),
        ("_dns.resolver.arpa", "SVCB", "NOERROR", None),
    ],
)
def test_local_answers(name, rdtype, rcode, answer):
    query = dns.message.make_query(name, rdtype, use_edns=0)
    found = special(parse_domain(name).wire, query.question[0].rdtype)
    message = dns.message.from_wire(build.local_answer(query.to_wire(), found))
    assert message.is_response if hasattr(message, "is_response") else query.is_response(message)
    assert dns.rcode.to_text(message.rcode()) == rcode
    assert [r.address for s in message.answer for r in s] == ([answer] if answer else [])
    assert bool(message.authority) == (answer is None)
    if message.authority:
        soa = message.authority[0]
        assert soa.rdtype == dns.rdatatype.SOA
        assert query.question[0].name.is_subdomain(soa.name)
