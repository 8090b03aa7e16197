"""Properties of the decision over any lists and matches."""

from __future__ import annotations

import itertools
from array import array
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from blockd.policy.verdict import ALLOWS, compile_verdicts, decide
from blockd.table.lookup import Match
from blockd.table.rules import Rule
from blockd.terms import BASIS_STRENGTH, EDE_BY_BASIS, Action, Basis, Category, Kind, Mode, Notify
from tests.policy.values import COURT, HOTLINE, OWN, TRIAL, FakeTable, policies, policy

NAMES = (COURT, HOTLINE, OWN, TRIAL)
RULES = st.builds(
    Rule, st.sampled_from(NAMES), st.sampled_from(Kind), st.sampled_from(list(Category)[:3]), st.none() | st.sampled_from(Action)
)
MATCHES = st.lists(st.builds(Match, RULES, st.integers(1, 4), st.booleans()), max_size=8)


@st.composite
def any_policies(draw):
    chosen = draw(st.permutations(NAMES))
    cells = {
        (n, c, a, "dns", shadow): number
        for number, (n, c, a, shadow) in enumerate(itertools.product(NAMES, list(Category)[:3], Action, (False, True)))
    }
    return policies(
        *(
            policy(
                n, order, draw(st.sampled_from(Mode)), draw(st.sampled_from(Basis)), draw(st.sampled_from(Action)),
                action=draw(st.none() | st.sampled_from(Action)), notify=draw(st.sampled_from(Notify)),
            )
            for order, n in enumerate(chosen)
        ),
        cells=cells, stop_page=draw(st.booleans()),
    )  # fmt: skip


@given(MATCHES, any_policies(), st.randoms(use_true_random=False))
def test_the_order_of_matches_never_matters(found, lists, random):
    mixed = list(found)
    random.shuffle(mixed)
    assert decide(mixed, lists) == decide(found, lists)


@given(MATCHES, any_policies(), st.builds(Match, RULES.filter(lambda r: r.kind in ALLOWS), st.integers(1, 4), st.booleans()))
def test_an_allow_entry_never_widens(found, lists, exception):
    before, after = decide(found, lists), decide([*found, exception], lists)
    assert before.action is not None or after.action is None
    assert set(after.shadow) <= set(before.shadow)
    others = [m for m in found if m.list != exception.list]
    if decide(others, lists).action is not None:
        assert after.action is not None  # and it exempts from no other list


@given(MATCHES, any_policies())
def test_no_enforcing_list_that_blocks_by_itself_has_a_stronger_basis_than_the_winner(found, lists):
    verdict = decide(found, lists)
    alone = {n: decide([m for m in found if m.list == n], lists) for n in NAMES}
    blocking = [v for v in alone.values() if v.action is not None]
    assert (verdict.action is not None) == bool(blocking)
    if verdict.action is not None:
        assert BASIS_STRENGTH[verdict.basis] == max(BASIS_STRENGTH[v.basis] for v in blocking)
        notify = lists.lists[verdict.list].notify
        assert verdict.ede == (None if notify is Notify.NONE else EDE_BY_BASIS[verdict.basis])
        assert alone[verdict.list].action is verdict.action
        assert lists.lists[verdict.list].mode is Mode.ENFORCE
        assert verdict.hit_cell is not None
    assert len(verdict.shadow_cells) == len(verdict.shadow) == len(set(verdict.shadow))
    assert all(lists.lists[n].mode is Mode.SHADOW for n in verdict.shadow)


@given(MATCHES, any_policies())
def test_a_set_decided_beforehand_is_the_decision(found, lists):
    rules = list(dict.fromkeys(m.rule for m in found))
    live = SimpleNamespace(table=FakeTable(tuple(range(len(rules)))), rules=rules)
    compiled = compile_verdicts(live, lists)
    index = array("I", compiled.index)
    for full in (False, True):
        assert compiled.verdicts[index[full]] == decide([Match(r, 3, full) for r in rules], lists).native()
