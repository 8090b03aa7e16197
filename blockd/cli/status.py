"""``blockd status``: what the running gateway says of itself.

The daemon answers over its control socket; the JSON form is its answer as it is. The table is for people: what needs them comes first.
Exit 0 when the daemon answers, 1 when it does not.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from blockd.admin.client import call
from blockd.cli import show
from blockd.cli.daemon import control_socket
from blockd.cli.parser import EXIT_DONE, add_config, add_json, one_line, print_json

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from blockd.cli.parser import Subparsers

ANSWER_S = 10.0

EXAMPLES = """\
examples:
  blockd status
  blockd status --json | jq -r '.lists[] | select(.state != "live") | .name'
"""


def add_parser(subparsers: Subparsers) -> None:
    """The command's arguments."""
    parser = subparsers.add_parser(
        "status",
        help="roles, lists, upstreams, the record",
        description=(
            "Show what the running gateway says of itself: roles, generation, lists (version, mode, age, expiry, entries, rejected rows), the record, "
            "upstreams. Exit 1 when it does not run."
        ),
        epilog=EXAMPLES,
    )
    add_config(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask and show. Raises Unavailable when the daemon does not answer."""
    status = call(control_socket(args), "status", ANSWER_S)
    if args.json:
        print_json(status)
    else:
        print("\n".join(report(status, time.time())))
    return EXIT_DONE


def report(status: Mapping[str, Any], now: float) -> Iterator[str]:
    """Lay out the answer for a person."""
    ready = "ready" if status["ready"] else f"NOT READY: {one_line('; '.join(status.get('why_not', ())) or 'it does not say why')}"
    yield f"blockd {one_line(status['version'])}, generation {status['generation'] or 'none yet'}: {ready}"
    for alarm in status.get("alarms", ()):
        yield f"ALARM {one_line(alarm['code'])}: {one_line(alarm['text'])}"
    for door, addresses in sorted(status["listen"].items()):
        yield f"  {door:<10}{one_line(', '.join(addresses))}"
    if (workers := status.get("workers", {})).get("threads"):
        again = f", {workers['restarts']} restarts" if workers["restarts"] else ""
        state = "run" if workers["running"] == workers["threads"] else "RUN"
        yield f"  {'threads':<10}{workers['running']} of {workers['threads']} {state}{again}"
    if (xdp := status.get("xdp", {})).get("interface"):
        told = (
            f"{xdp['mode']}, attached (program {xdp['program']}), {xdp['services']} addresses"
            if xdp["attached"]
            else f"OFF: {xdp['why_not']}"
        )
        yield f"  {'xdp':<10}{one_line(xdp['interface'])}: {one_line(told)}"
    yield ""
    yield from lists(status["lists"], now)
    yield ""
    yield from show.table(("ROLE", "PID", "STATE"), [(r["name"], str(r["pid"] or "-"), r["state"]) for r in status["roles"]])
    if status["upstreams"]:
        yield ""
        yield from show.table(("UPSTREAM", "STATE"), [(u["address"], _upstream_state(u)) for u in status["upstreams"]])
    yield ""
    audit = status["audit"]
    yield f"record {one_line(audit['origin'] or '(no origin)')}: {audit['size']} entries, root {one_line(audit['root'][:16] or 'none yet')}"


def _upstream_state(row: Mapping[str, Any]) -> str:
    state = "up" if row["up"] else "DOWN"
    return f"{state}: {one_line(row['why'])}" if row.get("why") else state


def _state(row: Mapping[str, Any]) -> str:
    """A list that is switched off for a time says so; what a person must know is in capitals."""
    if row["state"] == "held":
        return "KILLED" if row["mode"] == "off" else "HELD"
    return str(row["state"])


def lists(rows: list[dict[str, Any]], now: float) -> list[str]:
    """Lay out the lists."""
    if not rows:
        return ["no lists are configured: nothing is blocked"]
    head = ("LIST", "MODE", "STATE", "VERSION", "ENTRIES", "REJECTED", "LAST RUN", "LAST SUCCESS", "EXPIRES")
    return show.table(
        head,
        [
            (
                row["name"],
                row["mode"],
                _state(row),
                str(row["version"] or "-"),
                f"{row['entries']:,}",
                f"{sum(row['rejected'].values()):,}",
                row["last_result"] or "-",
                show.ago(row["last_success"], now),
                show.until(row["expires"], now),
            )
            for row in rows
        ],
    )
