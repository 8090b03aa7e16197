"""The native core's DNS half, one thread, called from Python: nanoseconds for each kind of message.

`python bench/micro_dns.py [--entries N]`. A table of N names (subtree entries) is built and used as a resolver does. The figures include
the call from Python and the object that it returns; the last column is the same loop over a call that does nothing, to be taken off.
Each figure is the best of seven runs.
"""

from __future__ import annotations

import argparse
import os
import random
import struct
import tempfile
import time
from array import array
from pathlib import Path
from typing import TYPE_CHECKING

import machine

from blockd.counts.layout import NATIVE
from blockd.counts.slab import Slab
from blockd.native._dns import Core, Reply
from blockd.native._table import CompiledList, ListBuilder, Table, build_table
from blockd.terms import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

RUNS = 7
QUESTIONS = 20_000
ADDRESS = b"\xc0\x00\x02\x01"


def wire(name: str) -> bytes:
    return b"".join(bytes((len(label),)) + label.encode() for label in name.split(".")) + b"\0"


def query(name: str, qtype: int = 1) -> bytes:
    """RD, one question, an OPT of 1232."""
    return (
        struct.pack(">6H", 0x1234, 0x0100, 1, 0, 0, 1)
        + wire(name)
        + struct.pack(">HH", qtype, 1)
        + struct.pack(">BHHIH", 0, 41, 1232, 0, 0)
    )


def answer(asked: bytes, records: int) -> bytes:
    """A CNAME, and A records behind it; names compressed as servers do."""
    question = asked[12:-11]
    target = b"\x03cdn" + b"\xc0\x0c"
    target_at = 12 + len(question) + 12
    body = b"\xc0\x0c" + struct.pack(">HHIH", 5, 1, 300, len(target)) + target
    for i in range(records - 1):
        body += struct.pack(">H", 0xC000 | target_at) + struct.pack(">HHIH", 1, 1, 60, 4) + ADDRESS[:3] + bytes((i + 1,))
    return asked[:2] + struct.pack(">5H", 0x8180, 1, records, 0, 1) + question + body + asked[-11:]


def best_ns(call: Callable[[int], object], n: int) -> float:
    """Nanoseconds a call."""
    best = float("inf")
    for _ in range(RUNS):
        start = time.perf_counter_ns()
        for i in range(n):
            call(i)
        best = min(best, time.perf_counter_ns() - start)
    return best / n


def core_over(names: Sequence[str], folder: Path) -> Core:
    key = os.urandom(16)
    builder = ListBuilder(key, b"")
    left = builder.add_text("".join(f"{name}\n" for name in names).encode(), "domains", 1, 0)
    if left:
        raise SystemExit(f"{len(left)} names were not plain")
    builder.write(folder / "list", b"[0]")
    build_table(folder / "table", key, [(CompiledList(folder / "list", key), [0])], b"", [Kind.SUBTREE])
    core = Core(cache_bytes=64 << 20, slab=Slab.in_memory().buffer, layout=NATIVE)
    core.configure(addresses4=[ADDRESS], addresses6=[], ttl_s=30, udp_max=1232, not_ready=False)
    table = Table(folder / "table", key)
    core.swap(table, key, [(2, 15, NATIVE[7], ())], array("I", [0, 0] * table.sets))
    return core


def measure(core: Core, names: Sequence[str]) -> list[tuple[str, float]]:
    chosen = random.Random(1)
    blocked = [query(chosen.choice(names)) for _ in range(QUESTIONS)]
    free = [query(f"www.h{i}.example.net") for i in range(QUESTIONS)]
    asks = [core.handle(packet, 1, 4, 0) for packet in free]
    answers = {records: [answer(ask.upstream(i), records) for i, ask in enumerate(asks)] for records in (2, 30)}  # type: ignore[union-attr]
    rows = [
        ("blocked name: NXDOMAIN, SOA, EDE", best_ns(lambda i: core.handle(blocked[i], 0, 4, 0), QUESTIONS)),
        ("free name, not cached: Ask", best_ns(lambda i: core.handle(free[i], 0, 4, 0), QUESTIONS)),
    ]
    for records, packets in answers.items():
        rows.append(
            (
                f"upstream answer of {records} records: walk",
                best_ns(lambda i, p=packets: core.walk_reply(asks[i], p[i], i & 0xFFFF), QUESTIONS),
            )
        )
        replies = [core.walk_reply(ask, packet, i & 0xFFFF) for i, (ask, packet) in enumerate(zip(asks, packets, strict=True))]
        if not all(isinstance(reply, Reply) and reply.ttl_s == 60 for reply in replies):
            raise SystemExit("an answer did not pass the walk")
        rows.append(
            (f"upstream answer of {records} records: finish", best_ns(lambda i, r=replies: core.finish(asks[i], r[i], 0), QUESTIONS))
        )
        rows.append((f"cached answer of {records} records", best_ns(lambda i: core.handle(free[i], 0, 4, 1000), QUESTIONS)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Nanoseconds for each kind of message in the native core.")
    parser.add_argument("--entries", type=int, default=1_000_000, help="names in the table")
    names = [f"n{i}.w{i % 997}.example.org" for i in range(parser.parse_args().entries)]
    print(machine.header())
    with tempfile.TemporaryDirectory() as folder:
        core = core_over(names, Path(folder))
        nothing = best_ns(lambda _: len(names), QUESTIONS)
        rows = measure(core, names)
    print(f"{len(names):,} names in the table\n")
    for label, ns in rows:
        print(f"{label:<44} {ns:8.0f} ns {1e9 / ns:12,.0f}/s")
    print(f"{'(the empty loop)':<44} {nothing:8.0f} ns")


if __name__ == "__main__":
    main()
