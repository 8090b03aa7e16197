"""The parts of a run of bench/peers.py: each is measured by itself, kept in a file of its own, and can be had again without the others.

A part returns plain data: `rows`, `updates`, `ready`. What is compared must have been measured in one part, in turns: blockd and its peers at one
size in `size-N`; sizes of the list with each other in `sizes`; threads in `threads`.
"""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import under_load
from bench.peer import bind, ceiling, dnsdist, dnsmasq, gateway, knot_resolver, pdns_recursor, unbound
from bench.peer.base import Peer, thread_seconds
from bench.programs import CLIENT_CORE, on_core
from bench.queries import message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bench.measure import Bench, Row

PEERS: tuple[type[Peer], ...] = (
    gateway.Blockd,
    ceiling.Ceiling,
    ceiling.CeilingOfLongAnswers,
    dnsdist.Cdb,
    dnsdist.SuffixMatchNode,
    unbound.LocalZone,
    unbound.Rpz,
    knot_resolver.Rpz,
    pdns_recursor.Rpz,
    bind.Rpz,
    dnsmasq.Dnsmasq,
)
SIZES, LARGE = (1, 100_000, 1_000_000), 10_000_000
UPDATE_TURNS, READY_TURNS = 3, 5
TWICE = (gateway.Blockd, dnsdist.Cdb)  # what the goals compare is updated several times; the others once
BURSTS = 20


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says about all parts."""

    kinds: tuple[type[Peer], ...] = PEERS
    large: int = LARGE
    large_wait_s: float = 30.0
    updates: bool = True

    def chosen(self, *kinds: type[Peer]) -> list[type[Peer]]:
        """Those of them that are to be measured."""
        return [kind for kind in kinds if kind in self.kinds]


Part = dict[str, Any]


@contextmanager
def stopping(running: Sequence[tuple[Peer, Row]]) -> Iterator[None]:
    """No peer is left behind."""
    try:
        yield
    finally:
        for peer, _ in running:
            peer.stop()


def grown_octets(peer: Peer) -> int:
    """How much longer blockd's answer to a listed name is than the query."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.connect(("127.0.0.1", peer.port))
        query = message(peer.probe)
        s.send(query)
        return len(s.recv(4096)) - len(query)


def _same_length(bench: Bench, running: Sequence[tuple[Peer, Row]]) -> None:
    """Start the second ceiling again with the length of blockd's answers in this run."""
    measured = next((grown_octets(peer) for peer, _ in running if isinstance(peer, gateway.Blockd)), None)
    for peer, _ in running:
        if measured is not None and isinstance(peer, ceiling.CeilingOfLongAnswers) and peer.extra_octets != measured:
            bench.say(f"blockd's answer to a listed name is {measured} octets longer than the query: so is the second ceiling's")
            type(peer).extra_octets = measured
            peer.stop()
            peer.start()


def _update(bench: Bench, peer: Peer, entries: int, turns: int) -> list[dict[str, Any]]:
    done = []
    for turn in range(turns):
        try:
            done.append(asdict(under_load.update(bench, peer, entries, turn)))
        except (RuntimeError, OSError, AssertionError, subprocess.SubprocessError) as error:
            bench.say(f"{peer.name}: the update failed: {error}")
            break
    return done


def _updates(bench: Bench, options: Options, running: Sequence[tuple[Peer, Row]]) -> list[dict[str, Any]]:
    """Blockd and the database several times in turn, the others once."""
    if not options.updates:
        return []
    done: list[dict[str, Any]] = []
    for peer, row in running:
        if peer.can_replace and row.entries >= under_load.ENTRIES_MIN:
            done += _update(bench, peer, row.entries, UPDATE_TURNS if isinstance(peer, TWICE) else 1)
    return done


def size(bench: Bench, options: Options, entries: int) -> Part:
    """All peers with one list; at the last size dnsperf checks a row, and the list is updated under load."""
    rows, running = bench.size(entries, options.kinds)
    with stopping(running):
        _same_length(bench, running)
        bench.turns(running)
        for peer, row in running[:1]:
            if peer.judged and peer.program("dnsperf"):
                bench.cross_check(peer, row, bench.queries(entries))
        updates = _updates(bench, options, running) if entries >= SIZES[-1] else []
        return {"rows": [asdict(row) for row in rows], "updates": updates}


def sizes(bench: Bench, options: Options) -> Part:
    """Blockd with one entry, 100,000, a million and ten million side by side, dnsdist CDB with the first and the last; updates of the largest."""
    wanted = [(kind, n) for kind in options.chosen(gateway.Blockd) for n in (*SIZES, options.large)]
    wanted += [(kind, n) for kind in options.chosen(dnsdist.Cdb) for n in (SIZES[0], options.large)]
    wanted += [(kind, options.large) for kind in options.chosen(ceiling.Ceiling)]
    started = [bench.begin(kind, n) for kind, n in wanted]
    running = [(peer, row) for peer, row in started if peer is not None]
    with stopping(running):
        bench.turns(running)
        largest = [(peer, row) for peer, row in running if row.entries == options.large]
        return {"rows": [asdict(row) for _, row in started], "updates": _updates(bench, options, largest)}


def large(bench: Bench, options: Options) -> Part:
    """Every other peer with ten million entries, alone, if it is up in the time that is given."""
    rows = []
    for kind in options.kinds:
        if issubclass(kind, (gateway.Blockd, ceiling.Ceiling, dnsdist.Cdb)):
            continue
        peer, row = bench.begin(kind, options.large, options.large_wait_s)
        rows.append(row)
        if peer is not None:
            with stopping([(peer, row)]):
                bench.turns([(peer, row)])
    return {"rows": [asdict(row) for row in rows]}


def _into_force(peer: gateway.Blockd, *words: str) -> dict[str, float]:
    done = subprocess.run(
        on_core(CLIENT_CORE, sys.executable, Path(__file__).with_name("into_force.py"), peer.gateway.config, peer.probe, *words),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"into_force: {done.stderr.strip()[-300:]}")
    seen: dict[str, float] = json.loads(done.stdout)
    return seen


def ready(bench: Bench, options: Options) -> Part:
    """How long a list takes into force from what is on the disk: blockd at a million and at ten, unbound at a million, in turns."""
    entries = SIZES[-1]
    wanted = [(kind, n) for kind in options.chosen(gateway.Blockd) for n in (entries, options.large)]
    wanted += [(kind, entries) for kind in options.chosen(unbound.LocalZone)]
    seen: dict[tuple[str, int], dict[str, list[float]]] = {}
    started = [bench.begin(kind, n) for kind, n in wanted]
    running = [(peer, row) for peer, row in started if peer is not None]
    with stopping(running):
        for turn in range(READY_TURNS):
            for peer, row in running:
                mine = seen.setdefault((row.peer, row.entries), {"in_force_s": [], "verified_s": [], "process_s": [], "daemon_s": []})
                if isinstance(peer, gateway.Blockd):
                    once = _into_force(peer)
                    mine["in_force_s"].append(once["in_force_s"])
                    mine["process_s"].append(once["process_s"])
                    mine["verified_s"].append(_into_force(peer, "--verify")["in_force_s"])
                    peer.restart()
                elif turn:
                    peer.stop()
                    peer.start()
                mine["daemon_s"].append(peer.load_s)
                bench.say(
                    f"{row.entries:>10,} {row.peer}: " + ", ".join(f"{key} {values[-1]:.4f}" for key, values in mine.items() if values)
                )
    middle = {key: {word: statistics.median(some) for word, some in values.items() if some} for key, values in seen.items()}
    return {"ready": [{"peer": peer, "entries": n, **values} for (peer, n), values in middle.items()]}


def _burst(bench: Bench, peer: Peer, entries: int, mix: str) -> dict[str, Any]:
    """Some bursts (bench/burst.c) as one run."""
    pids = peer.serving()
    before = thread_seconds(pids)
    words = ["--queries", bench.queries(entries), "--port", str(peer.port), "--pid", str(pids[0]), "--rounds", str(BURSTS), "--class", mix]
    done = subprocess.run(on_core(CLIENT_CORE, bench.home / "bin" / "burst", *words), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"burst: {done.stderr.strip()}")
    seen, after = json.loads(done.stdout), thread_seconds(pids)
    used = sorted((s - before.get(thread, 0.0) for thread, s in after.items()), reverse=True)
    return {
        "rate": statistics.median(seen["rates"]) if seen["rates"] else 0.0,
        "per_cpu": seen["answered"] / sum(used),
        "threads_s": [round(s, 4) for s in used if s > sum(used) / 10],
        "sent": seen["count"] * BURSTS,
        "lost": seen["count"] * BURSTS - seen["answered"],
    }


def threads(bench: Bench, options: Options) -> Part:
    """One thread of blockd on core 0, then two on both, while the generator sleeps: bursts that wait in the sockets of a stopped server."""
    entries = SIZES[-1]
    rows, running = bench.size(entries, [*options.chosen(gateway.Blockd), gateway.BlockdTwoThreads])
    with stopping(running):
        for number in range(bench.rounds):
            for mix in ("blocked", "cached"):
                for peer, row in running:
                    seen = _burst(bench, peer, entries, mix)
                    row.runs.setdefault(mix, []).append({**seen, "round": number})
                    bench.say(
                        f"{entries:>10,} {number + 1}/{bench.rounds} {mix:<8}{row.peer:<24}{seen['rate']:>9,.0f}/s {seen['per_cpu']:>9,.0f}/CPU s"
                        f"  threads {seen['threads_s']}  lost {seen['lost']}"
                    )
        return {"rows": [asdict(row) for row in rows]}


def plan(sizes_wanted: Sequence[int]) -> Mapping[str, tuple[float, Callable[[Bench, Options], Part]]]:
    """Every part: its name, its seconds with the usual options, and what runs it."""
    parts: dict[str, tuple[float, Callable[[Bench, Options], Part]]] = {}
    for n in sizes_wanted:
        parts[f"size-{n}"] = (360.0 if n >= SIZES[-1] else 200.0, lambda bench, options, n=n: size(bench, options, n))
    parts["sizes"] = (330.0, sizes)
    parts["ready"] = (90.0, ready)
    parts["threads"] = (50.0, threads)
    parts["large"] = (300.0, large)
    return parts
