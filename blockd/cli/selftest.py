"""``blockd selftest``: ask the live listeners for the canary name of each list, over every transport, and sign what was seen.

The canary is a harmless name that the publisher put on the list for this purpose (signed metadata, ``canary``). The result is a signed note (C2SP
signed-note) under this node's key, so that a regulator can keep it beside the record: a record proves what a node recorded, a
selftest what it answered.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from blockd.admin.client import call
from blockd.cli.probe import ask
from blockd.config.load import load
from blockd.control.admin_socket import path_of
from blockd.control.node_key import NodeKey
from blockd.errors import Unavailable
from blockd.names import parse_domain
from blockd.policy.verdict import decide, resolve
from blockd.table import lookup
from blockd.table.store import open_current
from blockd.terms import Action, Instant

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from blockd.config.schema import Config
    from blockd.control.live import LiveGeneration
    from blockd.dns.build import Answer
    from blockd.policy.verdict import Policies, Verdict

DOORS = ("udp", "tcp")
RCODES = {0: "NOERROR", 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}


@dataclass(frozen=True, slots=True)
class Row:
    """What one list's canary was answered with through one door."""

    list: str
    version: int
    door: str
    expected: str
    seen: str

    @property
    def good(self) -> bool:
        """The answer is what the policy says."""
        return self.expected == self.seen


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command's arguments."""
    parser = subparsers.add_parser(
        "selftest",
        help="ask the live listeners for each list's canary name",
        description="Ask the live listeners for the canary name of each list over every transport. Prints a dated, signed result; "
        "exit 1 when an answer is not what the policy says.",
    )
    parser.add_argument(
        "-c", "--config", type=Path, default=Path("/etc/blockd/blockd.toml"), metavar="FILE", help="configuration (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """The command. Raises Unavailable when there is nothing to ask."""
    config = load(args.config)
    status = call(path_of(config), "status", timeout_s=10.0)
    live = open_current(config.state_dir)
    if live is None:
        raise Unavailable("no list is loaded yet: blockd lists update --all")
    if live.number != status["generation"]:
        raise Unavailable("an update is being put in force just now: run this again")
    rows = check(config, live, status["listen"])
    skipped = [name for name, item in live.lists.items() if not item.canary]
    note = signed(config, live.number, rows, skipped)
    good = bool(rows) and all(row.good for row in rows)
    if args.json:
        print(json.dumps({"ok": good, "rows": [asdict(row) | {"ok": row.good} for row in rows], "without_canary": skipped, "note": note}))
    else:
        _show(rows, skipped, note)
    return 0 if good else 1


def check(config: Config, live: LiveGeneration, listen: Mapping[str, list[str]]) -> list[Row]:
    """Ask for every canary through every door that is open."""
    policies = resolve(live, config, {}, Instant(time.time()))
    rows = []
    for name, item in live.lists.items():
        if not item.canary:
            continue
        expected = expectation(verdict_of(live, policies, item.canary), has_page=bool(config.stop_page.addresses))
        for door in DOORS:
            for address in listen.get(door, []):
                seen = _seen(door, address, item.canary)
                rows.append(Row(name, item.version, f"{door} {address}", expected, seen))
    return rows


def verdict_of(live: LiveGeneration, policies: Policies, canary: str) -> Verdict:
    """What the policy decides about a name."""
    return decide(lookup.name_matches(live, parse_domain(canary).wire), policies)


def expectation(verdict: Verdict, *, has_page: bool) -> str:
    """The answer to an A query that a verdict leads to, in the words of :func:`describe`."""
    if verdict.action is None:
        return "not blocked"
    code = "" if verdict.ede is None else f", EDE {verdict.ede}"
    return {
        Action.STOP_PAGE: f"stop page{code}" if has_page else f"NXDOMAIN{code}",
        Action.NXDOMAIN: f"NXDOMAIN{code}",
        Action.NODATA: f"NODATA{code}",
        Action.REFUSED: f"REFUSED{code}",
        Action.DROP: "no answer",
    }[verdict.action]


def describe(answer: Answer) -> str:
    """An answer in the same words."""
    if not answer.ede:
        return "not blocked"
    code = f", EDE {answer.ede[0]}"
    if answer.rcode == 0:
        return ("stop page" if answer.addresses else "NODATA") + code
    return RCODES.get(answer.rcode, f"code {answer.rcode}") + code


def _seen(door: str, address: str, canary: str) -> str:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        return describe(ask((_reachable(host), int(port)), canary, tcp=door == "tcp"))
    except Unavailable:
        return "no answer"


def _reachable(host: str) -> str:
    """A listener on every address is asked on loopback."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def signed(config: Config, generation: int, rows: list[Row], skipped: Sequence[str]) -> str:
    """The result as a signed note. It names lists, never a canary."""
    when = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    lines = [f"blockd selftest {when}", f"generation {generation}"]
    lines += [f"{'pass' if row.good else 'FAIL'} {row.list} version {row.version} over {row.door}: {row.seen}" for row in rows]
    lines += [f"none {name}: its publisher gives no canary" for name in skipped]
    return NodeKey.load(config).sign("\n".join(lines) + "\n")


def _show(rows: list[Row], skipped: Sequence[str], note: str) -> None:
    print(note)
    failed = [row for row in rows if not row.good]
    for row in failed:
        print(f"{row.list} over {row.door}: expected {row.expected}, saw {row.seen}")
    tail = f", {len(skipped)} without a canary" if skipped else ""
    print(f"{len(rows) - len(failed)} of {len(rows)} answers as they should be{tail}")
