"""What a generation says about a name or a URL: which lists have an entry, of which kind, how deep.

Text-free: a wire name or a URL key in, :class:`Match` out. Nothing is decided here; :mod:`blockd.policy.verdict` weighs matches. The fast
path (blockd/native) does the same on sets: :func:`set_matches` is what a set means, for either.

    >>> [(m.list, m.kind) for m in name_matches(live, parse_domain("www.casino.example").wire)]  # doctest: +SKIP
    [('hotline/gambling', <Kind.SUBTREE: 1>)]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from blockd.terms import Kind

if TYPE_CHECKING:
    from blockd.control.live import LiveGeneration
    from blockd.table.rules import Rule
    from blockd.terms import ListName

UNDER = frozenset({Kind.SUBTREE, Kind.ALLOW_SUBTREE})
"""Kinds that speak about every name under theirs."""

NAMED = UNDER | {Kind.EXACT, Kind.ALLOW_EXACT}
"""Kinds that speak about the very name. A URL entry's mark on its host does not: it blocks nothing."""


@dataclass(frozen=True, slots=True)
class Match:
    """One list's entry that speaks about what was asked. `depth`: labels of the entry's name, 0 for a URL; `full`: it is the very name."""

    rule: Rule
    depth: int
    full: bool

    @property
    def list(self) -> ListName:
        """The list that the entry is on."""
        return self.rule.list

    @property
    def kind(self) -> Kind:
        """What the entry covers."""
        return self.rule.kind


def set_matches(live: LiveGeneration, set_number: int, depth: int, *, full: bool) -> tuple[Match, ...]:
    """Return what a set says about a name: at the name itself (`full`) or from above. Rules of other kinds in the set are silent."""
    kinds = NAMED if full else UNDER
    rules = (live.rules[number] for number in live.table.set_rules(set_number))
    return tuple(Match(rule, depth, full) for rule in rules if rule.kind in kinds)


def name_matches(live: LiveGeneration, wire: bytes) -> tuple[Match, ...]:
    """Return every entry that speaks about a name, shallowest first. ValueError when `wire` is not one whole name."""
    hits = live.table.lookup(wire)
    return tuple(match for number, depth, full in hits for match in set_matches(live, number, depth, full=full))


def url_matches(live: LiveGeneration, url_key: bytes) -> tuple[Match, ...]:
    """Return every URL entry with that key. Entries on the URL's host are :func:`name_matches`'s."""
    number = live.table.lookup_url(url_key)
    if number is None:
        return ()
    rules = (live.rules[i] for i in live.table.set_rules(number))
    return tuple(Match(rule, 0, full=True) for rule in rules if rule.kind is Kind.URL)


def has_url_entries(live: LiveGeneration, wire: bytes) -> bool:
    """Tell whether any list names a URL on exactly this host."""
    return live.table.url_host(wire)
