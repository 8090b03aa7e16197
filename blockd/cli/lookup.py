"""``blockd lookup``: what happens to a name or URL here, and why. Offline: it reads the generation in force and asks nobody.

A match says which list has it, on which row, what is done, on what basis, and where that can be enforced at all. The verdict is about what can be
enforced: an https URL whose path alone is listed is not blocked, since nobody on the way sees the path.

Secret lists: a row number and nothing of the row. Whether a name is on one is for approvers (`[admin.roles]`, root) to ask, and each time one
of them learns so a line goes to the system's log with list, row and account, without the name. For everybody else secret lists are left
out of the verdict, whether they have the name or not, and the answer says that they are.

Exit 0 whatever the verdict, 1 when the state can't be read, 2 for what is no name and no URL.
"""

from __future__ import annotations

import grp
import os
import pwd
import syslog
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blockd.cli import show
from blockd.cli.parser import EXIT_DONE, EXIT_USAGE, add_config, add_json, one_line, print_json, read_config, say
from blockd.cli.state import placements
from blockd.errors import Corrupt
from blockd.names import InvalidName, parse_domain, parse_url
from blockd.native._table import suffix_fingerprints, url_fingerprint
from blockd.policy.verdict import explain, resolve, word
from blockd.table.build import rules_of
from blockd.table.lookup import name_matches, url_matches
from blockd.table.store import open_current, open_list
from blockd.terms import Instant, Kind, ListName, Stage

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from blockd.cli.parser import Subparsers
    from blockd.config.schema import Config
    from blockd.control.live import LiveGeneration
    from blockd.control.sources import Placement
    from blockd.native._table import CompiledList
    from blockd.table.lookup import Match
    from blockd.table.rules import Rule

OUT = {"killed": "it is switched off (blockd lists resume ends that)", "expired": "its signatures have expired"}

EXAMPLES = """\
examples:
  blockd lookup www.example.org
  blockd lookup http://example.org/a/page --json
"""


def add_parser(subparsers: Subparsers) -> None:
    """The command's arguments."""
    parser = subparsers.add_parser(
        "lookup",
        help="what happens to a name or URL, and why",
        description="Say what happens to a name or URL and why: list, row, action, basis, and what can be enforced. Reads the generation in force, asks nobody.",
        epilog=EXAMPLES,
    )
    parser.add_argument("what", metavar="NAME|URL", help="a domain name, or a URL with http:// or https://")
    add_config(parser)
    add_json(parser)
    parser.set_defaults(run=run)


@dataclass(frozen=True, slots=True)
class Query:
    """What was asked, in canonical form."""

    text: str  # as it was given
    kind: str  # domain | url
    shown: str  # canonical
    wire: bytes | None  # of the name, or of the URL's host when that is one
    key: bytes | None  # of the URL
    scheme: str | None

    @property
    def stage(self) -> Stage:
        """Where the verdict is about: of an https URL no more than its name can be enforced."""
        return Stage.HTTP if self.scheme == "http" else Stage.DNS


def parse(text: str) -> Query:
    """Read the argument. Raises InvalidName."""
    if "/" in text:
        url = parse_url(text if "://" in text else f"http://{text}")
        wire = url.domain.wire if url.domain else None
        return Query(text, "url", str(url), wire, url.key(), str(url).partition(":")[0])
    name = parse_domain(text)
    return Query(text, "domain", str(name), name.wire, None, None)


def run(args: argparse.Namespace) -> int:
    """Look up and say."""
    config = read_config(args)
    try:
        query = parse(args.what)
    except InvalidName as error:
        say(f"blockd lookup: not a name or URL: {error}. Give a domain name, or a URL with http:// or https://")
        return EXIT_USAGE
    live = open_current(config.state_dir)
    answer = look(query, live, config) if live else nothing(query)
    if args.json:
        print_json(answer)
    else:
        print("\n".join(report(answer, config)))
    return EXIT_DONE


def nothing(query: Query) -> dict[str, Any]:
    """Answer before the first generation."""
    return {
        "query": query.text,
        "kind": query.kind,
        "canonical": query.shown,
        "verdict": "none",
        "generation": 0,
        "matches": [],
        "withheld": [],
        "out_of_force": {},
    }


def look(query: Query, live: LiveGeneration, config: Config) -> dict[str, Any]:
    """Give the object of ``lookup --json``."""
    secret = {name for name, item in live.lists.items() if item.secret}
    withheld = sorted(secret) if secret and not is_approver(config) else []
    matches = [match for match in found(query, live) if match.list not in withheld]
    policies = resolve(live, config, {}, Instant(0.0))  # a list that is switched off is not in the table
    rows = Rows(query, live, config)
    told = explain(matches, policies, rows.of, scheme=query.scheme)
    for row in told:
        if row["list"] in secret:
            note_use(str(row["list"]), row["entry"])
    verdict = word(matches, policies, query.stage)
    return {
        **nothing(query),
        "verdict": verdict,
        "generation": live.number,
        "matches": told,
        "withheld": withheld,
        "out_of_force": rows.out(),
    }


def found(query: Query, live: LiveGeneration) -> tuple[Match, ...]:
    """Find every entry that speaks about the query, whatever its list's mode."""
    of_name = name_matches(live, query.wire) if query.wire else ()
    return of_name + (url_matches(live, query.key) if query.key else ())


class Rows:
    """Finds on which row of its list a match stands: in the compiled list, which is opened when a match asks for it."""

    def __init__(self, query: Query, live: LiveGeneration, config: Config) -> None:
        self._live = live
        self._state_dir = config.state_dir
        self._suffixes = suffix_fingerprints(live.key, query.wire) if query.wire else []
        self._url = url_fingerprint(live.key, query.key) if query.key else b""
        self._open: dict[ListName, tuple[CompiledList, Sequence[Rule]]] = {}
        self._placements: dict[ListName, Placement] | None = None

    def of(self, match: Match) -> int | None:
        """Return the first row that says what matched; None when the list's own file is not there any more."""
        try:
            compiled, rules = self._list(match.list)
        except Corrupt:
            return None
        fingerprint = self._url if match.kind is Kind.URL else self._suffixes[match.depth - 1]
        return min((row for row, rule in compiled.find(fingerprint) if rules[rule] == match.rule), default=None)

    def out(self) -> dict[str, str]:
        """Say which lists of the generation are not in its table, and why: killed or expired."""
        try:
            return {str(name): placed.out for name, placed in self._all().items() if placed.out}
        except Corrupt:
            return {}

    def _all(self) -> dict[ListName, Placement]:
        if self._placements is None:
            self._placements = placements(self._state_dir, self._live.number)
        return self._placements

    def _list(self, name: ListName) -> tuple[CompiledList, Sequence[Rule]]:
        if name not in self._open:
            placed = self._all().get(name)
            if placed is None:
                raise Corrupt(f"{name} is not among the generation's sources")
            compiled = open_list(self._state_dir / placed.source.compiled, self._live.key)
            self._open[name] = compiled, rules_of(compiled)
        return self._open[name]


def is_approver(config: Config) -> bool:
    """Whether whoever runs this may ask about secret lists."""
    uid = os.getuid()
    if uid == 0:
        return True
    known_as: set[str] = set()
    with suppress(KeyError):  # an account that the machine has no name for
        known_as.add(pwd.getpwuid(uid).pw_name)
    for gid in {*os.getgroups(), os.getgid()}:
        with suppress(KeyError):
            known_as.add(grp.getgrgid(gid).gr_name)
    return bool(known_as.intersection(config.admin.approvers))


def note_use(name: str, entry: object) -> None:
    """Leave a line in the system's log: who learnt what of a secret list, without the name that was asked."""
    syslog.openlog("blockd", 0, syslog.LOG_AUTH)
    syslog.syslog(syslog.LOG_NOTICE, f"lookup: secret list {name}, entry {entry}, shown to uid {os.getuid()}")
    syslog.closelog()


def report(answer: Mapping[str, Any], config: Config) -> Iterator[str]:
    """Lay out the answer for a person."""
    verdicts = {"block": "BLOCKED", "allow": "allowed by an exception", "none": "not blocked"}
    generation = f"generation {answer['generation']}" if answer["generation"] else "no generation yet"
    yield f"{one_line(answer['canonical'])}: {verdicts[answer['verdict']]} ({generation})"
    if answer["matches"]:
        yield ""
        yield from show.table(
            ("LIST", "ROW", "MODE", "ACTION", "BASIS", "CATEGORY", "ENFORCEABLE"),
            [
                (m["list"], str(m["entry"] or "-"), m["mode"], m["action"], m["basis"], m["category"], m["enforceable"])
                for m in answer["matches"]
            ],
        )
    notes = list(remarks(answer, config))
    if notes:
        yield ""
        yield from notes


def remarks(answer: Mapping[str, Any], config: Config) -> Iterator[str]:
    """Say what the table does not show."""
    if not answer["generation"]:
        fate = "resolved unfiltered" if config.dns.before_lists == "answer" or not config.lists else "answered with SERVFAIL"
        yield f"No list has been loaded yet; until then names are {fate}. Load them: blockd lists update --all"
    if any(match["enforceable"] == "unenforceable" for match in answer["matches"]):
        yield "The path of an https URL is encrypted: nobody on the way can enforce such an entry."
    if any(match["enforceable"] == "http_path" for match in answer["matches"]):
        yield "An http path is enforced by the URL filter; DNS alone does not block it."
    for name, why in answer["out_of_force"].items():
        yield f"{name} is out of force: {OUT[why]}"
    if answer["withheld"]:
        yield f"Left out, since they are secret and this account is no approver: {', '.join(answer['withheld'])}"
