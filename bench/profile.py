"""Where the nanoseconds of an answer go: one server under load on core 0, sampled by perf, each line in nanoseconds of processor time for one answer.

    python bench/profile.py [--peer blockd] [--entries 1000000] [--mix blocked] [--seconds 3] [--top 30] [--lines] [--json FILE]

perf (Debian: linux-perf) samples the processor's clock, which a virtual machine without hardware counters has too; kernel and user space,
symbols from the debug information of the build. Three tables come out: by module, by system call with everything below it, by
function. `--lines` adds source lines, which is what helps where the compiler has inlined a whole path into one function. Each figure is
the share of the samples times the processor time that the scheduler counted, over the answers: they add up to the line at the top,
and a second peer with the same options (`--peer "raw UDP"`) shows what of it is the kernel's.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import measure, peers
from bench.machine import header
from bench.peer.base import Peer, cpu_seconds
from bench.programs import CLIENT_CORE, Responder, build, load
from bench.queries import name, write_list, write_queries

HERTZ, SPARE_S = 4999, 1.0
ROW = re.compile(r"^\s*([\d.]+)%\s+(?:([\d.]+)%\s+)?(\S.*?)\s*$")


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a profile."""

    what: str
    ns: float
    share: float


def parse(report: str, ns_an_answer: float) -> list[Line]:
    """The rows of `perf report --stdio`: share first, the rest is what it is."""
    lines = []
    for text in report.splitlines():
        found = ROW.match(text)
        if found and not text.lstrip().startswith("#"):
            share = float(found[1]) / 100
            lines.append(Line(re.sub(r"\s{2,}", "  ", found[3]), share * ns_an_answer, share))
    return lines


def report(data: Path, *words: str) -> str:
    """The report that perf makes of the samples, without a graph."""
    done = subprocess.run(
        ["perf", "report", "--stdio", "-g", "none", "-i", str(data), "--percent-limit", "0.2", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"perf report: {done.stderr.strip()[-300:]}")
    return done.stdout


def table(title: str, lines: list[Line], top: int) -> str:
    """The first rows, in nanoseconds of one answer."""
    rows = "".join(f"  {line.ns:>8.1f} ns {line.share:>6.1%}  {line.what}\n" for line in lines[:top])
    return f"{title}\n{rows}"


def system_calls(lines: list[Line]) -> list[Line]:
    """Of an inclusive report, what the server itself calls: each with all that the kernel does below."""
    named = [(re.search(r"\b__x64_sys_(\w+)|\b(asm_sysvec_\w+|ret_from_fork\w*)", line.what), line) for line in lines]
    return [Line(found[1] or found[2], line.ns, line.share) for found, line in named if found]


def profile(kind: type[Peer], args: argparse.Namespace, home: Path) -> dict[str, object]:
    """Start it, warm it, sample it; the tables by title and the totals."""
    programs = {program: build(home / "bin", program) for program in peers.PROGRAMS}
    listed, queries = write_list(home / "list", args.entries), write_queries(home / "queries", args.entries)
    data = home / "samples"
    with Responder(programs["upstream"], CLIENT_CORE) as upstream:
        peer = kind(home / str(args.entries) / kind.name.replace(" ", "-"), listed, upstream.port, name(args.entries - 1))
        try:
            peer.start()
            measure.Bench(home, programs["load"], upstream, args.seconds, 1).warm(peer, queries)
            pids = peer.serving()
            watch = ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(HERTZ), "-g", "-p", ",".join(map(str, pids)), "-o", str(data)]
            with subprocess.Popen([*watch, "--", "sleep", str(args.seconds)], stderr=subprocess.PIPE, text=True) as watching:
                used = cpu_seconds(pids)
                seen = load(programs["load"], queries, peer.port, seconds=args.seconds + SPARE_S, mix=measure.MIXES[args.mix])
                used = cpu_seconds(pids) - used
                said = watching.communicate()[1]
            if watching.returncode or not data.exists():
                raise RuntimeError(f"perf record: {said.strip()[-300:]}")
            ns = used / seen.answered * 1e9
            tables = {
                "by module": parse(report(data, "--no-children", "-s", "dso"), ns),
                "by system call, with what is below": system_calls(parse(report(data, "--children", "-s", "sym"), ns)),
                "by function": parse(report(data, "--no-children", "-s", "dso,sym"), ns),
            }
            if args.lines:
                tables["by source line"] = parse(report(data, "--no-children", "--full-source-path", "-s", "sym,srcline"), ns)
        finally:
            peer.stop()
    return {"rate": seen.rate, "answers_per_cpu_s": seen.answered / used, "ns_an_answer": ns, "tables": tables}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--peer", default="blockd", help="the first whose name begins so")
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--mix", choices=measure.MIXES, default="blocked")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--top", type=int, default=30)
    parser.add_argument("--lines", action="store_true", help="source lines too (slow: addr2line for each)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    kind = peers.chosen(args.peer)[0]
    if not kind.program("perf"):
        print("perf is missing (Debian package linux-perf)", file=sys.stderr)
        return 1
    print(header())
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        seen = profile(kind, args, Path(folder))
    print(
        f"\n{kind.name}, {args.mix}, {args.entries:,} entries: {seen['rate']:,.0f} answers/s,"
        f" {seen['answers_per_cpu_s']:,.0f} a CPU second, {seen['ns_an_answer']:,.0f} ns an answer\n"
    )
    for title, lines in seen["tables"].items():
        print(table(title, lines, args.top))
    if args.json:
        plain = {title: [[line.ns, line.share, line.what] for line in lines] for title, lines in seen["tables"].items()}
        args.json.write_text(json.dumps({**seen, "tables": plain}, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
