"""Queries: any octets from a client give an answer, an Ask or silence, never an exception.

An answer parses in dnspython, has the query's ID and opcode, gives the question back octet by octet or leaves it out, has an OPT only if
the query had one, and fits the client. An Ask's own query to the upstream is a valid query for the same question, and taken back by the
core as one. After every input a good query is answered as ever.
"""

from __future__ import annotations

import struct
import sys
import tempfile
from array import array
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import dns.exception
import dns.flags
import dns.message
from harness import main

from blockd.counts import layout
from blockd.counts.slab import Slab
from blockd.native._dns import Ask, Core
from blockd.native._table import CompiledList, ListBuilder, Table, build_table
from blockd.terms import Kind

KEY = bytes(16)
ENTRIES = (
    (b"bad\7example", Kind.SUBTREE),
    (b"one\7example", Kind.EXACT),
    (b"sub\3bad\7example", Kind.SUBTREE),
    (b"ok\3bad\7example", Kind.ALLOW_SUBTREE),
)
DICTIONARY = (
    b"\3bad\7example\0", b"\3sub\3bad\7example\0", b"\2ok\3bad\7example\0", b"\xc0\x0c", b"\0\0\x29\x04\xd0\0\0\0\0\0\0", b"\0\x1a\0\0", b"\0\x0f\0\2\0\x0f",
    b"\0\xff\0\1", b"\0\x41\0\1", b"\0\1\0\3", b"\0\xfc\0\1", b"\0\1\0\0\0\0\0\1", b"\x3f" + b"a" * 63, b"\1a" * 64, b"\x80\0", b"\x28\0",
)  # fmt: skip
GOOD = struct.pack(">6H", 0x0F0F, 0x0110, 1, 0, 0, 1) + b"\3wWw\3bad\7example\0" + struct.pack(">HH", 28, 1) + DICTIONARY[4]


def make_core() -> Core:
    """A core with a table of a few names, a stop page and every action."""
    builder = ListBuilder(KEY, b"")
    for row, (name, kind) in enumerate(ENTRIES):
        builder.add_name(bytes((name.index(b"\7") if b"\3" not in name else name.index(b"\3"),)) + name + b"\0", kind, row, row)
    builder.add_url(b"http://host.example/", b"\4host\7example\0", 4, 4)
    kinds = [*(kind for _, kind in ENTRIES), Kind.URL, Kind.URL_HOST]
    with tempfile.TemporaryDirectory() as folder:
        builder.write(f"{folder}/list", b"[]")
        build_table(f"{folder}/table", KEY, [(CompiledList(f"{folder}/list", KEY), list(range(6)))], b"", kinds)
        table = Table(f"{folder}/table", KEY)
    verdicts = [(1, 16, layout.POLICY, ()), (5, -1, -1, ()), (0, -1, -1, (layout.POLICY,)), (0, -1, -1, ())]
    numbers = [min(table.set_rules(number)[0], 3) for number in range(table.sets)]
    core = Core(cache_bytes=1 << 16, slab=Slab.in_memory().buffer, layout=layout.NATIVE)
    core.configure(addresses4=[b"\xc0\0\2\1"], addresses6=[bytes(15) + b"\1"], ttl_s=30, udp_max=1232, not_ready=False)
    core.swap(table, KEY, verdicts, array("I", [number for number in numbers for _ in range(2)]))
    return core


CORE = make_core()
GOOD_ANSWER = CORE.handle(GOOD, 0, 4, 0)


def check_answer(data: bytes, answer: bytes, room: int) -> object:
    """What holds for every answer to `data`."""
    message = dns.message.from_wire(answer)
    assert answer[:2] == data[:2]
    assert (answer[2] ^ data[2]) & 0x79 == 0, "opcode and RD"
    assert answer[2] & 0x84 == 0x80, "QR, not AA"
    assert answer[3] & 0xF0 == 0x80 | data[3] & 0x10, "RA and CD, not Z and AD"
    assert len(answer) <= room
    if message.question:
        end = 12
        while data[end]:
            end += 1 + data[end]
        assert answer[12 : end + 5] == data[12 : end + 5]
    assert message.edns in (-1, 0)
    if message.edns == 0:
        assert b"\0\x29" in data[12:], "an OPT that was not asked for"
        assert message.payload == 1232
    return message.rcode(), bool(message.question), message.edns, len(message.answer), len(message.authority)


def check_ask(data: bytes, ask: Ask) -> object:
    """What holds for every query that goes on."""
    upstream = ask.upstream(0x1234)
    message = dns.message.from_wire(upstream)
    assert message.id == 0x1234
    assert message.flags & ~dns.flags.CD == dns.flags.RD
    assert (message.edns, message.payload, message.options) == (0, 1232, ())
    assert len(ask.wire) <= 255
    assert upstream[12 : 12 + len(ask.wire)] == data[12 : 12 + len(ask.wire)]
    again = CORE.handle(upstream, 1, 6, 0)
    assert isinstance(again, Ask)
    assert (again.wire, again.key, again.hits) == (ask.wire, ask.key, ask.hits)
    check_answer(data, CORE.failure(ask, 2, 22, 0), 512)
    return ask.why, len(ask.hits), ask.qclass == 1


def target(data: bytes) -> object:
    """Any octets give an answer, an Ask or None."""
    tcp, udp = CORE.handle(data, 1, 4, 0), CORE.handle(data, 0, 4, 0)
    assert type(tcp) is type(udp)
    assert CORE.handle(GOOD, 0, 4, 0) == GOOD_ANSWER
    refused = CORE.prohibit(data, 0, 6, 0)
    assert (refused is None) == (len(data) < 12 or data[2] & 0x80 != 0)
    if refused is not None:
        check_answer(data, refused, 512)
    if isinstance(udp, Ask):
        return check_ask(data, udp)
    if udp is None:
        return refused is None
    assert refused is not None
    check_answer(data, tcp, 65535)
    return check_answer(data, udp, 1232)


if __name__ == "__main__":
    main("query", target, dictionary=DICTIONARY)
