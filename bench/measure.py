"""One row of a table: a server at one size of the list, started, warmed, asked in turns with the others, and judged.

Two rates: answers a second, and answers for each second of processor time that the server used. They are the same on a quiet machine, where the
server is what the generator waits for; on a shared one the second is the one to compare. `busy` is the share of the window in which the server ran:
near 1, the generator was not the limit.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from bench import load_udp
from bench.peer.base import Peer, cpu_seconds, memory_bytes, thread_seconds
from bench.programs import Load, Responder, load
from bench.queries import CACHED_NAMES, blocked_names, name, write_list, write_queries

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

MIXES = {"blocked": (1000, 0, 0), "cached": (0, 1000, 0), "mixed": (10, 900, 90)}
SHORT_WARM_UP_S, WARM_UP_QUERIES = 10, 100_000
RIGHT_SHARE, UPSTREAM_SHARE_MAX = 0.9999, 0.005
SOCKETS, WINDOW = 16, 8  # 128 in flight: a server's batches stay full, and the kernel spreads 16 source ports over two workers
READY_S = 300.0


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
        rates = [run["per_cpu"] for run in self.runs.get(mix, ())]
        return statistics.median_low(rates) if rates else None


@dataclass
class Bench:
    """The folder, the programs and the upstream of one run."""

    home: Path
    load: Path
    upstream: Responder
    seconds: float
    rounds: int
    say: Callable[[str], None] = print

    def measure(self, peer: Peer, queries: Path, mix: str, **options: object) -> tuple[Load, dict[str, Any], str]:
        """One window: what the generator saw; the server's processor time made of it; what is wrong with it."""
        pids = peer.serving()
        threads, asked_before = thread_seconds(pids), self.upstream_cpu()
        seen = load(
            self.load, queries, peer.port, **{"seconds": self.seconds, "mix": MIXES[mix], "sockets": SOCKETS, "window": WINDOW, **options}
        )
        after = thread_seconds(pids)
        each = sorted((s - threads.get(thread, 0.0) for thread, s in after.items()), reverse=True)
        used, asked = sum(each), self.upstream_cpu() - asked_before
        fault = ""
        if not seen.answered:
            fault = f"{mix}: no answers"
        elif peer.judged and seen.right() < RIGHT_SHARE:
            fault = f"{mix}: {1 - seen.right():.2%} of its answers are wrong"
        elif mix != "mixed" and asked > UPSTREAM_SHARE_MAX * seen.seconds:
            fault = f"{mix}: it asks the upstream, so that this figure is not one"
        own = {
            "per_cpu": seen.answered / used if used > 0 else 0.0,
            "busy": used / seen.seconds,
            "generator_busy": seen.cpu_seconds / seen.seconds,
            "threads_s": [round(s, 3) for s in each if s > used / 50],
            "right": seen.right(),
        }
        return seen, own, fault

    def cross_check(self, peer: Peer, row: Row, queries: Path) -> None:
        """The same listed names through dnsperf."""
        text = self.home / f"dnsperf-{row.entries}"
        text.write_text("".join(f"{asked} A\n" for asked in blocked_names(row.entries)), encoding="ascii")
        rate, _ = load_udp.load(peer.port, text, round(max(1, self.seconds)))
        row.dnsperf = (rate, self.measure(peer, queries, "blocked")[0].rate)

    def upstream_cpu(self) -> float:
        """Seconds that the upstream has used."""
        return cpu_seconds([self.upstream.process.pid]) if self.upstream.process else 0.0

    def warm(self, peer: Peer, queries: Path) -> None:
        """Many listed names (a list that is mapped from a file is in memory then), every cached name three times (one may get lost)."""
        load(self.load, queries, peer.port, seconds=SHORT_WARM_UP_S, mix=MIXES["blocked"], count=WARM_UP_QUERIES)
        load(self.load, queries, peer.port, seconds=SHORT_WARM_UP_S, mix=MIXES["cached"], count=3 * CACHED_NAMES)

    def queries(self, entries: int) -> Path:
        """The file of queries for a list of this size."""
        path = self.home / f"queries-{entries}"
        return path if path.exists() else write_queries(path, entries)

    def begin(self, kind: type[Peer], entries: int, ready_s: float = READY_S) -> tuple[Peer | None, Row]:
        """Start one peer with a list of this size and warm it. No peer: the row says why."""
        row = Row(kind.name, "", entries, problem=kind.missing())
        if row.problem:
            self.say(f"{kind.name}: {row.problem}")
            return None, row
        row.version = kind.version()
        folder = self.home / str(entries) / kind.name.replace(" ", "-")
        peer = kind(folder, write_list(self.home / f"list-{entries}", entries), self.upstream.port, name(entries - 1))
        peer.ready_s = ready_s
        try:
            peer.start()
            row.convert_s, row.load_s = peer.convert_s, peer.load_s
            self.warm(peer, self.queries(entries))
            row.memory_bytes = memory_bytes(peer.pids())
        except (RuntimeError, OSError, AssertionError) as error:
            row.problem = f"does not start: {error}"
            self.say(f"{entries:,} {kind.name}: {row.problem}")
            peer.stop()
            return None, row
        self.say(
            f"{entries:,} {kind.name}: converted in {row.convert_s:.2f} s, ready in {row.load_s:.2f} s, {row.memory_bytes / 2**20:,.0f} MiB"
        )
        return peer, row

    def size(self, entries: int, kinds: Sequence[type[Peer]]) -> tuple[list[Row], list[tuple[Peer, Row]]]:
        """Start all peers with a list of this size. Rows of all, and those that run."""
        rows, running = [], []
        for kind in kinds:
            peer, row = self.begin(kind, entries)
            rows.append(row)
            if peer is not None:
                running.append((peer, row))
        return rows, running

    def turns(self, running: Sequence[tuple[Peer, Row]], mixes: Sequence[str] = tuple(MIXES), **options: object) -> None:
        """All rounds over all peers that run. Each round begins with another peer, so that none always follows the same one."""
        for number in range(self.rounds):
            for mix in mixes:
                for at in range(len(running)):
                    peer, row = running[(at + number) % len(running)]
                    seen, own, fault = self.measure(peer, self.queries(row.entries), mix, **options)
                    row.problem = row.problem or fault
                    row.runs.setdefault(mix, []).append({**asdict(seen), **own, "round": number, "at": time.time()})
                    self.say(
                        f"{row.entries:>10,} {number + 1}/{self.rounds} {mix:<8}{peer.name:<24}{seen.rate:>9,.0f}/s {own['per_cpu']:>9,.0f}/CPU s"
                        f"  busy {own['busy']:.2f}  lost {seen.lost}{'  ' if fault else ''}{fault}"
                    )


def octets_an_entry(rows: Sequence[Row]) -> None:
    """Memory beyond that of the same peer with its smallest list, for each entry that is more."""
    for row in rows:
        least = min((r for r in rows if r.peer == row.peer and r.memory_bytes), key=lambda r: r.entries, default=None)
        if least is not None and row.memory_bytes and row.entries > least.entries:
            row.octets_an_entry = (row.memory_bytes - least.memory_bytes) / (row.entries - least.entries)
