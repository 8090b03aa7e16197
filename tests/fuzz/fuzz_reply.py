"""Upstream answers: any octets give a Reply, "mismatch" or "malformed", never an exception.

What a client gets of a Reply parses in dnspython, whole, with the client's ID and question; it fits; every record that dnspython reads in
the upstream's packet is there, and no other; the cache gives the same answer as the first time. A good answer is taken after every input.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import dns.exception
import dns.flags
import dns.message
import dns.rdatatype
from fuzz_query import make_core
from harness import main

from blockd.native._dns import Ask, Reply

ID = 0x0707
NAME = b"\3www\6tested\7example\0"
QUERY = struct.pack(">6H", 0xABCD, 0x0100, 1, 0, 0, 1) + NAME + struct.pack(">HH", 255, 1) + b"\0\0\x29\x04\xd0\0\0\0\0\0\0"
DICTIONARY = (
    b"\xc0\x0c", b"\xc0\x10", b"\xc0\x2a", b"\xc0\x36", b"\xff\xff", b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\1\2\3\4", b"\xc0\x0c\0\5\0\1\0\0\0\x3c\0\2\xc0\x10",
    b"\0\0\x29\x04\xd0\0\0\0\0\0\0", b"\3bad\7example\0", b"\xc0\x0c\0\x41\0\1\0\0\0\x3c\0\x0f\0\1\3bad\7example\0",
    b"\xc0\x10\0\6\0\1\0\0\0\x3c\0\x18\xc0\x0c\xc0\x0c" + bytes(20),
    b"\0\x27", b"\0\x21", b"\0\x23", b"\0\x2e", b"\0\x2f", b"\0\xfa", b"\x80\0\0\0", b"\x3f" + b"a" * 63, b"\1a" * 60, b"\0\1\0\1\0\1\0\1",
)  # fmt: skip

CORE = make_core()
_asked = CORE.handle(QUERY, 1, 4, 0)
assert isinstance(_asked, Ask)
ASK = _asked
_short = CORE.handle(QUERY, 0, 4, 0)
assert isinstance(_short, Ask)
SHORT = _short
HEAD = struct.pack(">H", ID)
GOOD = struct.pack(">6H", ID, 0x8180, 1, 1, 0, 0) + QUERY[12:-11] + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\1\2\3\4"
HOP_TYPES = {dns.rdatatype.OPT, dns.rdatatype.TSIG}


def records(message: dns.message.Message, section: int) -> list[tuple[object, ...]]:
    """Names and data without case, in order."""
    return [
        (some.name.canonicalize(), some.rdclass, some.rdtype, some[0].to_digestable())
        for some in message.sections[section]
        if some.rdtype not in HOP_TYPES and len(some)
    ]


def compare(data: bytes, answer: dns.message.Message) -> bool:
    """Against dnspython's own reading, where it can read the packet at all."""
    try:
        theirs = dns.message.from_wire(data, one_rr_per_rrset=True)
    except (dns.exception.DNSException, ValueError):
        return False  # dnspython checks RDATA that the core copies
    for section in (1, 2, 3):
        assert records(answer, section) == records(theirs, section)
    return True


def target(data: bytes) -> object:
    """Any octets give a Reply or one of two words."""
    for packet in (data, HEAD + data[2:], HEAD + b"\x81\x80" + data[4:]):
        found = CORE.walk_reply(ASK, packet, ID)
        if isinstance(found, Reply):
            break
        assert found in {"mismatch", "malformed"}
    good = CORE.walk_reply(ASK, GOOD, ID)
    assert isinstance(good, Reply)
    assert good.ttl_s == 60
    if not isinstance(found, Reply):
        return found
    CORE.flush()
    assert found.ttl_s <= 86400
    assert not (found.ttl_s and (found.failed or found.truncated))
    long, short = CORE.finish(ASK, found, 1000), CORE.finish(SHORT, found, 1000)
    assert len(short) <= 1232
    cached = CORE.handle(QUERY, 1, 4, 1000)
    if isinstance(cached, bytes):
        assert found.ttl_s
        assert cached == long
    for answer in (long, short):
        assert answer[:2] == QUERY[:2]
        assert answer[12 : 12 + len(NAME) + 4] == QUERY[12 : 12 + len(NAME) + 4]
        assert answer[2] & 0x84 == 0x80
        assert answer[3] & 0x70 == 0
    try:
        message = dns.message.from_wire(long, one_rr_per_rrset=True)
    except (dns.exception.DNSException, ValueError):
        # RDATA is copied as it is; the frame around it must hold: counts, names, lengths, to the last octet.
        assert isinstance(CORE.walk_reply(ASK, HEAD + long[2:], ID), Reply)
        return "rdata"
    assert message.edns == 0
    compared = compare(packet, message) if not found.truncated else True
    return (
        found.rcode,
        found.truncated,
        len(found.hits),
        found.ttl_s > 0,
        compared,
        len(message.answer),
        len(message.authority),
        len(message.additional),
    )


if __name__ == "__main__":
    main("reply", target, dictionary=DICTIONARY)
