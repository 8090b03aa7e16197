"""Which list decides about a name, and what is done about it: the only place that decides.

Everything that answers (the native core's verdict arrays, the resolver's combinations, `blockd lookup`) is made from :func:`decide`.

========================================  =====================================================================================
question                                  rule
========================================  =====================================================================================
which entries speak                       a subtree entry about its name and all below it; an exact entry about its name alone;
                                          a URL entry about nothing that the DNS asks
what one list says                        its most specific entry: more labels first, then exact over subtree, then allow over
                                          block. An allow entry exempts from its own list, never from another
which list wins                           lists in mode enforce alone; strongest basis first (mandated, operator, subscriber),
                                          then the most specific entry, then the order of the configuration
what is done                              the operator's action for the list, else the row's own (RPZ), else the publisher's
stop page without an address to give      NXDOMAIN; the same when the list's `notify` is none, which silences page and code
what the client is told                   the Extended DNS Error of the winner's basis (RFC 8914 §4.16-4.18); nothing for notify none
what is counted                           one hit for the winner; one shadow hit for each list in mode shadow that says block
a list that is off, or switched off       says nothing and counts nothing
until an instant that is still to come
a list that the configuration leaves out  off
========================================  =====================================================================================

Two rows of one list that are equally specific and differ in category or action: the first in alphabetical order of both, so that the
order of rows never matters. Depths are only compared, so the ordinal of a hit serves as well as its labels.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from blockd.table.lookup import Match, set_matches
from blockd.terms import BASIS_STRENGTH, EDE_BY_BASIS, Action, Basis, Category, Instant, Kind, ListName, Mode, Notify, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from blockd.config.schema import Config
    from blockd.control.live import LiveGeneration
    from blockd.table.rules import Rule

ACTION_NUMBERS = {None: 0, Action.STOP_PAGE: 1, Action.NXDOMAIN: 2, Action.NODATA: 3, Action.REFUSED: 4, Action.DROP: 5}
"""How the native core counts actions (native/_dns.pyi)."""

ALLOWS = frozenset({Kind.ALLOW_SUBTREE, Kind.ALLOW_EXACT})
SUBTREES = frozenset({Kind.SUBTREE, Kind.ALLOW_SUBTREE})
EXACTS = frozenset({Kind.EXACT, Kind.ALLOW_EXACT})

NativeVerdict = tuple[int, int, int, tuple[int, ...]]
"""(action number, EDE or -1, hit cell or -1, shadow cells), as ``Core.swap`` and ``Core.add_verdict`` take it."""

CellKey = tuple[ListName, Category, Action, str, bool]


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for one list now: the publisher's word and the operator's, switches applied."""

    list: ListName
    order: int  # its place in the configuration
    mode: Mode
    basis: Basis
    published: Action
    action: Action | None = None  # the operator's; None: the row's or the publisher's
    notify: Notify = Notify.FULL


@dataclass(frozen=True, slots=True)
class Policies:
    """All lists of a generation, with what a verdict needs beside them."""

    lists: Mapping[ListName, Policy]
    cells: Mapping[CellKey, int] = field(default_factory=dict)
    stop_page: bool = True  # there is an address to send people to


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do. `action` None: nothing, the name is resolved; the shadow hits are counted all the same."""

    action: Action | None = None
    list: ListName | None = None
    category: Category | None = None
    basis: Basis | None = None
    ede: int | None = None
    shadow: tuple[ListName, ...] = ()
    hit_cell: int | None = None
    shadow_cells: tuple[int, ...] = ()

    def native(self) -> NativeVerdict:
        """Return the form that the C core takes."""
        ede = -1 if self.ede is None else self.ede
        cell = -1 if self.hit_cell is None else self.hit_cell
        return ACTION_NUMBERS[self.action], ede, cell, self.shadow_cells


@dataclass(frozen=True, slots=True)
class Compiled:
    """The verdict of every set, for ``Core.swap``. `index` holds native uint32, at [set * 2 + is the whole name].

    `url_hosts`: one octet a set, 1 where an enforced list has URL entries on the host: its HTTPS and SVCB records are withheld, so that
    no client goes around the URL filter by what they advertise.
    """

    verdicts: tuple[NativeVerdict, ...]
    index: bytes
    url_hosts: bytes


def resolve(live: LiveGeneration, config: Config, killed: Mapping[ListName, Instant], now: Instant) -> Policies:
    """Bring together the generation's lists, the configuration and the switches. `killed`: each list off until its instant."""
    configured = {entry.name: (order, entry) for order, entry in enumerate(config.lists)}
    lists = {}
    for name, published in live.lists.items():
        if name not in configured:
            continue
        order, entry = configured[name]
        mode = Mode.OFF if killed.get(name, now) > now else entry.mode
        lists[name] = Policy(name, order, mode, published.basis, published.action, entry.action, entry.notify)
    return Policies(lists, live.cells, bool(config.stop_page.addresses))


def next_change(killed: Mapping[ListName, Instant], now: Instant) -> Instant | None:
    """When the first switch that is in force runs out; None when none is."""
    return min((until for until in killed.values() if until > now), default=None)


def matches_of(live: LiveGeneration, hits: Iterable[tuple[int, bool]]) -> list[Match]:
    """Unfold the native core's hits, (set, is the whole name), shallowest first. The ordinal stands for the depth."""
    return [match for depth, (number, full) in enumerate(hits, 1) for match in set_matches(live, number, depth, full=full)]


def _speaks(match: Match, stage: Stage) -> bool:
    if match.kind in SUBTREES:
        return True
    if match.kind in EXACTS:
        return match.full
    return match.kind is Kind.URL and stage is not Stage.DNS


def _specific(match: Match) -> tuple[bool, int, bool]:
    return match.kind is Kind.URL, match.depth, match.kind in EXACTS


def _strongest_word(matches: Sequence[Match]) -> Match:
    """Find what one list says: the most specific of its entries."""

    def rank(match: Match) -> tuple[bool, int, bool, bool, str, str]:
        url, depth, exact = _specific(match)
        action = match.rule.action.value if match.rule.action else ""
        return not url, -depth, not exact, match.kind not in ALLOWS, match.rule.category.value, action

    return min(matches, key=rank)


def said(matches: Iterable[Match], policies: Policies, stage: Stage = Stage.DNS) -> dict[ListName, Match]:
    """Find what each list that is not off says, its one deciding entry (which may be an allow entry)."""
    by_list: dict[ListName, list[Match]] = {}
    for match in matches:
        policy = policies.lists.get(match.list)
        if policy is not None and policy.mode is not Mode.OFF and _speaks(match, stage):
            by_list.setdefault(match.list, []).append(match)
    return {name: _strongest_word(found) for name, found in by_list.items()}


def action_of(rule: Rule, policy: Policy) -> Action:
    """Find what is asked for: the operator's action, else the row's, else the publisher's."""
    return policy.action or rule.action or policy.published


def _effective(asked: Action, policy: Policy, policies: Policies) -> Action:
    if asked is Action.STOP_PAGE and (not policies.stop_page or policy.notify is Notify.NONE):
        return Action.NXDOMAIN
    return asked


def _cell(match: Match, policies: Policies, stage: Stage, *, shadow: bool) -> int | None:
    """Find the counter of a hit. A generation has cells for the actions it knew of: what was asked for stands in for what is done."""
    policy = policies.lists[match.list]
    asked = action_of(match.rule, policy)
    for action in (_effective(asked, policy, policies), asked, match.rule.action, policy.published):
        if action is not None:
            cell = policies.cells.get((match.list, match.rule.category, action, stage.value, shadow))
            if cell is not None:
                return cell
    return None


def decide(matches: Iterable[Match], policies: Policies, stage: Stage = Stage.DNS) -> Verdict:
    """Decide, by the table at the top of this file."""
    words = [match for match in said(matches, policies, stage).values() if match.kind not in ALLOWS]
    words.sort(key=lambda match: policies.lists[match.list].order)
    shadows = [match for match in words if policies.lists[match.list].mode is Mode.SHADOW]
    enforced = [match for match in words if policies.lists[match.list].mode is Mode.ENFORCE]
    cells = (_cell(match, policies, stage, shadow=True) for match in shadows)
    shadow = tuple(match.list for match in shadows)
    shadow_cells = tuple(cell for cell in cells if cell is not None)
    if not enforced:
        return Verdict(shadow=shadow, shadow_cells=shadow_cells)
    winner = max(enforced, key=lambda match: (BASIS_STRENGTH[policies.lists[match.list].basis], _specific(match)))  # the first of equals
    policy = policies.lists[winner.list]
    return Verdict(
        action=_effective(action_of(winner.rule, policy), policy, policies),
        list=winner.list,
        category=winner.rule.category,
        basis=policy.basis,
        ede=None if policy.notify is Notify.NONE else EDE_BY_BASIS[policy.basis],
        shadow=shadow,
        hit_cell=_cell(winner, policies, stage, shadow=False),
        shadow_cells=shadow_cells,
    )


def compile_verdicts(live: LiveGeneration, policies: Policies) -> Compiled:
    """Decide about every set of the table beforehand: a single hit holds all that is known, so no set is left open."""
    numbers: dict[NativeVerdict, int] = {}
    known: dict[tuple[tuple[int, ...], bool], int] = {}
    index = array("I", bytes(8 * live.table.sets))
    if index.itemsize != 4:  # pragma: no cover - every platform that Linux runs on
        raise AssertionError("array('I') is not uint32 here")
    url_hosts = bytearray(live.table.sets)
    for number in range(live.table.sets):
        rules = tuple(live.table.set_rules(number))
        url_hosts[number] = any(_marks_host(live.rules[rule], policies) for rule in rules)
        for full in (False, True):
            at = known.get((rules, full))
            if at is None:
                verdict = decide([Match(live.rules[rule], 1, full) for rule in rules], policies).native()
                at = known[rules, full] = numbers.setdefault(verdict, len(numbers))
            index[2 * number + full] = at
    return Compiled(tuple(numbers), index.tobytes(), bytes(url_hosts))


def _marks_host(rule: Rule, policies: Policies) -> bool:
    policy = policies.lists.get(rule.list)
    return rule.kind is Kind.URL_HOST and policy is not None and policy.mode is Mode.ENFORCE


def explain(
    matches: Iterable[Match], policies: Policies, entry: Callable[[Match], int | None], *, scheme: str | None = None
) -> list[dict[str, object]]:
    """Say every match in the JSON form of ``blockd lookup``, in the order of the configuration, most specific first.

    `entry`: the row of a match in its list, from the compiled list. `scheme`: of the URL that was asked about. What a row asks for
    is in `action` (``allow`` for an exception), what is done about it in `mode`: a list that is switched off shows as ``off``.
    """
    off = Policy(ListName(""), len(policies.lists), Mode.OFF, Basis.OPERATOR, Action.NXDOMAIN)
    rows = []
    for match in matches:
        if match.kind is Kind.URL_HOST or not _speaks(match, Stage.HTTP):
            continue
        policy = policies.lists.get(match.list, off)
        url, depth, exact = _specific(match)
        place = (policy.order, match.list, not url, -depth, not exact, match.kind)
        row: dict[str, object] = {
            "list": match.list,
            "entry": entry(match),
            "action": "allow" if match.kind in ALLOWS else action_of(match.rule, policy).value,
            "mode": policy.mode.value,
            "basis": policy.basis.value,
            "category": match.rule.category.value,
            "enforceable": enforceable(match, scheme),
        }
        rows.append((place, row))
    return [row for _, row in sorted(rows, key=lambda item: item[0])]


def enforceable(match: Match, scheme: str | None = None) -> Literal["dns", "http_path", "tls_host", "unenforceable"]:
    """Where an entry can be enforced: a path under HTTPS is seen by nobody on the way."""
    if match.kind is not Kind.URL:
        return "dns"
    return "unenforceable" if scheme == "https" else "http_path"


def word(matches: Iterable[Match], policies: Policies, stage: Stage = Stage.DNS) -> Literal["block", "allow", "none"]:
    """Give the verdict in one word: ``allow`` when an exception spoke and nothing blocks."""
    found = list(matches)
    if decide(found, policies, stage).action is not None:
        return "block"
    return "allow" if any(match.kind in ALLOWS for match in said(found, policies, stage).values()) else "none"
