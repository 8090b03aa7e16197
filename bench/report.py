"""The figures as a table for people (Markdown), for programs (CSV) and as a picture (SVG)."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from bench.peers import Row
    from bench.under_load import Update

MIXES = ("blocked", "cached", "mixed")
COLOURS = {"blocked": "#b2182b", "cached": "#2166ac", "mixed": "#878787"}


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _thousands(value: float | None) -> str:
    return "-" if value is None else f"{value / 1000:,.0f}k"


def _rate(row: Row, mix: str) -> str:
    run = row.middle(mix)
    return "-" if run is None else f"{_thousands(run['rate'])} ({_thousands(row.per_cpu(mix))})"


def _latency(row: Row) -> str:
    run = row.middle("mixed")
    return "-" if run is None else f"{run['p50_us']:,.0f} / {run['p99_us']:,.0f}"


def _lost(row: Row) -> str:
    runs = [run for of_mix in row.runs.values() for run in of_mix]
    sent = sum(run["sent"] for run in runs)
    return f"{sum(run['lost'] for run in runs) / sent:.3%}" if sent else "-"


def _cells(row: Row) -> list[str]:
    memory = f"{row.memory_bytes / 2**20:,.0f}" if row.memory_bytes else "-"
    octets = "-" if row.octets_an_entry is None or not row.memory_bytes else f"{row.octets_an_entry:,.0f}"
    seconds = [f"{row.convert_s:.2f}", f"{row.load_s:.2f}"] if row.memory_bytes else ["-", "-"]
    return [f"{row.peer} {row.version}".strip(), *(_rate(row, mix) for mix in MIXES), _latency(row), _lost(row), memory, octets, *seconds]


def markdown(rows: Sequence[Row], updates: Sequence[Update]) -> str:
    """One table a size, what is wrong with whom, and the updates."""
    head = ["", *(f"{mix}/s (per CPU s)" for mix in MIXES), "mixed p50 / p99 us", "lost", "MiB", "octets/entry", "convert s", "ready s"]
    parts = []
    for entries in sorted({row.entries for row in rows}):
        here = [row for row in rows if row.entries == entries]
        parts.append(f"{entries:,} {'entries' if entries != 1 else 'entry'}, one core each\n\n{_table(head, map(_cells, here))}")
        parts += [f"- {row.peer}: {row.problem}\n" for row in here if row.problem]
        parts += [
            f"- dnsperf on {row.peer}, listed names: {_thousands(row.dnsperf[0])}/s; bench/load.c right after: {_thousands(row.dnsperf[1])}/s\n"
            for row in here
            if row.dnsperf
        ]
        parts.append("")
    if updates:
        cells = [
            [
                update.peer,
                f"{update.entries:,}",
                f"{update.live_s:.2f}" if update.live_s else "not within the window",
                f"{update.gap_max_ms:,.1f} ({update.quiet_gap_max_ms:,.1f})",
                f"{update.lost:,} of {update.sent:,}",
                f"{update.wrong:,}",
            ]
            for update in updates
        ]
        parts.append(
            "1,000 names added under load\n\n" + _table(["", "entries", "live after s", "longest gap (quiet) ms", "lost", "wrong"], cells)
        )
    return "\n".join(parts)


def _csv(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as out:
        write = csv.writer(out)
        write.writerow(
            [
                "peer",
                "version",
                "entries",
                "mix",
                "answers_per_s",
                "answers_per_cpu_s",
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
        )
        for row in rows:
            for mix in MIXES:
                run = row.middle(mix) or {}
                seen = [run.get(key, "") for key in ("p50_us", "p99_us", "gap_max_ms", "lost", "sent")]
                own = [row.memory_bytes, row.octets_an_entry or "", row.convert_s, row.load_s, row.problem]
                write.writerow([row.peer, row.version, row.entries, mix, run.get("rate", ""), row.per_cpu(mix) or "", *seen, *own])


def _svg(path: Path, head: str, rows: Sequence[Row]) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    sizes = [n for n in sorted({row.entries for row in rows}) if any(row.runs for row in rows if row.entries == n)]
    if not sizes:
        return
    mpl.rcParams.update({"svg.hashsalt": "blockd", "font.size": 9})
    figure, axes = plt.subplots(1, len(sizes), figsize=(5.2 * len(sizes), 5.2), squeeze=False)
    for place, entries in zip(axes[0], sizes, strict=True):
        here = [row for row in rows if row.entries == entries and row.runs][::-1]
        for offset, mix in enumerate(MIXES):
            heights = [(row.per_cpu(mix) or 0) / 1000 for row in here]
            place.barh([i + 0.27 * (1 - offset) for i in range(len(here))], heights, height=0.25, color=COLOURS[mix], label=mix)
        place.set_yticks(range(len(here)), [row.peer for row in here])
        place.set_xlabel("thousand answers for a second of processor time")
        place.set_title(f"{entries:,} {'entries' if entries != 1 else 'entry'}")
        place.spines[["top", "right"]].set_visible(False)
    axes[0][-1].legend(loc="lower right", frameon=False)
    machine, commit, *_ = head.splitlines()
    figure.text(0.01, 0.005, f"{machine}; {commit}", fontsize=7, color="#555555")
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def write(folder: Path, head: str, rows: Sequence[Row], updates: Sequence[Update]) -> None:
    """peers.md, peers.csv and peers.svg."""
    folder.mkdir(parents=True, exist_ok=True)
    indented = "\n".join(f"    {line}" for line in head.splitlines())
    (folder / "peers.md").write_text(f"{indented}\n\n{markdown(rows, updates)}", encoding="utf-8")
    _csv(folder / "peers.csv", rows)
    _svg(folder / "peers.svg", head, rows)
