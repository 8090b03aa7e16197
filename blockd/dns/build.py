"""DNS messages that are built, and vetted ones that are read: the only importer of dnslib.

dnslib never sees bytes from the network first (one query of 1,229 octets costs it 40 ms): clients' and upstreams' messages go through
the native walk. What comes here is our own: local answers, probe queries, selftest, the demo's resolver. Sizes are bounded all the same.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dnslib

from blockd.dns import special

if TYPE_CHECKING:
    from blockd.dns.special import Special

MESSAGE_MAX_BYTES = 4096
"""The largest message that is read here."""

UDP_SIZE_BYTES = 1232
EDE_OPTION = 15  # RFC 8914 §2
ADDRESS_TTL_S = 60
LOCAL_TTL_S = 3600


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client sees of an answer."""

    rcode: int
    truncated: bool
    addresses: tuple[str, ...]  # of A and AAAA records, in order
    answers: int  # records in the answer section
    ede: tuple[int, ...]  # RFC 8914 info codes


def query(name: str, rdtype: str, identity: int) -> bytes:
    """Make a query with recursion desired and an OPT record of 1232 octets. `name` is presentation text in ASCII."""
    record = dnslib.DNSRecord(dnslib.DNSHeader(id=identity, rd=1), q=dnslib.DNSQuestion(name, dnslib.QTYPE.reverse[rdtype]))
    record.add_ar(dnslib.EDNS0(udp_len=UDP_SIZE_BYTES))
    return bytes(record.pack())


def read(message: bytes) -> Answer:
    """Read an answer from our own daemon. ValueError when it cannot be read."""
    record = _parse(message)
    codes = [
        int.from_bytes(option.data[:2], "big")
        for extra in record.ar
        if extra.rtype == dnslib.QTYPE.OPT
        for option in extra.rdata
        if option.code == EDE_OPTION and len(option.data) >= 2
    ]
    addresses = tuple(str(rr.rdata) for rr in record.rr if rr.rtype in {dnslib.QTYPE.A, dnslib.QTYPE.AAAA})
    return Answer(int(record.header.rcode), bool(record.header.tc), addresses, len(record.rr), tuple(codes))


def address_answer(message: bytes, address: str) -> bytes:
    """Answer an A (or AAAA) query with `address`, any other type with an empty answer. ValueError when it cannot be read."""
    record = _parse(message)
    response = record.reply(ra=1, aa=0)
    packed = ipaddress.ip_address(address)
    wanted = dnslib.QTYPE.A if packed.version == 4 else dnslib.QTYPE.AAAA
    if record.q.qtype == wanted:
        rdata = dnslib.A(address) if wanted == dnslib.QTYPE.A else dnslib.AAAA(address)
        response.add_answer(dnslib.RR(record.q.qname, wanted, rdata=rdata, ttl=ADDRESS_TTL_S))
    if any(extra.rtype == dnslib.QTYPE.OPT for extra in record.ar):
        response.add_ar(dnslib.EDNS0(udp_len=UDP_SIZE_BYTES))
    return bytes(response.pack())


def local_answer(message: bytes, found: Special) -> bytes:
    """Answer our own upstream query (``Ask.upstream``) from this node, as an upstream would. ValueError when it cannot be read."""
    record = _parse(message)
    response = record.reply(ra=1, aa=0)
    if found.answer is special.Answer.NXDOMAIN:
        response.header.rcode = dnslib.RCODE.NXDOMAIN
    for address in found.addresses:
        six = ":" in address
        rdata = dnslib.AAAA(address) if six else dnslib.A(address)
        response.add_answer(dnslib.RR(record.q.qname, dnslib.QTYPE.AAAA if six else dnslib.QTYPE.A, rdata=rdata, ttl=LOCAL_TTL_S))
    if not found.addresses:
        zone = dnslib.DNSLabel(_labels(found.zone))
        soa = dnslib.SOA("localhost", "nobody.invalid", (1, 3600, 1200, 604800, LOCAL_TTL_S))
        response.add_auth(dnslib.RR(zone, dnslib.QTYPE.SOA, rdata=soa, ttl=LOCAL_TTL_S))
    response.add_ar(dnslib.EDNS0(udp_len=UDP_SIZE_BYTES))
    return bytes(response.pack())


def _labels(wire: bytes) -> tuple[bytes, ...]:
    found, at = [], 0
    while wire[at]:
        found.append(wire[at + 1 : at + 1 + wire[at]])
        at += 1 + wire[at]
    return tuple(found)


def _parse(message: bytes) -> dnslib.DNSRecord:
    if len(message) > MESSAGE_MAX_BYTES:
        raise ValueError(f"the message is longer than {MESSAGE_MAX_BYTES} octets")
    try:
        return dnslib.DNSRecord.parse(message)
    except dnslib.DNSError:
        raise ValueError("the message cannot be read") from None
