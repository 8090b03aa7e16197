"""Combinations are decided once, remembered within limits, and new numbers are asked for only when needed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from blockd.dns import judge as judge_file
from blockd.dns.judge import NOTHING, Judge, Ruling
from blockd.policy.verdict import Policies, Policy
from blockd.table.rules import Rule
from blockd.terms import Action, Basis, Category, Kind, ListName, Mode

OWN, TRIAL = ListName("f/own"), ListName("f/trial")
RULES = (
    Rule(OWN, Kind.SUBTREE, Category.FRAUD),
    Rule(OWN, Kind.ALLOW_SUBTREE, Category.FRAUD),
    Rule(TRIAL, Kind.SUBTREE, Category.FRAUD),
    Rule(OWN, Kind.SUBTREE, Category.FRAUD, Action.DROP),
)
CELLS = {(OWN, Category.FRAUD, Action.NXDOMAIN, "dns", False): 100, (TRIAL, Category.FRAUD, Action.NODATA, "dns", True): 101}
BLOCK, SHADOW = (2, 15, 100, ()), (0, -1, -1, (101,))


class Fixture:
    """The judge, and a core that remembers what it is taught."""

    def __init__(self, known=()):
        self.taught, self.reached = [], 0
        table = SimpleNamespace(set_rules=lambda s: (s,), lookup=lambda wire: [(s, d, True) for d, s in enumerate(wire)])
        lists = {
            OWN: Policy(OWN, 0, Mode.ENFORCE, Basis.OPERATOR, Action.NXDOMAIN),
            TRIAL: Policy(TRIAL, 1, Mode.SHADOW, Basis.MANDATED, Action.NODATA),
        }
        live = SimpleNamespace(table=table, rules=RULES)
        self.known = list(known)
        self.judge = Judge(live, Policies(lists, CELLS), known, self, self.limit)

    def add_verdict(self, verdict, hits=()):
        self.taught.append((verdict, hits))
        return len(self.known) + len(self.taught) - 1

    def limit(self):
        self.reached += 1


BOTH, EXCEPT = ((1, False), (0, True)), ((0, False), (1, True))


def test_the_deeper_entry_of_a_list_speaks():
    f = Fixture()
    assert f.judge.rule(EXCEPT) == Ruling(0, blocks=False, counts=False)
    assert f.judge.rule(BOTH) == Ruling(1, blocks=True, counts=False)


def test_the_core_learns_each_combination_once():
    f = Fixture()
    for _ in range(3):
        f.judge.rule(EXCEPT)
        f.judge.rule(BOTH)
    assert f.taught == [((0, -1, -1, ()), EXCEPT), (BLOCK, BOTH)]


def test_shadow_hits_go_with_the_verdict():
    f = Fixture()
    assert f.judge.rule(((2, False), (0, True))) == Ruling(0, blocks=True, counts=True)
    assert f.judge.rule(((2, False), (1, True))) == Ruling(1, blocks=False, counts=True)
    assert [v for v, _ in f.taught] == [(*BLOCK[:3], (101,)), SHADOW]


def test_nothing_for_nothing():
    f = Fixture()
    assert f.judge.rule(()) is NOTHING
    assert not f.taught


def test_a_name_is_looked_up_in_the_table_itself():
    assert Fixture().judge.rule_name(bytes([1, 0])).blocks
    assert not Fixture().judge.rule_name(bytes([0, 1])).blocks


def test_beyond_what_the_core_learns_verdicts_that_the_swap_brought_are_used(monkeypatch):
    monkeypatch.setattr(judge_file, "LEARNED_MAX", 0)
    f = Fixture(known=[SHADOW, BLOCK])
    assert f.judge.rule(BOTH).number == 1
    assert f.judge.rule(((2, True),)).number == 0
    assert f.taught == []
    assert f.judge.rule(((3, True),)).blocks
    assert f.taught == [((5, 15, 100, ()), ())]
    assert f.reached == 3


def test_rulings_are_forgotten_oldest_first(monkeypatch):
    monkeypatch.setattr(judge_file, "RULINGS_MAX", 2)
    f = Fixture()
    for hits in (BOTH, EXCEPT, BOTH, ((2, True),)):
        f.judge.rule(hits)
    assert f.reached == 1
    assert list(f.judge._rulings) == [BOTH, ((2, True),)]


def test_beyond_the_limit_of_verdicts_shadow_hits_go_and_the_verdict_holds(monkeypatch):
    monkeypatch.setattr(judge_file, "VERDICTS_MAX", 1)
    monkeypatch.setattr(judge_file, "LEARNED_MAX", 0)
    f = Fixture(known=[BLOCK])
    assert f.judge.rule(((2, False), (0, True))).number == 0
    assert f.judge.rule(((3, True),)).blocks  # another action: it must be added whatever the limit says
    assert [v for v, _ in f.taught] == [(5, 15, 100, ())]


def test_the_same_combination_is_decided_once(monkeypatch):
    f = Fixture()
    first = f.judge.rule(BOTH)
    monkeypatch.setattr(judge_file, "decide", lambda *_: pytest.fail("decided again"))
    assert f.judge.rule(BOTH) == first
