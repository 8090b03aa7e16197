"""Lists, matches and a table for tests of the decision."""

from __future__ import annotations

from blockd.policy.verdict import Policies, Policy
from blockd.table.lookup import Match
from blockd.table.rules import Rule
from blockd.terms import Action, Basis, Category, Kind, ListName, Mode

COURT, HOTLINE, OWN, TRIAL = (ListName(f"feed/{n}") for n in ("court", "hotline", "own", "trial"))


def policy(name, order=0, mode=Mode.ENFORCE, basis=Basis.OPERATOR, published=Action.NXDOMAIN, **more):
    return Policy(name, order, mode, basis, published, **more)


def policies(*lists, cells=None, stop_page=True):
    return Policies({p.list: p for p in lists}, cells or {}, stop_page)


def match(name, kind=Kind.SUBTREE, depth=2, full=True, category=Category.GAMBLING, action=None):
    return Match(Rule(name, kind, category, action), depth, full)


class FakeTable:
    """What compile_verdicts asks of a table."""

    def __init__(self, *sets):
        self.members = sets
        self.sets = len(sets)

    def set_rules(self, number):
        return self.members[number]
