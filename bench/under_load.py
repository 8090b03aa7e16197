"""An update while queries keep coming.

Measured: from when a new list can be had to when its last new name is blocked, the longest gap between two answers on the way, and the queries
that were lost. A window of the same length without an update comes first: its gap is the machine's own.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.programs import Load, command, result
from bench.queries import name, names

if TYPE_CHECKING:
    from pathlib import Path

    from bench.measure import Bench
    from bench.peer.base import Peer

ENTRIES_MIN, ADDED = 100_000, 1_000
RATE, TIMEOUT_MS, MIX = 10_000, 1000, (100, 900, 0)
SOCKETS, WINDOW = (
    16,
    1024,
)  # room for all that a second brings: a server that stands still loses what was asked meanwhile, as with real clients
QUIET_S, WINDOW_S, PROBE_PAUSE_S, SETTLE_S = 2.0, 60.0, 0.01, 1.0


@dataclass(frozen=True, slots=True)
class Update:
    """What one update under load showed."""

    peer: str
    entries: int
    live_s: float  # until the last new name was blocked; 0 when it never was within the window
    gap_max_ms: float
    quiet_gap_max_ms: float
    lost: int
    sent: int
    wrong: int  # answers that are neither the old list's nor the new one's
    publish_s: float = 0.0  # what somebody else did before: not part of live_s


def _lived(peer: Peer, listed: str, begin: float, until: float) -> float:
    """Seconds from `begin` until the name is blocked; 0 when it is not in time. Each probe asks a new name below it: one asked before may be cached."""
    number = 0
    while time.perf_counter() - begin < until:
        number += 1
        if peer.blocks(f"p{number}.{listed}"):
            return time.perf_counter() - begin
        time.sleep(PROBE_PAUSE_S)
    return 0.0


def _longer(home: Path, peer: Peer, entries: int, turn: int) -> Path:
    """The list with a thousand names more than in the turn before."""
    path = home / f"list-{entries}-and-{(turn + 1) * ADDED}"
    if not path.exists():
        with peer.listed.open("rb") as old, path.open("wb") as new:
            shutil.copyfileobj(old, new, 1 << 20)
            new.writelines(f"{row}\n".encode() for row in names((turn + 1) * ADDED, start=entries))
    return path


def update(bench: Bench, peer: Peer, entries: int, turn: int = 0) -> Update:
    """Add a thousand names to the running peer's list under a steady load. Turns count from 0, each adds to the one before."""
    queries = bench.queries(entries)
    longer = _longer(bench.home, peer, entries, turn)
    peer.publish(longer)

    def started(seconds: float) -> subprocess.Popen[str]:
        words = command(
            bench.load, queries, peer.port, seconds=seconds, mix=MIX, rate=RATE, timeout_ms=TIMEOUT_MS, sockets=SOCKETS, window=WINDOW
        )
        return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)

    def ended(process: subprocess.Popen[str]) -> Load:
        return result(process.communicate()[0])

    quiet = ended(started(QUIET_S))
    asked = name(entries + (turn + 1) * ADDED - 1)
    busy = started(WINDOW_S)
    time.sleep(SETTLE_S)
    begin = time.perf_counter()
    peer.replace(longer)
    live = _lived(peer, asked, begin, WINDOW_S - SETTLE_S)
    time.sleep(SETTLE_S)
    busy.terminate()
    seen = ended(busy)
    wrong = seen.answered - round(seen.right() * seen.answered)
    done = Update(peer.name, entries, live, seen.gap_max_ms, quiet.gap_max_ms, seen.lost, seen.sent, wrong, getattr(peer, "publish_s", 0.0))
    bench.say(
        f"{entries:,} update under load: {peer.name}: live after {done.live_s:.2f} s, longest gap {done.gap_max_ms:.1f} ms"
        f" (quiet: {done.quiet_gap_max_ms:.1f} ms), lost {done.lost} of {done.sent}, wrong {done.wrong}"
    )
    return done
