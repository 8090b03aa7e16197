"""What the tests of the native core share: a core over real tables, queries and answers made and read by dnspython."""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.rrset

from blockd.counts import layout
from blockd.counts.slab import Slab
from blockd.native._dns import Ask, Core, Reply
from blockd.native._table import CompiledList, ListBuilder, Table, build_table
from blockd.terms import Kind, Source, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

NONE, STOP_PAGE, NXDOMAIN, NODATA, REFUSED, DROP = range(6)
KEY = bytes(range(16))
ADDRESS4, ADDRESS6 = b"\xc0\x00\x02\x07", b"\x20\x01\x0d\xb8" + bytes(11) + b"\x07"
CELL = layout.POLICY
SDE = dns.edns.GenericOption(26, b"")

Verdict = tuple[int, int, int, tuple[int, ...]]


def wire(name: str) -> bytes:
    return b"".join(bytes((len(label),)) + label.encode() for label in name.strip(".").split(".") if label) + b"\0"


def raw_query(name: str, qtype: int = 1, identity: int = 0x1234) -> bytes:
    """RD, one question, no OPT. For tests that ask thousands of times."""
    return struct.pack(">6H", identity, 0x0100, 1, 0, 0, 0) + wire(name) + struct.pack(">HH", qtype, 1)


def raw_answer(query: bytes, ttl_s: int, rdata: bytes, identity: int = 7) -> bytes:
    """One record of the type that was asked, at the name that was asked."""
    record = b"\xc0\x0c" + query[-4:] + struct.pack(">IH", ttl_s, len(rdata)) + rdata
    return struct.pack(">6H", identity, 0x8180, 1, 1, 0, 0) + query[12:] + record


@dataclass
class Rig:
    """A core, its slab, and a clock that stands still until it is moved."""

    cache_bytes: int = 1 << 20
    now_ms: int = 1_000_000
    slab: Slab = field(default_factory=Slab.in_memory)
    core: Core = field(init=False)
    table: Table | None = None

    def __post_init__(self) -> None:
        self.core = Core(cache_bytes=self.cache_bytes, slab=self.slab.buffer, layout=layout.NATIVE)
        self.configure()

    def configure(
        self,
        *,
        addresses4: Sequence[bytes] = (ADDRESS4,),
        addresses6: Sequence[bytes] = (),
        ttl_s: int = 30,
        udp_max: int = 1232,
        not_ready: bool = False,
    ) -> None:
        self.core.configure(addresses4=addresses4, addresses6=addresses6, ttl_s=ttl_s, udp_max=udp_max, not_ready=not_ready)

    def swap(
        self,
        folder: Path,
        entries: Mapping[str, Sequence[tuple[Kind, int]]],
        verdicts: Sequence[Verdict],
        decide: Callable[[tuple[int, ...], bool], int],
        url_hosts: Callable[[tuple[int, ...]], bool] | None = None,
    ) -> None:
        """A table of `entries`: name -> (kind, rule) pairs. `decide`: the verdict number of (rules of the set, is the whole name)."""
        kinds = [Kind.SUBTREE] * (1 + max((rule for pairs in entries.values() for _, rule in pairs), default=0))
        builder = ListBuilder(KEY, b"")
        for row, (name, pairs) in enumerate(entries.items()):
            for kind, rule in pairs:
                kinds[rule] = kind
                if kind is Kind.URL_HOST:  # the mark comes with a URL entry, whose rule is the one before
                    kinds[rule - 1] = Kind.URL
                    builder.add_url(b"http://" + name.encode(), wire(name), rule - 1, row)
                elif not builder.add_name(wire(name), kind, rule, row):
                    raise AssertionError(name)
        builder.write(folder / "list", b"[" + b",".join(b"%d" % rule for rule in range(len(kinds))) + b"]")
        build_table(folder / "table", KEY, [(CompiledList(folder / "list", KEY), list(range(len(kinds))))], b"", kinds)
        self.table = table = Table(folder / "table", KEY)
        rules = [table.set_rules(number) for number in range(table.sets)]
        index = array("I", [decide(some, full) for some in rules for full in (False, True)])
        marks = None if url_hosts is None else bytes(url_hosts(some) for some in rules)
        self.core.swap(table, KEY, verdicts, index, marks)

    def block(
        self, folder: Path, *names: str, action: int = NXDOMAIN, ede: int = 15, hit: int = CELL, shadow: tuple[int, ...] = ()
    ) -> None:
        """Everything under `names` gets one verdict."""
        self.swap(folder, {name: [(Kind.SUBTREE, 0)] for name in names}, [(action, ede, hit, shadow)], lambda _rules, _full: 0)

    def raw(self, packet: bytes, transport: int = Transport.UDP, family: int = 4) -> bytes | Ask | None:
        return self.core.handle(packet, transport, family, self.now_ms)

    def send(self, query: dns.message.Message, transport: int = Transport.UDP) -> dns.message.Message:
        """Ask, and read the answer: it must be an answer to that question, and pass dnspython whole."""
        packet = self.raw(query.to_wire(), transport)
        assert isinstance(packet, bytes), packet
        return read(packet, query)

    def ask(self, query: dns.message.Message, transport: int = Transport.UDP) -> Ask:
        found = self.raw(query.to_wire(), transport)
        assert isinstance(found, Ask), found
        return found

    def reply(self, ask: Ask, answer: dns.message.Message | bytes, identity: int = 7) -> Reply:
        found = self.core.walk_reply(ask, answer if isinstance(answer, bytes) else answer.to_wire(max_size=65535), identity)
        assert isinstance(found, Reply), found
        return found

    def resolve(self, query: dns.message.Message, *records: str, transport: int = Transport.UDP, **more: object) -> dns.message.Message:
        """Ask, take `records` for the upstream's answer, finish."""
        ask = self.ask(query, transport)
        reply = self.reply(ask, upstream_answer(ask, *records, **more))
        return read(self.core.finish(ask, reply, self.now_ms), query)

    def count(self, cell: int) -> int:
        return self.slab.buffer[cell]

    def responses(self, rcode: str, source: Source) -> int:
        return self.count(layout.RESPONSES + layout.RCODES.index(rcode) * len(Source) + source)

    def limit(self, name: str) -> int:
        return self.count(layout.LIMIT + layout.LIMITS.index(name))


def ask_for(name: str, qtype: str = "A", **more: object) -> dns.message.QueryMessage:
    """dnspython's query; its keywords: use_edns, want_dnssec, payload, options, rdclass, flags."""
    return dns.message.make_query(name, qtype, **more)


def read(packet: bytes, query: dns.message.Message) -> dns.message.Message:
    found = dns.message.from_wire(packet)
    assert found.id == query.id
    assert packet[12 : 12 + len(query.to_wire()[12:]) - edns_bytes(query)] == query.to_wire()[12 : len(query.to_wire()) - edns_bytes(query)]
    assert found.flags & dns.flags.QR
    assert found.flags & dns.flags.RA
    assert not found.flags & (dns.flags.AA | dns.flags.AD)
    assert (found.flags ^ query.flags) & (dns.flags.RD | dns.flags.CD) == 0
    assert packet[3] & 0x40 == 0  # Z
    assert (found.edns >= 0) == (query.edns >= 0)
    if found.edns >= 0:
        assert (found.edns, found.payload) == (0, 1232)
        assert found.ednsflags & 0x8000 == query.ednsflags & 0x8000
    return found


def edns_bytes(query: dns.message.Message) -> int:
    return 0 if query.edns < 0 else 11 + sum(4 + len(option.to_wire()) for option in query.options)


def ede(answer: dns.message.Message) -> int | None:
    """The one Extended DNS Error, whose text is empty; None for none."""
    if not answer.options:
        return None
    (option,) = answer.options
    assert isinstance(option, dns.edns.EDEOption)
    assert not option.text
    return option.code


def rrset(text: str) -> dns.rrset.RRset:
    """`owner ttl type data`, one record."""
    owner, ttl, rdtype, data = text.split(None, 3)
    return dns.rrset.from_rdata(
        dns.name.from_text(owner), int(ttl), dns.rdata.from_text("IN", rdtype, data, origin=dns.name.root, relativize=False)
    )


def upstream_answer(
    ask: Ask, *answer: str, authority: Sequence[str] = (), additional: Sequence[str] = (), rcode: int = 0, identity: int = 7, flags: int = 0
) -> dns.message.Message:
    made = dns.message.make_response(dns.message.from_wire(ask.upstream(identity)), recursion_available=True)
    for section, texts in ((made.answer, answer), (made.authority, authority), (made.additional, additional)):
        section.extend(rrset(text) for text in texts)
    made.set_rcode(rcode)
    made.flags |= flags
    return made


def check_soa(answer: dns.message.Message, query: dns.message.Message, ttl_s: int = 30) -> None:
    """A negative answer: one SOA, at the name that was asked, kept for `ttl_s`, naming nobody."""
    assert not answer.answer
    (soa,) = answer.authority
    assert soa.rdtype == dns.rdatatype.SOA
    assert soa.name == query.question[0].name
    assert soa.ttl == soa[0].minimum == ttl_s
    assert soa[0].mname.to_text() == "localhost."
    assert soa[0].rname.to_text() == "nobody.invalid."
