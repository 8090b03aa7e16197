"""The figures as tables for people (Markdown), for programs (CSV) and as a picture (SVG), from the parts that a run has kept."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench import judge
from bench.measure import MIXES, Row, octets_an_entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

COLOURS = {"blocked": "#b2182b", "cached": "#2166ac", "mixed": "#878787"}
TITLES = {
    "sizes": "Lists of four sizes side by side, one core each",
    "large": "Ten million entries, the other peers, each alone",
    "threads": "One thread and two",
}
COLUMNS = [
    "part",
    "peer",
    "version",
    "entries",
    "mix",
    "answers_per_s",
    "answers_per_cpu_s",
    "busy",
    "generator_busy",
    "p50_us",
    "p99_us",
    "gap_max_ms",
    "lost",
    "sent",
    "memory_bytes",
    "octets_per_entry",
    "convert_s",
    "load_s",
    "problem",
]


@dataclass
class Measured:
    """All parts of a run."""

    head: str = ""
    rows: dict[str, list[Row]] = field(default_factory=dict)  # by part
    updates: list[dict[str, Any]] = field(default_factory=list)
    ready: list[dict[str, Any]] = field(default_factory=list)
    goals: list[dict[str, str]] = field(default_factory=list)  # of a part that judges itself: {what, wanted, figure, reached, note}

    def commits(self) -> list[str]:
        """The commit of each part's head, once each."""
        return sorted({line.split(None, 1)[1] for line in self.head.splitlines() if line.startswith("commit:")})


def read(folder: Path) -> Measured:
    """The parts in a folder."""
    seen = Measured()
    heads: list[str] = []
    for path in sorted(folder.glob("*.json")):
        part = json.loads(path.read_text(encoding="utf-8"))
        if part.get("head") and part["head"] not in heads:
            heads.append(part["head"])
        if part.get("rows"):
            seen.rows[path.stem] = [Row(**row) for row in part["rows"]]
        seen.updates += part.get("updates", [])
        seen.ready += part.get("ready", [])
        seen.goals += part.get("goals", [])
    seen.head = "\n".join(heads)
    octets_an_entry([row for name, rows in seen.rows.items() if name != "threads" for row in rows])
    return seen


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table: the first column is text, the others figures."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def thousands(value: float | None) -> str:
    """273k."""
    return "-" if value is None else f"{value / 1000:,.0f}k"


def _rate(row: Row, mix: str) -> str:
    run = row.middle(mix)
    return "-" if run is None else f"{thousands(run['rate'])} ({thousands(row.per_cpu(mix))})"


def _latency(row: Row) -> str:
    run = row.middle("mixed")
    return "-" if run is None else f"{run['p50_us']:,.0f} / {run['p99_us']:,.0f}"


def _lost(row: Row) -> str:
    runs = [run for of_mix in row.runs.values() for run in of_mix]
    sent = sum(run["sent"] for run in runs)
    return f"{sum(run['lost'] for run in runs) / sent:.3%}" if sent else "-"


def _cells(row: Row, *, with_entries: bool) -> list[str]:
    memory = f"{row.memory_bytes / 2**20:,.0f}" if row.memory_bytes else "-"
    octets = "-" if row.octets_an_entry is None or not row.memory_bytes else f"{row.octets_an_entry:,.1f}"
    seconds = [f"{row.convert_s:.2f}", f"{row.load_s:.2f}"] if row.memory_bytes else ["-", "-"]
    entries = [f"{row.entries:,}"] if with_entries else []
    rates = [_rate(row, mix) for mix in MIXES]
    return [f"{row.peer} {row.version}".strip(), *entries, *rates, _latency(row), _lost(row), memory, octets, *seconds]


def _part(name: str, rows: Sequence[Row]) -> str:
    with_entries = len({row.entries for row in rows}) > 1
    entries = rows[0].entries
    title = TITLES.get(name, f"{entries:,} {'entries' if entries != 1 else 'entry'}, one core each")
    head = ["", *(["entries"] if with_entries else []), *(f"{mix}/s (per CPU s)" for mix in MIXES)]
    text = f"{title}\n\n" + table(
        [*head, "mixed p50 / p99 us", "lost", "MiB", "octets/entry", "convert s", "ready s"],
        [_cells(row, with_entries=with_entries) for row in rows],
    )
    notes = [f"- {row.peer}{f', {row.entries:,} entries' if with_entries else ''}: {row.problem}\n" for row in rows if row.problem]
    notes += [
        f"- dnsperf on {row.peer}, listed names: {thousands(row.dnsperf[0])}/s; bench/load.c right after: {thousands(row.dnsperf[1])}/s\n"
        for row in rows
        if row.dnsperf
    ]
    return text + ("\n" + "".join(notes) if notes else "")


def _updates(updates: Sequence[dict[str, Any]]) -> str:
    cells = [
        [
            update["peer"],
            f"{update['entries']:,}",
            f"{update['live_s']:.2f}" if update["live_s"] else "not within the window",
            f"{update['gap_max_ms']:,.1f} ({update['quiet_gap_max_ms']:,.1f})",
            f"{update['lost']:,} of {update['sent']:,}",
            f"{update['wrong']:,}",
            f"{update['publish_s']:.1f}" if update["publish_s"] else "-",
        ]
        for update in updates
    ]
    return "1,000 names added under load\n\n" + table(
        ["", "entries", "live after s", "longest gap (quiet) ms", "lost", "wrong", "published before, s"], cells
    )


def _ready(rows: Sequence[dict[str, Any]]) -> str:
    def cell(row: dict[str, Any], key: str) -> str:
        return f"{row[key]:.4f}" if key in row else "-"

    keys = ("in_force_s", "verified_s", "process_s", "daemon_s")
    head = ["", "entries", "from the compiled file s", "every octet read s", "with the process's start s", "the whole daemon s"]
    return "Ready from what is on the disk\n\n" + table(
        head, [[row["peer"], f"{row['entries']:,}", *(cell(row, key) for key in keys)] for row in rows]
    )


def markdown(measured: Measured) -> str:
    """One table a part, what is wrong with whom, the updates, and starts."""
    parts = [_part(name, rows) for name, rows in sorted(measured.rows.items(), key=lambda item: (item[0] in TITLES, item[1][0].entries))]
    if measured.updates:
        parts.append(_updates(measured.updates))
    if measured.ready:
        parts.append(_ready(measured.ready))
    return "\n".join(parts)


def _csv(path: Path, measured: Measured) -> None:
    with path.open("w", newline="", encoding="utf-8") as out:
        write = csv.writer(out)
        write.writerow(COLUMNS)
        for part, rows in measured.rows.items():
            for row in rows:
                for mix in MIXES:
                    run = row.middle(mix) or {}
                    seen = [run.get(key, "") for key in ("busy", "generator_busy", "p50_us", "p99_us", "gap_max_ms", "lost", "sent")]
                    own = [row.memory_bytes, row.octets_an_entry or "", row.convert_s, row.load_s, row.problem]
                    rates = [run.get("rate", ""), row.per_cpu(mix) or ""]
                    write.writerow([part, row.peer, row.version, row.entries, mix, *rates, *seen, *own])


def _svg(path: Path, measured: Measured) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    shown = sorted((rows[0].entries, [row for row in rows if row.runs]) for name, rows in measured.rows.items() if name.startswith("size-"))
    shown = [(entries, rows) for entries, rows in shown if rows]
    if not shown:
        return
    mpl.rcParams.update({"svg.hashsalt": "blockd", "font.size": 9})
    figure, axes = plt.subplots(1, len(shown), figsize=(5.2 * len(shown), 5.6), squeeze=False)
    for place, (entries, rows) in zip(axes[0], shown, strict=True):
        here = rows[::-1]
        for offset, mix in enumerate(MIXES):
            heights = [(row.per_cpu(mix) or 0) / 1000 for row in here]
            place.barh([i + 0.27 * (1 - offset) for i in range(len(here))], heights, height=0.25, color=COLOURS[mix], label=mix)
        place.set_yticks(range(len(here)), [row.peer for row in here])
        place.set_xlabel("thousand answers for a second of processor time")
        place.set_title(f"{entries:,} {'entries' if entries != 1 else 'entry'}")
        place.spines[["top", "right"]].set_visible(False)
    axes[0][-1].legend(loc="lower right", frameon=False)
    machine, commit, *_ = measured.head.splitlines()
    figure.text(0.01, 0.005, f"{machine}; {commit}", fontsize=7, color="#555555")
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def write(folder: Path, measured: Measured) -> None:
    """peers.md, goals.md, peers.csv and peers.svg."""
    indented = "\n".join(f"    {line}" for line in measured.head.splitlines())
    goals = judge.markdown(judge.judge(measured))
    (folder / "peers.md").write_text(f"{indented}\n\n{markdown(measured)}", encoding="utf-8")
    (folder / "goals.md").write_text(f"{indented}\n\n{goals}", encoding="utf-8")
    _csv(folder / "peers.csv", measured)
    _svg(folder / "peers.svg", measured)
