"""The goals of the data plane, against what a run has measured: `python bench/judge.py DIR`.

Every ratio is that of two servers in one part of one run. It is made of each round by itself, since the two were asked within seconds of each other, and
the middle of the rounds counts. A ratio stands twice: of answers a second, and of answers for each second of the server's processor time. A goal is reached
when both reach it; when only one does, that is what the table says. The best peer is the one with which the ratio is the least; peers whose
answers were wrong, and the raw UDP ceiling, are none.
"""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.measure import Row
    from bench.report import Measured

SMALL, MILLION, LARGE = 100_000, 1_000_000, 10_000_000
OURS, DATABASE, LOCAL_ZONE, TWO_THREADS, CEILING = "blockd", "dnsdist CDB", "unbound local-zone", "blockd, 2 threads", "raw UDP ceiling"
KEYS = ("rate", "per_cpu")
BLOCKED_PEER, CACHED_PEER, MIXED_PEER, OF_CEILING, LIST_COSTS, LARGE_BLOCKED, TWO_OF_ONE = 1.6, 1.5, 1.7, 0.9, 0.97, 0.9, 1.7
OCTETS_AN_ENTRY, READY_SHARE = 24.0, 0.01
UNMEASURED = "not measured"
XDP_WANTED, XDP_NOTE = ">= 0.9x", "bench/xdp.py gives the cost of the program alone, in nanoseconds a packet"


@dataclass(frozen=True, slots=True)
class Goal:
    """One line of the table."""

    what: str
    wanted: str
    figure: str
    reached: str
    note: str = ""


def _paired(ours: Row, theirs: Row, mix: str, key: str) -> float | None:
    """The middle over the rounds of ours : theirs."""
    by_round = {run["round"]: run[key] for run in theirs.runs.get(mix, ()) if run[key]}
    ratios = [run[key] / by_round[run["round"]] for run in ours.runs.get(mix, ()) if run["round"] in by_round]
    return statistics.median(ratios) if ratios else None


def _find(rows: Sequence[Row], peer: str, entries: int) -> Row | None:
    return next((row for row in rows if row.peer == peer and row.entries == entries), None)


def _verdict(values: Sequence[float | None], least: float) -> str:
    rate, cpu = values
    if rate is None or cpu is None:
        return UNMEASURED
    if rate >= least and cpu >= least:
        return "yes"
    if cpu >= least:
        return "by processor time only"
    return "by rate only" if rate >= least else "no"


def _ratio_text(values: Sequence[float | None]) -> str:
    rate, cpu = values
    return "-" if rate is None or cpu is None else f"{rate:.2f}x ({cpu:.2f}x per CPU s)"


def _against(what: str, rows: Sequence[Row], peers: Sequence[str], entries: int, mix: str, least: float, of: str) -> Goal:
    """Ours against whoever of the peers is the best, by each key."""
    ours = _find(rows, OURS, entries)
    least_of: list[tuple[float, str] | None] = []
    for key in KEYS:
        found = []
        for row in rows:
            if ours is None or row.entries != entries or row.peer not in peers or row.problem:
                continue
            ratio = _paired(ours, row, mix, key)
            if ratio is not None:
                found.append((ratio, row.peer))
        least_of.append(min(found, default=None))
    values = [found and found[0] for found in least_of]
    names = list(dict.fromkeys(found[1] for found in least_of if found))
    note = f"{of}: {' by rate, '.join(names)}{' by processor time' if len(names) > 1 else ''}" if names else ""
    if ours is not None and ours.problem:
        return Goal(what, f">= {least}x", "-", "no", ours.problem)
    return Goal(what, f">= {least}x", _ratio_text(values), _verdict(values, least), note)


def _sizes(what: str, rows: Sequence[Row], mix: str, one: int, other: int, least: float) -> Goal:
    """Ours at one size of the list against ours at another."""
    ours, less = _find(rows, OURS, one), _find(rows, OURS, other)
    values = [None, None] if ours is None or less is None else [_paired(ours, less, mix, key) for key in KEYS]
    theirs, without = _find(rows, DATABASE, LARGE), _find(rows, DATABASE, 1)
    note = ""
    if mix == "cached" and theirs is not None and without is not None:
        note = f"{DATABASE}: {_ratio_text([_paired(theirs, without, mix, key) for key in KEYS])}"
    return Goal(what, f">= {least}x", _ratio_text(values), _verdict(values, least), note)


def _memory(rows: Sequence[Row]) -> Goal:
    ours = _find(rows, OURS, LARGE)
    what, wanted = f"{LARGE:,} entries: resident octets an entry", f"<= {OCTETS_AN_ENTRY:.0f}"
    if ours is None or ours.octets_an_entry is None:
        return Goal(what, wanted, "-", UNMEASURED)
    return Goal(what, wanted, f"{ours.octets_an_entry:.1f}", "yes" if ours.octets_an_entry <= OCTETS_AN_ENTRY else "no")


def _ready(measured: Measured) -> Goal:
    what, wanted = f"{LARGE:,} entries: ready from the compiled file", f"< 1/{1 / READY_SHARE:.0f} of unbound's load of {MILLION:,}"
    ours = next((row for row in measured.ready if row["peer"] == OURS and row["entries"] == LARGE), None)
    unbound = next((row for row in measured.ready if row["peer"] == LOCAL_ZONE and row["entries"] == MILLION), None)
    if ours is None or unbound is None:
        return Goal(what, wanted, "-", UNMEASURED)
    share, whole = ours["in_force_s"] / unbound["daemon_s"], ours["process_s"] / unbound["daemon_s"]
    return Goal(
        what,
        wanted,
        f"{ours['in_force_s'] * 1000:.1f} ms : {unbound['daemon_s']:.2f} s = 1/{1 / share:,.0f}",
        "yes" if share < READY_SHARE else "no",
        f"with the start of the process {ours['process_s']:.2f} s, 1/{1 / whole:.1f}; the whole daemon {ours['daemon_s']:.2f} s",
    )


def _update(measured: Measured, entries: int) -> list[Goal]:
    ours = [u for u in measured.updates if u["peer"] == OURS and u["entries"] == entries]
    theirs = [u for u in measured.updates if u["peer"] == DATABASE and u["entries"] == entries]
    what = f"update of 1,000 on {entries:,} under load"
    if not ours or not theirs:
        return [Goal(what, "as the issue says", "-", UNMEASURED)]

    def middle(updates: Sequence[dict[str, float]], key: str) -> float:
        return statistics.median(update[key] or float("inf") if key == "live_s" else update[key] for update in updates)

    lost, wrong, sent = (sum(update[key] for update in ours) for key in ("lost", "wrong", "sent"))
    gap, gap_theirs = middle(ours, "gap_max_ms"), middle(theirs, "gap_max_ms")
    quiet, quiet_theirs = middle(ours, "quiet_gap_max_ms"), middle(theirs, "quiet_gap_max_ms")
    live, live_theirs = middle(ours, "live_s"), middle(theirs, "live_s")
    turns = f"middle of {len(ours)} and {len(theirs)}"
    return [
        Goal(f"{what}: queries lost", "0", f"{lost:,} of {sent:,}", "yes" if not lost else "no", f"{wrong:,} wrong answers"),
        Goal(
            f"{what}: longest stall",
            f"<= {DATABASE}'s",
            f"{gap:.1f} ms : {gap_theirs:.1f} ms",
            "yes" if gap <= gap_theirs else "no",
            f"{turns}; without an update {quiet:.1f} : {quiet_theirs:.1f} ms",
        ),
        Goal(
            f"{what}: enforced after",
            f"sooner than {DATABASE}",
            f"{live:.2f} s : {live_theirs:.2f} s",
            "yes" if live < live_theirs else "no",
            turns,
        ),
    ]


def _threads(rows: Sequence[Row]) -> Goal:
    """Two workers against one, in bursts during which nothing else needs a core."""
    what, wanted = "two workers on two cores : one", f">= {TWO_OF_ONE}x"
    one, two = _find(rows, OURS, MILLION), _find(rows, TWO_THREADS, MILLION)
    rate, cpu = (None, None) if one is None or two is None else (_paired(two, one, "blocked", key) for key in KEYS)
    if rate is None or cpu is None or two is None:
        return Goal(what, wanted, "-", UNMEASURED)
    shares = [min(run["threads_s"]) / max(run["threads_s"]) for run in two.runs["blocked"] if len(run["threads_s"]) == 2]
    if not shares:
        return Goal(what, wanted, f"{rate:.2f}x", "no", "one of the two threads had nothing to do")
    note = (
        f"bursts of blocked answers, the generator asleep; an answer costs two workers {1 / cpu:.2f} times the processor time that it costs one;"
        f" the less busy had {statistics.median(shares):.2f} of the other's"
    )
    return Goal(what, wanted, f"{rate:.2f}x ({2 * cpu:.2f}x by processor time)", _verdict([rate, 2 * cpu], TWO_OF_ONE), note)


def judge(measured: Measured) -> list[Goal]:
    """Issue 3's table, in its order."""
    small, million = measured.rows.get(f"size-{SMALL}", []), measured.rows.get(f"size-{MILLION}", [])
    sizes, threads = measured.rows.get("sizes", []), measured.rows.get("threads", [])
    peers = sorted({row.peer for rows in (small, million) for row in rows if not row.peer.startswith((OURS, CEILING))})
    best, raw = "best peer", "nearer ceiling"
    goals = [
        _against(f"blocked, {SMALL:,} entries : best peer", small, peers, SMALL, "blocked", BLOCKED_PEER, best),
        _against(f"blocked, {MILLION:,} entries : best peer", million, peers, MILLION, "blocked", BLOCKED_PEER, best),
    ]
    for entries, rows in ((SMALL, small), (MILLION, million)):
        for name in (CEILING, f"{CEILING}, long"):
            what = f"blocked, {entries:,} entries : {name}"
            goals.append(_against(what, rows, [name], entries, "blocked", OF_CEILING, raw))
    goals += [
        _against(f"cached, {MILLION:,} entries : best peer", million, peers, MILLION, "cached", CACHED_PEER, best),
        _against(f"mixed, {MILLION:,} entries : best peer", million, peers, MILLION, "mixed", MIXED_PEER, best),
        _sizes(f"cached, {LARGE:,} entries : one entry", sizes, "cached", LARGE, 1, LIST_COSTS),
        _memory(sizes),
        _ready(measured),
        _sizes(f"blocked, {LARGE:,} : {SMALL:,} entries", sizes, "blocked", LARGE, SMALL, LARGE_BLOCKED),
        *_update(measured, MILLION),
        *_update(measured, LARGE),
        *(
            [Goal(**goal) for goal in measured.goals]
            or [Goal("XDP : an empty program, blocked and passing", XDP_WANTED, "-", UNMEASURED, XDP_NOTE)]
        ),
        _threads(threads),
    ]
    return goals


def markdown(goals: Sequence[Goal]) -> str:
    """The table."""
    head = "| goal | wanted | measured | reached | |\n| --- | --- | --- | --- | --- |\n"
    return head + "".join(f"| {goal.what} | {goal.wanted} | {goal.figure} | {goal.reached} | {goal.note} |\n" for goal in goals)


def main() -> int:
    from bench import report

    if len(sys.argv) != 2:
        print("usage: python bench/judge.py DIR", file=sys.stderr)
        return 2
    measured = report.read(Path(sys.argv[1]))
    print(measured.head)
    print(markdown(judge(measured)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
