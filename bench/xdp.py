"""What the XDP program costs a packet, beside an empty one: nanoseconds by the kernel's own clock (BPF_PROG_TEST_RUN), over a table of many entries.

    .venv/bin/python bench/xdp.py [--entries 1000000]

Each figure is the median over names that differ, one run a packet, so that buckets come from memory and not from the nearest cache; the cost of the
clock is in each, the empty programs' too. It is the program's cost alone: what a driver and the stack behind it add is not in it.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import sys
import tempfile
from array import array
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from blockd.counts import layout
from blockd.kernel.driver import Program
from blockd.kernel.forms import Settings
from blockd.kernel.plan import Interface, Place, plan
from blockd.kernel.store import Loaded, Policy
from blockd.native._table import CompiledList, ListBuilder, Table, build_table
from blockd.terms import Kind
from tests.kernel.frames import MAC, SERVER4, query4
from tests.native.dns_tools import raw_query

KEY = bytes(range(16))
NAMES = 4000


def table(folder: Path, entries: int) -> Table:
    builder = ListBuilder(KEY, b"")
    builder.add_text(b"".join(b"name%d.example\n" % number for number in range(entries)), "domains", 1, 0)
    builder.write(folder / "list", b"[0]")
    build_table(folder / "table", KEY, [(CompiledList(folder / "list", KEY), [0])], b"", [Kind.SUBTREE])
    return Table(folder / "table", KEY)


def median_ns(program: Program, frames: list[bytes]) -> float:
    for frame in frames[:200]:
        program.run(frame)
    return statistics.median(program.run(frame).duration_ns for frame in frames)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--entries", type=int, default=1_000_000)
    entries = parser.parse_args().entries
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, made = ROOT / "bench" / "xdp_empty.bpf.c", folder / "empty.o"
        machine = platform.machine()
        flags = [
            "-O2",
            "-g",
            "-target",
            "bpf",
            "-mcpu=v3",
            f"-D__{machine}__",
            f"-I/usr/include/{machine}-linux-gnu",
            f"-I{ROOT / 'blockd' / 'native'}",
        ]
        subprocess.run(["clang", *flags, "-c", str(source), "-o", str(made)], check=True)
        made_table = table(folder, entries)
        loaded = Loaded(
            Settings(layout.REQUESTS, layout.RESPONSES, layout.DURATIONS, -1, layout.CELLS, 0, (53,), MAC),
            plan([("0.0.0.0", 53)], [], ["0.0.0.0/0"], Interface("eth0", 1, MAC, (Place((0, 0), frozenset({SERVER4})),))),
        )
        verdicts, index = [(2, 16, layout.POLICY, ())], array("I", [0, 0] * made_table.sets).tobytes()
        policy = Policy(memoryview(made_table), KEY, (verdicts, index), 1, ttl_s=30, udp_max=1232, addresses=([], []))
        loaded.use(policy)
        blocked = [query4(raw_query(f"www.name{number * (entries // NAMES)}.example")) for number in range(NAMES)]
        passing = [query4(raw_query(f"www.other{number}.example")) for number in range(NAMES)]
        rows = [
            ("empty XDP_TX", median_ns(Program(made, "empty_tx", settings={}, sizes={}), blocked)),
            ("blocked", median_ns(loaded.program, blocked)),
            ("empty XDP_PASS", median_ns(Program(made, "empty_pass", settings={}, sizes={}), passing)),
            ("passing, three labels", median_ns(loaded.program, passing)),
            ("passing, not DNS", median_ns(loaded.program, [query4(raw_query("a.example"), to=99)] * NAMES)),
        ]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT, check=False).stdout.strip()
    print(f"{platform.machine()}, Linux {platform.release()}, commit {commit}, {entries:,} entries; ns a packet, the clock in each")
    for what, ns in rows:
        print(f"{what:<24}{ns:8.0f}")


if __name__ == "__main__":
    main()
