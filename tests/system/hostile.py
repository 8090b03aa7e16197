"""Hostile input, made by hand: what no honest peer sends. Shared by the tests of this folder and by the fuzz target of the doors.

:func:`queries` gives (name of the attack, packet, what the door says of it over UDP); the rules are those of RFC 1035 §4, RFC 6891 §6,
RFC 9267 and RFC 9619 §4, as blockd/native/question.h puts them. :data:`ANSWERS` are those of a hostile upstream, as functions of the query.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SILENCE, FORMERR, NOTIMP, BADVERS = -1, 1, 4, 16
ANY = None  # an answer, a refusal or silence: no rule says which

NAME = b"\x03www\x07hostile\x07example\x00"
A_IN = b"\x00\x01\x00\x01"
OPT = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"


def query(
    body: bytes = NAME + A_IN,
    *,
    identity: int = 0x4242,
    flags: int = 0x0100,
    counts: tuple[int, int, int, int] = (1, 0, 0, 0),
    tail: bytes = b"",
) -> bytes:
    """A packet: a header over whatever body."""
    return struct.pack(">6H", identity, flags, *counts) + body + tail


def opt(options: bytes = b"", *, length: int | None = None, ttl: int = 0, owner: bytes = b"\0", size: int = 1232) -> bytes:
    """An OPT record; `length`: what it says of its data, true or not."""
    return owner + struct.pack(">HHIH", 41, size, ttl, len(options) if length is None else length) + options


Case = tuple[str, bytes, int | None]


def truncations() -> Iterator[Case]:
    """A good query, cut at each octet."""
    whole = query(counts=(1, 0, 0, 1), tail=opt(b"\x00\x0a\x00\x08" + bytes(8)))
    for end in range(len(whole)):
        yield f"cut-at-{end}", whole[:end], SILENCE if end < 12 else FORMERR


def headers() -> Iterator[Case]:
    """Every field of the header at its extremes."""
    for opcode in range(1, 16):
        yield f"opcode-{opcode}", query(flags=opcode << 11), NOTIMP
    for bit in (0x0010, 0x0020, 0x0040, 0x0080, 0x0200, 0x0400):
        yield f"flag-{bit:#06x}", query(flags=0x0100 | bit), 0
    for rcode in (1, 15):
        yield f"rcode-{rcode}", query(flags=0x0100 | rcode), 0
    yield "an-answer", query(flags=0x8100), SILENCE
    yield "all-flags", query(flags=0xFFFF), SILENCE
    yield "all-but-qr", query(flags=0x7FFF), NOTIMP
    for count in (0, 2, 0x7FFF, 0xFFFF):
        yield f"questions-{count}", query(counts=(count, 0, 0, 0)), FORMERR
    for place in (1, 2, 3):
        for count in (1, 3, 0xFFFF):
            counts = [1, 0, 0, 0]
            counts[place] = count
            yield f"counts-{place}-{count}", query(counts=tuple(counts)), FORMERR
    yield "all-counts", query(counts=(0xFFFF,) * 4), FORMERR
    yield "identity-0", query(identity=0), 0
    yield "identity-65535", query(identity=0xFFFF), 0


def names() -> Iterator[Case]:
    """Pointers, loops and lengths in the question (RFC 1035 §2.3.4, RFC 9267 §2)."""
    for to in (0, 4, 11, 12, 13, 14, 20, 0x3FFF):
        yield f"pointer-{to}", query(struct.pack(">H", 0xC000 | to) + A_IN), FORMERR
    yield "pointer-behind-a-label", query(b"\x03www\xc0\x0c" + A_IN), FORMERR
    yield "two-pointers", query(b"\xc0\x0e\xc0\x0c" + A_IN), FORMERR
    for octet in (0x40, 0x41, 0x7F, 0x80, 0xBF):
        yield f"label-type-{octet:#x}", query(bytes((octet,)) + b"a" * 63 + b"\0" + A_IN), FORMERR
    yield "name-of-256", query((b"\x3f" + b"a" * 63) * 3 + b"\x3f" + b"a" * 63 + b"\0" + A_IN), FORMERR
    yield "name-of-255", query((b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"a" * 61 + b"\0" + A_IN), ANY
    yield "128-labels", query(b"\x01a" * 128 + b"\0" + A_IN), FORMERR
    yield "127-labels", query(b"\x01a" * 127 + b"\0" + A_IN), ANY
    yield "no-end", query(b"\x01a" * 1000), FORMERR
    yield "nul-octets", query(b"\x04\0\0\0\0\x07hostile\x07example\0" + A_IN), ANY
    yield "high-octets", query(b"\x04\xff\xfe\x80\xc0\x07hostile\x07example\0" + A_IN), ANY
    for qtype in (41, 249, 250):
        yield f"meta-type-{qtype}", query(NAME + struct.pack(">HH", qtype, 1)), FORMERR
    for qtype in (0, 251, 252, 253, 254, 255, 65535):
        yield f"type-{qtype}", query(NAME + struct.pack(">HH", qtype, 1)), ANY
    for qclass in (0, 3, 254, 255, 65535):
        yield f"class-{qclass}", query(NAME + struct.pack(">HH", 1, qclass)), ANY


def additional() -> Iterator[Case]:
    """OPT records as they must not be (RFC 6891 §6.1.1)."""
    one, two = (1, 0, 0, 1), (1, 0, 0, 2)
    yield "two-opt", query(counts=two, tail=opt() + opt()), FORMERR
    yield "opt-not-at-root", query(counts=one, tail=opt(owner=b"\x01a\0")), FORMERR
    yield "opt-owner-pointer", query(counts=one, tail=opt(owner=b"\xc0\x0c")), FORMERR
    yield "opt-owner-loop", query(counts=one, tail=opt(owner=struct.pack(">H", 0xC000 | 12 + len(NAME) + 4))), FORMERR
    yield "opt-in-answer", query(counts=(1, 1, 0, 0), tail=opt()), FORMERR
    yield "opt-in-authority", query(counts=(1, 0, 1, 0), tail=opt()), FORMERR
    for length in (1, 4, 255, 0xFFFF):
        yield f"opt-past-end-{length}", query(counts=one, tail=opt(length=length)), FORMERR
    for said in (1, 9, 0xFFFF):
        yield f"option-past-rdata-{said}", query(counts=one, tail=opt(struct.pack(">HH", 10, said))), FORMERR
    yield "half-an-option", query(counts=one, tail=opt(b"\0\x0a\0")), FORMERR
    yield "1000-empty-options", query(counts=one, tail=opt(b"\xff\xff\0\0" * 1000)), ANY
    for version in (1, 255):
        yield f"edns-version-{version}", query(counts=one, tail=opt(ttl=version << 16)), BADVERS
    for size in (0, 1, 511, 65535):
        yield f"edns-size-{size}", query(counts=one, tail=opt(size=size)), 0
    yield "all-edns-flags", query(counts=one, tail=opt(ttl=0xFF00FFFF)), 0
    yield "two-unknown", query(counts=two, tail=(b"\0\xff\xff\0\1" + bytes(6)) * 2), ANY
    yield "trailing-octet", query(tail=b"\0"), FORMERR
    yield "trailing-kilobyte", query(tail=bytes(1024)), FORMERR
    yield "4096-octets", query(counts=one, tail=opt(b"\xff\xff\x0f\xcd" + bytes(4045))), ANY
    yield "4097-octets", query(tail=bytes(4097 - 12 - len(NAME) - 4)), FORMERR
    yield "32-kib-of-pointers", query(b"\xc0\x0c" * 16000), FORMERR


def queries() -> list[Case]:
    """All of them."""
    return [*truncations(), *headers(), *names(), *additional()]


# What a hostile upstream says. Each: the query's packet -> the packets to send, the first as it would be sent over TCP.

ANSWER_FLAGS = 0x8180


def question_of(wire: bytes) -> bytes:
    """Header aside, the question as it stands in a query of blockd: the name and four octets."""
    at = 12
    while wire[at]:
        at += 1 + wire[at]
    return wire[12 : at + 5]


def record(owner: bytes, rdtype: int, rdata: bytes, *, ttl: int = 60, length: int | None = None) -> bytes:
    """A record of class IN."""
    return owner + struct.pack(">HHIH", rdtype, 1, ttl, len(rdata) if length is None else length) + rdata


def answer(
    wire: bytes,
    *records: bytes,
    counts: tuple[int, int, int] | None = None,
    identity: int = 0,
    question: bytes | None = None,
    flags: int = ANSWER_FLAGS,
) -> bytes:
    """An answer to `wire`: right where it is not told otherwise. `identity`: added to the right one."""
    right = (int.from_bytes(wire[:2], "big") + identity) & 0xFFFF
    asked = question_of(wire) if question is None else question
    return struct.pack(">6H", right, flags, 1, *(counts or (len(records), 0, 0))) + asked + b"".join(records)


def at_body(wire: bytes) -> int:
    """Where the first record of :func:`answer` stands."""
    return 12 + len(question_of(wire))


def pointer(at: int) -> bytes:
    """A compression pointer."""
    return struct.pack(">H", 0xC000 | at & 0x3FFF)


GOOD_A = record(b"\xc0\x0c", 1, b"\xc6\x33\x64\x07")


def pointer_forest(wire: bytes) -> bytes:
    """64 KB of records whose owners are chains of pointers, each into the one before: quadratic for who follows them (RFC 9267 §2)."""
    at, records, before, depth = at_body(wire), [], 12, 0
    while True:
        piece = record(b"\x01a" + pointer(before), 16, b"\0")
        if at + len(piece) > 65535:
            return answer(wire, *records)
        records.append(piece)
        if at < 0x3F00:
            before, depth = (at, depth + 1) if depth < 100 else (12, 0)
        at += len(piece)


def pointer_ladder(wire: bytes) -> bytes:
    """Pointers to pointers to pointers, 8,000 steps, then 3,000 owners that start at the top."""
    steps = min(8000, (0x3F00 - at_body(wire)) // 2)
    start = at_body(wire) + 11
    ladder = pointer(12) + b"".join(pointer(start + 2 * n) for n in range(steps - 1))
    return answer(wire, record(b"\0", 65280, ladder), *[record(pointer(start + 2 * (steps - 1)), 16, b"\0") for _ in range(3000)])


def long_names(wire: bytes) -> bytes:
    """Names of 127 labels behind one pointer each, in a type whose names are written out: a small answer that grows."""
    labels = b"\x01x" * 60
    first = record(labels + b"\xc0\x0c", 2, b"\xc0\x0c")
    return answer(wire, first, *[record(pointer(at_body(wire)), 17, pointer(at_body(wire)) * 2) for _ in range(3500)])


def chain(length: int) -> Callable[[bytes], bytes]:
    """A chain of CNAMEs, then an address."""

    def make(wire: bytes) -> bytes:
        records, owner = [], b"\xc0\x0c"
        for number in range(length):
            to = b"\x05" + b"%05d" % number + b"\x05chain\x07example\x00"
            records.append(record(owner, 5, to))
            owner = to
        return answer(wire, *records, record(owner, 1, b"\xc6\x33\x64\x07"))

    return make


def tiny_records(wire: bytes) -> bytes:
    """As many records as 64 KB hold."""
    return answer(wire, *[record(b"\0", 65280, b"")] * 5900)


ANSWERS: dict[str, Callable[[bytes], bytes | list[bytes]]] = {
    "empty": lambda wire: b"",
    "header-alone": lambda wire: answer(wire)[:12],
    "owner-loop": lambda wire: answer(wire, record(pointer(at_body(wire)), 1, bytes(4))),
    "owner-forward": lambda wire: answer(wire, record(pointer(at_body(wire) + 2), 1, bytes(4))),
    "rdata-loop": lambda wire: answer(wire, record(b"\xc0\x0c", 5, pointer(at_body(wire) + 12))),
    "pointer-into-header": lambda wire: answer(wire, record(pointer(4), 1, bytes(4))),
    "wrong-id": lambda wire: [answer(wire, GOOD_A, identity=n) for n in range(1, 40)],
    "wrong-question": lambda wire: answer(wire, GOOD_A, question=NAME + A_IN),
    "wrong-type": lambda wire: answer(wire, GOOD_A, question=question_of(wire)[:-4] + b"\0\x1c\0\1"),
    "two-questions": lambda wire: answer(wire, GOOD_A)[:4] + b"\0\2" + answer(wire, GOOD_A)[6:],
    "a-query": lambda wire: answer(wire, GOOD_A, flags=0x0180),
    "opcode-15": lambda wire: answer(wire, GOOD_A, flags=0xF980),
    "counts-of-65535": lambda wire: answer(wire, GOOD_A, counts=(65535, 65535, 65535)),
    "count-of-2": lambda wire: answer(wire, GOOD_A, counts=(2, 0, 0)),
    "rdlength-past-end": lambda wire: answer(wire, record(b"\xc0\x0c", 1, bytes(4), length=65535)),
    "rdlength-short": lambda wire: answer(wire, record(b"\xc0\x0c", 1, bytes(4), length=3)),
    "opt-in-the-middle": lambda wire: answer(wire, GOOD_A, opt(), GOOD_A),
    "two-opt": lambda wire: answer(wire, GOOD_A, opt(), opt(), counts=(1, 0, 2)),
    "opt-options-past-rdata": lambda wire: answer(wire, GOOD_A, opt(b"\0\x0f\xff\xff"), counts=(1, 0, 1)),
    "trailing": lambda wire: answer(wire, GOOD_A) + bytes(100),
    "cut": lambda wire: answer(wire, GOOD_A)[:-3],
    "garbage": lambda wire: wire[:2] + b"\x81\x80" + bytes(range(256)) * 4,
    "chain-of-1000": chain(1000),
    "chain-of-40": chain(40),
    "cname-loop": lambda wire: answer(wire, record(b"\xc0\x0c", 5, b"\xc0\x0c")),
    "pointer-forest": pointer_forest,
    "pointer-ladder": pointer_ladder,
    "long-names": long_names,
    "tiny-records": tiny_records,
    "megabyte-text": lambda wire: answer(wire, *[record(b"\xc0\x0c", 16, (b"\xff" + b"t" * 255) * 60)] * 4),
    "bad-svcb": lambda wire: answer(wire, record(b"\xc0\x0c", 65, b"\0\1\xc0\x0c")),
    "rcode-15": lambda wire: answer(wire, flags=0x818F),
    "silence": lambda wire: [],
}
"""Those of more than 1,232 octets come over TCP, behind a truncated one."""
