"""Upstream answers, octet by octet: what dnspython would not make. All are for www.example.com A under the ID 7."""

from __future__ import annotations

import struct

from tests.native.dns_tools import wire

NAME = wire("www.example.com")
QUESTION = NAME + struct.pack(">HH", 1, 1)
BODY_AT = 12 + len(QUESTION)
A = b"\xc0\x00\x02\x01"


def message(
    *records: bytes, counts: tuple[int, int, int] | None = None, flags: int = 0x8180, question: bytes = QUESTION, identity: int = 7
) -> bytes:
    return struct.pack(">6H", identity, flags, 1, *(counts or (len(records), 0, 0))) + question + b"".join(records)


def record(owner: bytes, rdtype: int, rdata: bytes, ttl: int = 60, rdclass: int = 1) -> bytes:
    return owner + struct.pack(">HHIH", rdtype, rdclass, ttl, len(rdata)) + rdata


def pointer(at: int) -> bytes:
    return struct.pack(">H", 0xC000 | at)


OPT = record(b"\0", 41, b"", 0, 1232)


def forest(depth: int) -> bytes:
    """A pointer chain of `depth` hops inside a NULL record, and A records that point at its end."""
    inside = BODY_AT + 12
    chain = b"\1a\0" + b"".join(pointer(inside if i == 0 else inside + 3 + 2 * (i - 1)) for i in range(depth))
    first = record(b"\xc0\x0c", 10, chain)
    end = inside + 3 + 2 * (depth - 1)
    n = (65535 - BODY_AT - len(first)) // 16
    return message(first, *[record(pointer(min(end, 0x3FFF - 1)), 1, A)] * n)[:65535]


LONG = (b"\1a" * 126) + b"\0"
HEAVY = {
    "pointer forest": forest(7000),
    "short pointer forest": forest(120),
    "one long name, four thousand pointers": message(record(LONG, 1, A), *[record(pointer(BODY_AT), 1, A)] * 4000),
    "names that must be written out": message(record(LONG, 1, A), *[record(b"\xc0\x0c", 33, bytes(6) + pointer(BODY_AT))] * 3200),
    "long names, not compressed": message(*[record(LONG, 1, A)] * 240),
    "many owners": message(*[record(b"\1" + bytes((97 + i % 26,)) + b"\xc0\x0c", 1, A) for i in range(3600)]),
    "the root, again and again": message(*[record(b"\0", 10, b"")] * 5900),
    "cnames, again and again": message(*[record(b"\xc0\x0c", 5, b"\xc0\x0c")] * 4600),
    "counts that promise more": message(*[record(b"\xc0\x0c", 1, A)] * 4000, counts=(65535, 65535, 65535)),
}
