"""``blockd lists``: the operator's levers. The daemon pulls them; this asks over the control socket and waits for the outcome.

Who may is decided by the daemon from the peer's credentials (`[admin.roles]`). Every lever needs a reason, is in the record before it acts, and
is shown by ``blockd status``.

Exit 0: done, applied or unchanged. 1: held, refused or unreachable, with the reason on one line. 2: no such list, or used wrongly.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blockd.admin.client import call
from blockd.cli import show
from blockd.cli.daemon import control_socket
from blockd.cli.parser import EXIT_DONE, EXIT_NO, EXIT_USAGE, add_config, add_json, did_you_mean, one_line, print_json, say
from blockd.cli.status import ANSWER_S, lists
from blockd.config.values import BadValue, duration
from blockd.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from blockd.cli.parser import Parser, Subparsers

KILL_MAX_S = 30 * 86400.0
PROGRESS_AFTER_S = 1.0

LEVERS = {
    "approve": ("let a held update go live", "Let the update that is held go live: this very version, no later one. For approvers."),
    "hold": ("keep the version that is enforced", "Keep the version that is enforced and take no updates until `resume`."),
    "rollback": (
        "go back to the version before",
        "Go back to the version before the one that is enforced, and hold it there until `resume`.",
    ),
    "kill": ("stop enforcing a list for a time", "Stop enforcing one list. Ends by itself after --for, or by `resume`."),
    "resume": ("end a hold, rollback or kill", "Take updates again, and enforce again."),
}

DONE = {"approve": "approved", "hold": "on hold", "rollback": "rolled back", "kill": "switched off", "resume": "resumed"}

EXAMPLES = """\
examples:
  blockd lists update --all
  blockd lists update hotline/domains --json
  blockd lists approve hotline/domains --reason "checked with the hotline by telephone"
  blockd lists kill hotline/domains --for 2h --reason "blocks our own mail"
  blockd lists show hotline/domains
"""


def add_parser(subparsers: Subparsers) -> None:
    """The command's arguments."""
    parser = subparsers.add_parser(
        "lists",
        help="update, approve, hold, roll back, kill or resume a list",
        description="The operator's levers. Each but update and show needs --reason, and is in the record before it acts.",
        epilog=EXAMPLES,
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    update = verbs.add_parser(
        "update",
        help="fetch now, and wait until every worker answers from it",
        description="Fetch, verify and enforce now instead of at the next interval. Returns when the outcome is known and every worker answers from it.",
    )
    update.add_argument("lists", nargs="*", metavar="LIST", help="FEED/LIST (default: all)")
    update.add_argument("--all", action="store_true", help="every list of the configuration")
    _finish(update)
    for verb, (short, long) in LEVERS.items():
        lever = verbs.add_parser(verb, help=short, description=long)
        lever.add_argument("list", metavar="LIST", help="FEED/LIST, as in the configuration")
        lever.add_argument("--reason", required=True, metavar="TEXT", help="why: stays on this node; the record holds a commitment to it")
        if verb == "kill":
            lever.add_argument(
                "--for", dest="seconds", required=True, type=span, metavar="DURATION", help="how long, 2h or 1d12h, at most 30d"
            )
        _finish(lever)
    shown = verbs.add_parser(
        "show", help="what is known of a list", description="Show all that is known of a list: figures and digests, never entries."
    )
    shown.add_argument("lists", nargs="*", metavar="LIST", help="FEED/LIST (default: all)")
    _finish(shown)


def _finish(parser: Parser | argparse.ArgumentParser) -> None:
    add_config(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def span(text: str) -> float:
    """Read ``2h`` for argparse."""
    try:
        return duration(1, KILL_MAX_S).read(text, Path())
    except BadValue:
        raise argparse.ArgumentTypeError("expected a duration from 1s to 30d, such as 2h or 1d12h") from None


def run(args: argparse.Namespace) -> int:
    """Pull the lever and say what came of it."""
    socket = control_socket(args)
    try:
        if args.verb == "show":
            return _show(args, call(socket, "status", ANSWER_S)["lists"])
        arguments = _arguments(args)
        with waiting(f"{args.verb} {args.list if 'list' in args else ', '.join(args.lists) or 'all lists'}"):
            answer = call(socket, args.verb, **arguments)
    except Refused as error:
        say(f"blockd lists {args.verb}: {error}")
        return EXIT_USAGE if error.reason == "usage" else EXIT_NO
    return _tell(args, answer["outcomes"])


def _arguments(args: argparse.Namespace) -> dict[str, Any]:
    if args.verb == "update":
        if args.all and args.lists:
            raise Refused("usage", "name lists or say --all, not both")
        return {"lists": list(dict.fromkeys(args.lists))}
    if not args.reason.strip():
        raise Refused("usage", "the reason is empty: say why, it is kept with the record")
    return {"list": args.list, "reason": args.reason} | ({"seconds": args.seconds} if args.verb == "kill" else {})


def _tell(args: argparse.Namespace, outcomes: Sequence[Mapping[str, Any]]) -> int:
    good = all(outcome["ok"] for outcome in outcomes)
    if args.json:
        print_json(as_json(outcomes))
    for outcome in outcomes:
        line = f"{outcome['list']}: {DONE[args.verb] if outcome['ok'] and args.verb in DONE else outcome['result']}"
        if outcome["version"]:
            line += f", version {outcome['version']} in generation {outcome['generation']}"
        if outcome["detail"]:
            line += f": {outcome['detail']}"
        if not outcome["ok"]:
            say(f"blockd lists {args.verb}: {line}{_next(outcome)}")
        elif not args.json:
            print(one_line(line))
    if not outcomes and not args.json:
        print("no lists are configured")
    return EXIT_DONE if good else EXIT_NO


def _next(outcome: Mapping[str, Any]) -> str:
    """Say what to do about it, where the daemon has not said so."""
    if "blockd lists" in outcome["detail"]:
        return ""
    if "last good version stays" in outcome["detail"] or "lists in force stay" in outcome["detail"]:
        return ""
    if outcome["result"] == "change_cap":  # a version waits; what is held may as well be a full disk, and its line says what to do
        return f". After a look at it: blockd lists approve {outcome['list']} --reason TEXT"
    if outcome["result"] == "fetch" and "tried again" not in outcome["detail"]:
        return ". The last good version stays in force; it is tried again at the next interval"
    return ". The last good version stays in force"


def as_json(outcomes: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    """Make the one object: the outcome of the one list; of several, the first that is not good stands for all and each is in `lists`."""
    rows = [{name: outcome[name] for name in ("list", "result", "generation", "version", "detail")} for outcome in outcomes]
    if len(rows) == 1:
        return rows[0]
    generation = max((outcome["generation"] for outcome in outcomes), default=0)
    word = next((outcome["result"] for outcome in outcomes if not outcome["ok"]), None)
    word = word or next((outcome["result"] for outcome in outcomes if outcome["result"] == "applied"), "not_modified")
    return {"list": None, "result": word, "generation": generation, "version": None, "lists": rows}


def _show(args: argparse.Namespace, rows: list[dict[str, Any]]) -> int:
    known = [row["name"] for row in rows]
    for name in args.lists:
        if name not in known:
            hint = did_you_mean(name, known) or f"; there are: {', '.join(known) or 'none'}"
            raise Refused("usage", f"there is no list {one_line(name)!r}{hint}")
    wanted = [row for row in rows if not args.lists or row["name"] in args.lists]
    if args.json:
        print_json({"lists": wanted})
    elif len(args.lists) == 1:
        print("\n".join(details(wanted[0], time.time())))
    else:
        print("\n".join(lists(wanted, time.time())))
    return EXIT_DONE


def details(row: Mapping[str, Any], now: float) -> Iterator[str]:
    """Lay out one list, a fact a line."""
    yield one_line(row["name"])
    facts = {
        "mode": row["mode"],
        "state": row["state"],
        "version": row["version"] or "none yet",
        "entries": f"{row['entries']:,}",
        "basis": row.get("basis") or "-",
        "category": row.get("category") or "-",
        "action": row.get("action") or "-",
        "secret": "yes" if row.get("secret") else "no",
        "last run": row["last_result"] or "-",
        "last success": show.ago(row["last_success"], now),
        "expires": show.until(row["expires"], now),
    }
    for name, value in facts.items():
        yield f"  {name:<14}{one_line(value)}"
    for reason, count in sorted(row["rejected"].items()):
        yield f"  {'rejected':<14}{count:,} {one_line(reason)}"


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show on a terminal that something is going on, once it takes longer than a moment."""
    if not sys.stderr.isatty():
        yield
        return
    done = threading.Event()

    def tick() -> None:
        start = time.monotonic()
        while not done.wait(PROGRESS_AFTER_S):
            sys.stderr.write(f"\r{one_line(what)}: {time.monotonic() - start:.0f} s ")
            sys.stderr.flush()

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        sys.stderr.write("\r\033[K")
        sys.stderr.flush()
