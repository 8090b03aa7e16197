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
    def __init__(self, known=()):
        self.asked, self.reached = [], 0
        table = SimpleNamespace(set_rules=lambda s: (s,), lookup=lambda wire: [(s, d, True) for d, s in enumerate(wire)])
        lists = {
            OWN: Policy(OWN, 0, Mode.ENFORCE, Basis.OPERATOR, Action.NXDOMAIN),
            TRIAL: Policy(TRIAL, 1, Mode.SHADOW, Basis.MANDATED, Action.NODATA),
        }
        live = SimpleNamespace(table=table, rules=RULES)
        self.known = list(known)
        self.judge = Judge(live, Policies(lists, CELLS), known, self.add, self.limit)

    def add(self, verdict):
        self.asked.append(verdict)
        return len(self.known) + len(self.asked) - 1

    def limit(self):
        self.reached += 1


def test_the_deeper_entry_of_a_list_speaks():
    f = Fixture()
    assert f.judge.rule(((0, False), (1, True))) is NOTHING
    assert f.judge.rule(((1, False), (0, True))) == Ruling(0, blocks=True)
    assert f.asked == [BLOCK]


def test_a_verdict_that_the_swap_brought_is_not_added_again():
    f = Fixture(known=[SHADOW, BLOCK])
    assert f.judge.rule(((0, True),)) == Ruling(1, blocks=True)
    assert f.judge.rule(((2, True),)) == Ruling(0, blocks=False)
    assert f.asked == []


def test_shadow_hits_go_with_the_verdict():
    f = Fixture()
    assert f.judge.rule(((2, False), (0, True))) == Ruling(0, blocks=True)
    assert f.asked == [(*BLOCK[:3], (101,))]


def test_nothing_for_nothing():
    assert Fixture().judge.rule(()) is NOTHING


def test_a_name_is_looked_up_in_the_table_itself():
    assert Fixture().judge.rule_name(bytes([1, 0])).blocks
    assert not Fixture().judge.rule_name(bytes([0, 1])).blocks


def test_combinations_are_forgotten_oldest_first(monkeypatch):
    monkeypatch.setattr(judge_file, "COMBINATIONS_MAX", 2)
    f = Fixture()
    for hits in (((0, True),), ((1, True),), ((2, True),)):
        f.judge.rule(hits)
    assert f.reached == 1
    assert f.judge.rule(((0, True),)).blocks  # decided again, under the number it had
    assert f.asked.count(BLOCK) == 1


def test_beyond_the_limit_of_verdicts_shadow_hits_go_and_the_verdict_holds(monkeypatch):
    monkeypatch.setattr(judge_file, "VERDICTS_MAX", 1)
    f = Fixture(known=[BLOCK])
    assert f.judge.rule(((2, False), (0, True))) == Ruling(0, blocks=True)
    assert f.judge.rule(((3, True),)).blocks  # another action: it must be added whatever the limit says
    assert f.reached == 2
    assert len(f.asked) == 1


@pytest.mark.parametrize("hits", [((0, True),), ((0, False), (0, True))])
def test_the_same_combination_is_decided_once(hits, monkeypatch):
    f = Fixture()
    first = f.judge.rule(hits)
    monkeypatch.setattr(judge_file, "decide", lambda *_: pytest.fail("decided again"))
    assert f.judge.rule(hits) == first
