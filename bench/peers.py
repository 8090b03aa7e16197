"""blockd and its peers side by side: the same lists, one core each, the same queries, rounds in turn; every goal of the data plane in one command.

    python bench/peers.py [--output DIR] [--parts size-1,sizes] [--resume] [--publish]
    python bench/peers.py --parts size-100000 --only blockd,raw,dnsdist --rounds 1

A run has parts (bench/parts.py says what each measures). Each is kept in DIR/NAME.json as soon as it is done, and `--resume` leaves out those that are
there, so that a run can be stopped and gone on with. At the end bench/report.py writes the tables, the CSV and the picture, and bench/judge.py says
which goals were reached. A peer that is not installed, does not start or answers wrongly is in the table with the reason. Servers have core 0;
the generator (bench/load.c) and the upstream (bench/upstream.c) core 1.

`--publish` then writes the figures into deploy/manual/figures.md, the picture beside it, and the README's lines.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import judge, parts, publish, report
from bench.machine import header
from bench.measure import Bench
from bench.programs import CLIENT_CORE, Responder, build
from bench.progress import Progress

if TYPE_CHECKING:
    from bench.peer.base import Peer

OUTPUT = Path(__file__).resolve().parents[1] / "build" / "bench"
PROGRAMS = ("load", "ceiling", "upstream", "cdb_records", "burst")


def chosen(text: str) -> tuple[type[Peer], ...]:
    """The peers whose name begins with one of the words."""
    words = tuple(word.strip().lower() for word in text.split(","))
    return tuple(kind for kind in parts.PEERS if kind.name.lower().startswith(words))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument(
        "--entries", default=",".join(map(str, parts.SIZES)), metavar="N,N", help="sizes of the list (default: %(default)s)"
    )
    parser.add_argument(
        "--large", type=int, default=parts.LARGE, metavar="N", help="the largest list, for the parts sizes, ready and large"
    )
    parser.add_argument(
        "--large-wait", type=float, default=30.0, metavar="S", help="how long a peer may take to start with it (default: %(default)s)"
    )
    parser.add_argument("--parts", default="", metavar="NAME,NAME", help="some parts only; --list names them")
    parser.add_argument("--list", action="store_true", help="name the parts and their usual seconds")
    parser.add_argument("--only", default="", metavar="NAME,NAME", help="peers whose name begins so")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one window (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-update", action="store_true", help="leave out the updates under load")
    parser.add_argument(
        "--output",
        type=Path,
        default=OUTPUT,
        metavar="DIR",
        help="keep the parts there; goals.md, peers.md, .csv, .svg (default: build/bench)",
    )
    parser.add_argument("--resume", action="store_true", help="leave out the parts that DIR has")
    parser.add_argument("--publish", action="store_true", help="write the figures into the manual and the README")
    return parser.parse_args()


def run(args: argparse.Namespace, head: str, todo: dict[str, Any]) -> None:
    """Measure the parts, each into its file."""
    options = parts.Options(
        chosen(args.only) if args.only else parts.PEERS, large=args.large, large_wait_s=args.large_wait, updates=not args.no_update
    )
    for name in todo:
        (args.output / f"{name}.json").unlink(missing_ok=True)
    progress = Progress({name: seconds for name, (seconds, _) in todo.items()})
    for name, (_, part) in todo.items():
        progress.begin(name)
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            home.chmod(0o755)
            programs = {program: build(home / "bin", program) for program in PROGRAMS}
            with Responder(programs["upstream"], CLIENT_CORE) as upstream:
                bench = Bench(home, programs["load"], upstream, args.seconds, args.rounds, progress.say)
                began, busy = time.time(), os.getloadavg()[0]
                seen = part(bench, options)
        progress.end()
        kept = {"head": head, "part": name, "load_average_before": busy, "took_s": round(time.time() - began, 1), **seen}
        draft = args.output / f".{name}.json"
        draft.write_text(json.dumps(kept, indent=1), encoding="utf-8")
        draft.rename(args.output / f"{name}.json")


def main() -> int:
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no peer is left behind
    plan = dict(parts.plan([int(word) for word in args.entries.split(",")]))
    wanted = args.parts.split(",") if args.parts else list(plan)
    if args.list:
        print("\n".join(f"{name:<14} about {seconds:.0f} s" for name, (seconds, _) in plan.items()))
        return 0
    unknown = sorted(set(wanted) - plan.keys())
    if unknown:
        print(f"no part called {', '.join(unknown)}; there are {', '.join(plan)}", file=sys.stderr)
        return 2
    args.output.mkdir(parents=True, exist_ok=True)
    todo = {name: plan[name] for name in wanted if not (args.resume and (args.output / f"{name}.json").exists())}
    head = header()
    print(head, flush=True)
    run(args, head, todo)
    measured = report.read(args.output)
    report.write(args.output, measured)
    print(f"\n{report.markdown(measured)}\n{judge.markdown(judge.judge(measured))}")
    if args.publish:
        try:
            publish.publish(args.output, measured)
        except publish.Unpublishable as refused:
            print(f"not published: {refused}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
