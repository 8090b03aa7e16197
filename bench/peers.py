"""blockd and its peers side by side: the same list, one core each, the same queries, rounds in turn.

    python bench/peers.py [--entries 1,100000,1000000] [--large] [--only blockd,unbound] [--seconds 2] [--rounds 3] [--output DIR] [--json FILE]

For each size of the list all peers start (one after the other, so that load times are their own), then take turns: every round asks each of them
for listed names, for cached names and for the mix (1 % listed, 90 % cached, 9 % never asked before, which go to the upstream). The raw UDP
ceiling is measured in the same turns. Of each peer and mix the round with the middle rate counts. A peer that is not installed, does not start or
answers wrongly is in the table with the reason. Servers have core 0; the generator (bench/load.c) and the upstream (bench/upstream.c) core 1.

Two rates: answers a second, and answers for each second of processor time that the server used. They are the same on a quiet machine, where the
server is what the generator waits for; on a shared one the second is the one to compare.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import load_udp, report, under_load
from bench.machine import header
from bench.peer import bind, ceiling, dnsdist, dnsmasq, gateway, knot_resolver, pdns_recursor, unbound
from bench.peer.base import Peer, cpu_seconds, memory_bytes
from bench.programs import CLIENT_CORE, Load, Responder, build, load
from bench.queries import CACHED_NAMES, blocked_names, name, write_list, write_queries

PEERS: tuple[type[Peer], ...] = (
    gateway.Blockd,
    ceiling.Ceiling,
    dnsdist.Cdb,
    dnsdist.SuffixMatchNode,
    unbound.LocalZone,
    unbound.Rpz,
    knot_resolver.Rpz,
    pdns_recursor.Rpz,
    bind.Rpz,
    dnsmasq.Dnsmasq,
)
MIXES = {"blocked": (1000, 0, 0), "cached": (0, 1000, 0), "mixed": (10, 900, 90)}
SIZES, LARGE = (1, 100_000, 1_000_000), 10_000_000
AT_LARGE = (gateway.Blockd, ceiling.Ceiling, dnsdist.Cdb)  # the others take minutes and gigabytes, or do not come up
SHORT_WARM_UP_S, WARM_UP_QUERIES = 10, 100_000
RIGHT_SHARE, UPSTREAM_SHARE_MAX = 0.9999, 0.005


@dataclass
class Row:
    """One peer at one size."""

    peer: str
    version: str
    entries: int
    problem: str = ""
    convert_s: float = 0.0
    load_s: float = 0.0
    memory_bytes: int = 0
    octets_an_entry: float | None = None
    runs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    dnsperf: tuple[float, float] | None = None  # blocked answers a second as dnsperf counts them, and as bench/load.c does right after

    def middle(self, mix: str) -> dict[str, Any] | None:
        """The run with the middle rate."""
        runs = sorted(self.runs.get(mix, ()), key=lambda run: run["rate"])
        return runs[len(runs) // 2] if runs else None

    def per_cpu(self, mix: str) -> float | None:
        """The middle of answers a second of processor time."""
        rates = sorted(run["per_cpu"] for run in self.runs.get(mix, ()))
        return rates[len(rates) // 2] if rates else None


@dataclass
class Bench:
    """The folder, the programs and the upstream of one run."""

    home: Path
    load: Path
    upstream: Responder
    seconds: float
    rounds: int

    def measure(self, peer: Peer, queries: Path, mix: str) -> tuple[Load, float, str]:
        """One window: what the generator saw, answers for a second of the server's processor time, and what is wrong with it."""
        pids = peer.serving()
        before, asked_before = cpu_seconds(pids), self.upstream_cpu()
        seen = load(self.load, queries, peer.port, seconds=self.seconds, mix=MIXES[mix])
        used, asked = cpu_seconds(pids) - before, self.upstream_cpu() - asked_before
        fault = ""
        if peer.judged and seen.right() < RIGHT_SHARE:
            fault = f"{mix}: {1 - seen.right():.2%} of its answers are wrong"
        elif mix != "mixed" and asked > UPSTREAM_SHARE_MAX * self.seconds:
            fault = f"{mix}: it asks the upstream, so that this figure is not one"
        return seen, seen.answered / used if used > 0 else 0.0, fault

    def cross_check(self, peer: Peer, row: Row, queries: Path, entries: int) -> None:
        """The same listed names through dnsperf."""
        text = self.home / f"dnsperf-{entries}"
        text.write_text("".join(f"{asked} A\n" for asked in blocked_names(entries)), encoding="ascii")
        rate, _ = load_udp.load(peer.port, text, round(max(1, self.seconds)))
        row.dnsperf = (rate, self.measure(peer, queries, "blocked")[0].rate)

    def upstream_cpu(self) -> float:
        """Seconds that the upstream has used."""
        return cpu_seconds([self.upstream.process.pid]) if self.upstream.process else 0.0

    def warm(self, peer: Peer, queries: Path) -> None:
        """Many listed names (a list that is mapped from a file is in memory then), every cached name three times (one may get lost)."""
        load(self.load, queries, peer.port, seconds=SHORT_WARM_UP_S, mix=MIXES["blocked"], count=WARM_UP_QUERIES)
        load(self.load, queries, peer.port, seconds=SHORT_WARM_UP_S, mix=MIXES["cached"], count=3 * CACHED_NAMES)

    def size(self, entries: int, kinds: tuple[type[Peer], ...]) -> tuple[list[Row], list[tuple[Peer, Row]]]:
        """Start all peers with a list of this size. Rows of all, and those that run."""
        listed = write_list(self.home / f"list-{entries}", entries)
        rows, running = [], []
        for kind in kinds:
            row = Row(kind.name, "", entries, problem=kind.missing())
            rows.append(row)
            if row.problem:
                print(f"  {kind.name}: {row.problem}", flush=True)
                continue
            row.version = kind.version()
            folder = self.home / str(entries) / kind.name.replace(" ", "-")
            peer = kind(folder, listed, self.upstream.port, name(entries - 1))
            try:
                peer.start()
            except (RuntimeError, OSError, AssertionError) as error:
                row.problem = f"does not start: {error}"
                print(f"  {kind.name}: {row.problem}", flush=True)
                peer.stop()
                continue
            row.convert_s, row.load_s = peer.convert_s, peer.load_s
            print(f"  {kind.name}: converted in {row.convert_s:.2f} s, ready in {row.load_s:.2f} s", flush=True)
            running.append((peer, row))
        return rows, running

    def turns(self, entries: int, running: list[tuple[Peer, Row]]) -> None:
        """All rounds over all peers that run."""
        queries = write_queries(self.home / f"queries-{entries}", entries)
        for peer, row in running:
            self.warm(peer, queries)
            row.memory_bytes = memory_bytes(peer.pids())
        for number in range(1, self.rounds + 1):
            for mix in MIXES:
                for peer, row in running:
                    seen, per_cpu, fault = self.measure(peer, queries, mix)
                    row.problem = fault or row.problem
                    row.runs.setdefault(mix, []).append({**asdict(seen), "per_cpu": per_cpu, "right": seen.right()})
                    print(
                        f"  {entries:>10,} round {number} {mix:<8}{peer.name:<24}{seen.rate:>9,.0f}/s {per_cpu:>9,.0f}/CPU s"
                        f"  lost {seen.lost}{'  ' if fault else ''}{fault}",
                        flush=True,
                    )


def octets_an_entry(rows: list[Row]) -> None:
    """Memory beyond that of the same peer with its smallest list, for each entry that is more."""
    for row in rows:
        least = min((r for r in rows if r.peer == row.peer and r.memory_bytes), key=lambda r: r.entries, default=None)
        if least is not None and row.memory_bytes and row.entries > least.entries:
            row.octets_an_entry = (row.memory_bytes - least.memory_bytes) / (row.entries - least.entries)


def chosen(text: str) -> tuple[type[Peer], ...]:
    """The peers whose name begins with one of the words."""
    words = tuple(word.strip().lower() for word in text.split(","))
    return tuple(kind for kind in PEERS if kind.name.lower().startswith(words))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--entries", default=",".join(map(str, SIZES)), metavar="N,N", help="sizes of the list (default: %(default)s)")
    parser.add_argument("--large", action="store_true", help=f"{LARGE:,} entries too, for blockd, dnsdist CDB and the ceiling")
    parser.add_argument("--only", default="", metavar="NAME,NAME", help="peers whose name begins so")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one window (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-update", action="store_true", help="leave out the update under load")
    parser.add_argument("--output", type=Path, metavar="DIR", help="write peers.md, peers.csv and peers.svg there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every single run")
    return parser.parse_args()


def main() -> int:
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no peer is left behind
    kinds = chosen(args.only) if args.only else PEERS
    sizes = [int(word) for word in args.entries.split(",")] + ([LARGE] if args.large else [])
    head = header()
    print(head, flush=True)
    rows: list[Row] = []
    updates: list[under_load.Update] = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        home.chmod(0o755)
        programs = {name: build(home / "bin", name) for name in ("load", "ceiling", "upstream")}
        with Responder(programs["upstream"], CLIENT_CORE) as upstream:
            bench = Bench(home, programs["load"], upstream, args.seconds, args.rounds)
            for entries in sizes:
                print(f"\n{entries:,} entries (load average {os.getloadavg()[0]:.1f})", flush=True)
                some, running = bench.size(entries, tuple(k for k in kinds if entries < LARGE or k in AT_LARGE))
                rows += some
                try:
                    bench.turns(entries, running)
                    for peer, row in running[:1]:
                        if peer.judged and peer.program("dnsperf"):
                            bench.cross_check(peer, row, bench.home / f"queries-{entries}", entries)
                    if not args.no_update and entries >= under_load.ENTRIES_MIN:
                        updates += [under_load.update(bench.load, home, peer, entries) for peer, _ in running if peer.can_replace]
                finally:
                    for peer, _ in running:
                        peer.stop()
    octets_an_entry(rows)
    text = report.markdown(rows, updates)
    print("\n" + text)
    if args.output:
        report.write(args.output, head, rows, updates)
    if args.json:
        args.json.write_text(
            json.dumps({"head": head, "rows": [asdict(r) for r in rows], "updates": [asdict(u) for u in updates]}, indent=1),
            encoding="utf-8",
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
