"""What the core counts, and that its numbers are counts/layout.py's."""

from __future__ import annotations

import re

import dns.rdatatype
import pytest

from blockd.counts import layout
from blockd.terms import Source, Transport
from tests.house.sources import ROOT
from tests.native.dns_tools import CELL, Rig, ask_for, upstream_answer

HEADER = (ROOT / "blockd/native/counts.h").read_text(encoding="ascii")


@pytest.fixture
def rig() -> Rig:
    return Rig()


def requests(transport: int, family: str, qtype: str) -> int:
    return (
        layout.REQUESTS + (transport * len(layout.FAMILIES) + layout.FAMILIES.index(family)) * len(layout.TYPES) + layout.TYPES.index(qtype)
    )


def moved(rig: Rig, before) -> dict[int, int]:
    return {cell: n - before[cell] for cell, n in enumerate(rig.slab.read()) if n != before[cell] and not is_sum(cell)}


def is_sum(cell: int) -> bool:
    """A duration's sum: its value is the clock's."""
    size = len(layout.DURATION_BOUNDS_S) + 2
    return layout.DURATIONS <= cell < layout.LIMIT and (cell - layout.DURATIONS) % size == size - 1


def durations(rig: Rig, source: Source) -> int:
    size = len(layout.DURATION_BOUNDS_S) + 2
    start = layout.DURATIONS + source * size
    return sum(rig.slab.read()[start : start + size - 1])


@pytest.mark.parametrize("transport", Transport)
@pytest.mark.parametrize("family", layout.FAMILIES)
def test_requests_by_transport_family_and_type(rig, transport, family):
    types = dict(zip(layout.TYPES, layout.TYPE_CODES, strict=False)) | {"other": 65280}
    for name, code in types.items():
        before = rig.slab.read()
        packet = ask_for("www.example.com", dns.rdatatype.RdataType.make(code)).to_wire()
        rig.raw(packet, transport, 4 if family == "ipv4" else 6)
        assert moved(rig, before) == {requests(transport, family, name): 1}


def test_malformed_requests_are_of_another_type(rig):
    rig.raw(b"\0" * 12)
    assert rig.count(requests(0, "ipv4", "other")) == 1
    assert rig.responses("FORMERR", Source.ERROR) == 1
    assert durations(rig, Source.ERROR) == 1


def test_responses_by_rcode_and_source(rig, tmp_path):
    rig.block(tmp_path, "bad.example", hit=CELL + 3, shadow=(CELL + 4, CELL + 5))
    query = ask_for("www.example.com", use_edns=0)
    for made, (rcode, source) in (
        (lambda: rig.send(ask_for("bad.example")), ("NXDOMAIN", Source.POLICY)),
        (lambda: rig.resolve(query, "www.example.com 60 A 192.0.2.1"), ("NOERROR", Source.UPSTREAM)),
        (lambda: rig.send(query), ("NOERROR", Source.CACHE)),
        (lambda: rig.core.failure(rig.ask(ask_for("x.example", use_edns=0)), 2, 22, 0), ("SERVFAIL", Source.ERROR)),
        (lambda: rig.core.failure(rig.ask(ask_for("x.example", use_edns=0)), 16, -1, 0), ("BADVERS", Source.ERROR)),
        (lambda: rig.core.failure(rig.ask(ask_for("x.example", use_edns=0)), 23, -1, 0), ("other", Source.ERROR)),
        (lambda: rig.core.failure(rig.ask(ask_for("x.example", use_edns=0)), 6, -1, 0), ("other", Source.ERROR)),
        (lambda: rig.raw(b"\0\0\x28\0" + bytes(8)), ("NOTIMP", Source.ERROR)),
        (lambda: rig.core.prohibit(query.to_wire(), 0, 4, 0), ("REFUSED", Source.ERROR)),
    ):
        before, timed = rig.responses(rcode, source), durations(rig, source)
        made()
        assert rig.responses(rcode, source) == before + 1
        assert durations(rig, source) == timed + 1
    assert [rig.count(CELL + i) for i in range(7)] == [0, 0, 0, 1, 1, 1, 0]


def test_durations_are_measured_from_the_arrival(rig):
    """Of an answer that went upstream: the time since the query came, by the machine's clock."""
    ask = rig.ask(ask_for("www.example.com"))
    reply = rig.reply(ask, upstream_answer(ask))
    size = len(layout.DURATION_BOUNDS_S) + 2
    for _ in range(3):
        rig.core.finish(ask, reply, rig.now_ms)
    total_ns = rig.count(layout.DURATIONS + Source.UPSTREAM * size + size - 1)
    assert 0 < total_ns < 60e9


def test_the_types_are_the_layouts():
    cases = dict(re.findall(r"case (\d+): return (\d+); +/\* \w+ \*/", HEADER))
    assert {int(code): int(index) for code, index in cases.items()} == {code: i for i, code in enumerate(layout.TYPE_CODES)}
    assert f"default: return {len(layout.TYPES) - 1};" in HEADER


def test_the_bounds_are_the_layouts():
    body = re.search(r"COUNTS_BOUNDS_NS\[COUNTS_BOUNDS\] = \{([^}]*)\}", HEADER)
    assert [int(n) / 1e9 for n in body[1].split(",") if n.strip()] == list(layout.DURATION_BOUNDS_S)


def test_the_limits_sources_and_transports_are_the_layouts():
    for name, number in re.findall(r"LIMIT_(\w+) = (\d+)", HEADER):
        assert layout.LIMITS[int(number)] == name.lower()
    assert f"COUNTS_LIMITS = {len(layout.LIMITS)}," in HEADER
    assert re.search(r"enum \{ (SOURCE_[^}]*) \}", HEADER)[1] == ", ".join(f"SOURCE_{source.name}" for source in Source)
    assert re.search(r"enum \{ (TRANSPORT_[^}]*) \}", HEADER)[1] == ", ".join(f"TRANSPORT_{door.name}" for door in Transport)
    assert (layout.RCODE_CODES, layout.RCODES[-1]) == ((0, 1, 2, 3, 4, 5, 16), "other")


def test_doors_that_there_are_not(rig):
    for transport, family in ((-1, 4), (5, 4), (0, 0), (0, 5), (0, 16)):
        with pytest.raises(ValueError, match="transport"):
            rig.raw(b"", transport, family)
        with pytest.raises(ValueError, match="transport"):
            rig.core.prohibit(b"", transport, family, 0)
