"""The decision, rule by rule of the table in policy/verdict.py, and its properties over any lists and matches."""

from __future__ import annotations

from array import array
from pathlib import Path

import pytest

from blockd.config.schema import Config, ListPolicy, StopPage
from blockd.control.live import LiveGeneration, LiveList
from blockd.policy.verdict import (
    ACTION_NUMBERS,
    Verdict,
    compile_verdicts,
    decide,
    enforceable,
    explain,
    matches_of,
    next_change,
    resolve,
    word,
)
from blockd.table.lookup import Match
from blockd.table.rules import Rule
from blockd.terms import Action, Basis, Category, Instant, Kind, Mode, Notify, Stage
from tests.policy.values import COURT, HOTLINE, OWN, TRIAL, FakeTable, match, policies, policy

# Which entries speak


def test_a_subtree_entry_covers_the_name_and_what_is_below_it():
    lists = policies(policy(OWN))
    assert decide([match(OWN, full=True)], lists).action is Action.NXDOMAIN
    assert decide([match(OWN, full=False)], lists).action is Action.NXDOMAIN


def test_an_exact_entry_covers_that_name_alone():
    lists = policies(policy(OWN))
    assert decide([match(OWN, Kind.EXACT, full=True)], lists).action is Action.NXDOMAIN
    assert decide([match(OWN, Kind.EXACT, full=False)], lists).action is None


@pytest.mark.parametrize("kind", [Kind.URL, Kind.URL_HOST])
def test_a_url_entry_never_escalates_to_its_domain(kind):
    assert decide([match(OWN, kind)], policies(policy(OWN))) == Verdict()


def test_a_url_entry_speaks_where_urls_are_seen():
    lists = policies(policy(OWN))
    assert decide([match(OWN, Kind.URL)], lists, Stage.HTTP).action is Action.NXDOMAIN
    assert decide([match(OWN, Kind.URL_HOST)], lists, Stage.HTTP).action is None


# What one list says


@pytest.mark.parametrize(
    ("entries", "action"),
    [
        ([(Kind.SUBTREE, 2), (Kind.ALLOW_SUBTREE, 3)], None),
        ([(Kind.ALLOW_SUBTREE, 2), (Kind.SUBTREE, 3)], Action.NXDOMAIN),
        ([(Kind.SUBTREE, 2), (Kind.ALLOW_SUBTREE, 3), (Kind.SUBTREE, 4)], Action.NXDOMAIN),
        ([(Kind.SUBTREE, 3), (Kind.ALLOW_SUBTREE, 3)], None),
        ([(Kind.EXACT, 3), (Kind.ALLOW_EXACT, 3)], None),
        ([(Kind.EXACT, 3), (Kind.ALLOW_SUBTREE, 3)], Action.NXDOMAIN),
        ([(Kind.SUBTREE, 3), (Kind.ALLOW_EXACT, 3)], None),
    ],
)
def test_the_most_specific_entry_of_a_list_speaks_for_it(entries, action):
    deepest = max(depth for _, depth in entries)
    found = [match(OWN, kind, depth, full=depth == deepest) for kind, depth in entries]
    assert decide(found, policies(policy(OWN))).action is action


def test_an_exact_exception_does_not_reach_below_its_name():
    found = [match(OWN, Kind.SUBTREE, 2, full=False), match(OWN, Kind.ALLOW_EXACT, 3, full=False)]
    assert decide(found, policies(policy(OWN))).action is Action.NXDOMAIN


def test_an_allow_entry_exempts_from_its_own_list_only():
    found = [match(OWN, Kind.ALLOW_SUBTREE, 3), match(COURT, Kind.SUBTREE, 2)]
    assert decide(found, policies(policy(OWN), policy(COURT, 1))).list == COURT


# Which list wins


def test_enforce_before_shadow_whatever_the_basis():
    lists = policies(policy(COURT, 0, Mode.SHADOW, Basis.MANDATED), policy(OWN, 1, Mode.ENFORCE, Basis.SUBSCRIBER))
    verdict = decide([match(COURT), match(OWN)], lists)
    assert (verdict.list, verdict.ede, verdict.shadow) == (OWN, 17, (COURT,))


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        (Basis.OPERATOR, Basis.MANDATED, 16),
        (Basis.SUBSCRIBER, Basis.OPERATOR, 15),
        (Basis.SUBSCRIBER, Basis.MANDATED, 16),
        (Basis.SUBSCRIBER, Basis.SUBSCRIBER, 17),
    ],
)
def test_the_strongest_basis_gives_the_code(first, second, code):
    lists = policies(policy(OWN, 0, basis=first), policy(COURT, 1, basis=second))
    assert decide([match(OWN, depth=4), match(COURT, depth=2)], lists).ede == code


def test_then_the_most_specific_entry_then_the_order_of_the_configuration():
    lists = policies(policy(OWN, 0), policy(HOTLINE, 1))
    assert decide([match(OWN, depth=2, full=False), match(HOTLINE, depth=3)], lists).list == HOTLINE
    assert decide([match(OWN, depth=3), match(HOTLINE, Kind.EXACT, depth=3)], lists).list == HOTLINE
    assert decide([match(HOTLINE), match(OWN)], lists).list == OWN


# What is done, said and counted


@pytest.mark.parametrize(
    ("operator", "row", "publisher", "done"),
    [
        (None, None, Action.NODATA, Action.NODATA),
        (None, Action.DROP, Action.NODATA, Action.DROP),
        (Action.REFUSED, Action.DROP, Action.NODATA, Action.REFUSED),
        (Action.REFUSED, None, Action.NODATA, Action.REFUSED),
    ],
)
def test_the_operators_action_then_the_rows_then_the_publishers(operator, row, publisher, done):
    assert decide([match(OWN, action=row)], policies(policy(OWN, published=publisher, action=operator))).action is done


def test_a_stop_page_without_an_address_is_nxdomain():
    lists = policies(policy(OWN, published=Action.STOP_PAGE), stop_page=False)
    assert decide([match(OWN)], lists).action is Action.NXDOMAIN


@pytest.mark.parametrize(("notify", "ede"), [(Notify.FULL, 16), (Notify.CODE, 16), (Notify.NONE, None)])
def test_notify_none_silences_the_code(notify, ede):
    assert decide([match(COURT)], policies(policy(COURT, basis=Basis.MANDATED, notify=notify))).ede == ede


def test_notify_none_silences_the_page():
    lists = policies(policy(COURT, basis=Basis.MANDATED, published=Action.STOP_PAGE, notify=Notify.NONE))
    verdict = decide([match(COURT)], lists)
    assert (verdict.action, verdict.ede) == (Action.NXDOMAIN, None)


def test_one_hit_for_the_winner_and_one_shadow_hit_for_each_shadow_list():
    key = (Category.GAMBLING, Action.NXDOMAIN, "dns")
    cells = {(n, *key, shadow): 2 * i + shadow for i, n in enumerate((OWN, COURT, HOTLINE, TRIAL)) for shadow in (False, True)}
    lists = policies(policy(OWN, 0), policy(COURT, 1), policy(HOTLINE, 2, Mode.SHADOW), policy(TRIAL, 3, Mode.SHADOW), cells=cells)
    found = [match(n) for n in (TRIAL, HOTLINE, COURT, OWN)]
    verdict = decide(found, lists)
    assert (verdict.list, verdict.shadow) == (OWN, (HOTLINE, TRIAL))
    assert verdict.native() == (ACTION_NUMBERS[Action.NXDOMAIN], 15, 0, (5, 7))
    assert decide(found[:2], lists).native() == (0, -1, -1, (5, 7))


def test_a_hit_is_counted_under_what_was_asked_for_when_the_generation_knows_only_that():
    cells = {(OWN, Category.GAMBLING, Action.STOP_PAGE, "dns", False): 9}
    lists = policies(policy(OWN, published=Action.STOP_PAGE), cells=cells, stop_page=False)
    assert decide([match(OWN)], lists).hit_cell == 9
    assert decide([match(OWN, category=Category.FRAUD)], lists).hit_cell is None


@pytest.mark.parametrize("mode", [Mode.OFF, None])
def test_a_list_that_is_off_or_left_out_says_nothing(mode):
    lists = policies(*([policy(OWN, mode=mode)] if mode else []))
    assert decide([match(OWN)], lists) == Verdict()


def test_a_verdict_for_nothing_is_nothing():
    assert decide([], policies()).native() == (0, -1, -1, ())


# From a generation and a configuration


def generation(rules=(), sets=(), cells=None, **published):
    lists = {
        n: LiveList(
            n,
            1,
            Basis.MANDATED if n == COURT else Basis.OPERATOR,
            Category.GAMBLING,
            published.get("action", Action.NXDOMAIN),
            False,
            None,
            1,
        )
        for n in {r.list for r in rules}
    }
    return LiveGeneration(7, FakeTable(*sets), b"k" * 16, lists, rules, cells or {})


def config(*lists, addresses=("192.0.2.80",)):
    return Config(Path("blockd.toml"), lists=tuple(lists), stop_page=StopPage(addresses=addresses))


def test_resolve_brings_publisher_operator_and_switches_together():
    live = generation([Rule(COURT, Kind.SUBTREE, Category.GAMBLING), Rule(OWN, Kind.SUBTREE, Category.GAMBLING)])
    cfg = config(ListPolicy(OWN, Mode.ENFORCE, Action.DROP), ListPolicy(COURT, Mode.SHADOW, notify=Notify.CODE), ListPolicy(TRIAL))
    found = resolve(live, cfg, {OWN: Instant(100.0)}, Instant(99.0)).lists
    assert found[OWN] == policy(OWN, 0, Mode.OFF, action=Action.DROP)
    assert found[COURT] == policy(COURT, 1, Mode.SHADOW, Basis.MANDATED, notify=Notify.CODE)
    assert TRIAL not in found  # never loaded


@pytest.mark.parametrize(("now", "mode"), [(99.0, Mode.OFF), (100.0, Mode.ENFORCE), (101.0, Mode.ENFORCE)])
def test_a_kill_ends_at_its_instant(now, mode):
    live = generation([Rule(OWN, Kind.SUBTREE, Category.GAMBLING)])
    assert resolve(live, config(ListPolicy(OWN, Mode.ENFORCE)), {OWN: Instant(100.0)}, Instant(now)).lists[OWN].mode is mode


def test_next_change():
    killed = {OWN: Instant(100.0), COURT: Instant(50.0)}
    assert [next_change(killed, Instant(now)) for now in (0.0, 50.0, 100.0)] == [50.0, 100.0, None]


def test_resolve_sees_whether_there_is_a_stop_page():
    live = generation()
    assert resolve(live, config(), {}, Instant(0.0)).stop_page
    assert not resolve(live, config(addresses=()), {}, Instant(0.0)).stop_page


def test_compile_decides_every_set_for_the_name_and_below_it():
    rules = [
        Rule(OWN, Kind.SUBTREE, Category.GAMBLING),
        Rule(OWN, Kind.EXACT, Category.GAMBLING),
        Rule(OWN, Kind.URL_HOST, Category.GAMBLING),
    ]
    rules.append(Rule(COURT, Kind.SUBTREE, Category.GAMBLING, Action.DROP))
    live = generation(rules, [(0,), (1,), (2,), (0, 3), (1, 3)])
    lists = resolve(live, config(ListPolicy(OWN, Mode.ENFORCE), ListPolicy(COURT, Mode.ENFORCE)), {}, Instant(0.0))
    compiled = compile_verdicts(live, lists)
    index = array("I", compiled.index)
    said = [(compiled.verdicts[index[2 * s]][:2], compiled.verdicts[index[2 * s + 1]][:2]) for s in range(5)]
    none, own, court = (0, -1), (2, 15), (5, 16)
    assert said == [(own, own), (none, own), (none, none), (court, court), (court, court)]
    assert len(compiled.verdicts) == len(set(compiled.verdicts)) == 3


@pytest.mark.parametrize(("mode", "marks"), [(Mode.ENFORCE, b"\1\0"), (Mode.SHADOW, b"\0\0"), (Mode.OFF, b"\0\0")])
def test_hosts_of_url_entries_are_marked_for_enforced_lists_only(mode, marks):
    live = generation([Rule(OWN, Kind.URL_HOST, Category.GAMBLING), Rule(COURT, Kind.SUBTREE, Category.GAMBLING)], [(0, 1), (1,)])
    lists = resolve(live, config(ListPolicy(OWN, mode), ListPolicy(COURT, Mode.ENFORCE)), {}, Instant(0.0))
    assert compile_verdicts(live, lists).url_hosts == marks


def test_compile_of_an_empty_table():
    assert compile_verdicts(generation(), resolve(generation(), config(), {}, Instant(0.0))).index == b""


def test_matches_of_unfolds_sets():
    rules = [Rule(OWN, Kind.SUBTREE, Category.GAMBLING), Rule(COURT, Kind.SUBTREE, Category.GAMBLING)]
    live = generation(rules, [(0,), (0, 1)])
    assert matches_of(live, [(1, False), (0, True)]) == [
        Match(rules[0], 1, full=False),
        Match(rules[1], 1, full=False),
        Match(rules[0], 2, full=True),
    ]


# For people


def test_explain_says_every_match_and_what_is_enforceable():
    lists = policies(policy(COURT, 0, basis=Basis.MANDATED), policy(OWN, 1, Mode.SHADOW, published=Action.STOP_PAGE))
    found = [
        match(OWN),
        match(OWN, Kind.URL),
        match(OWN, Kind.ALLOW_EXACT),
        match(COURT, full=False),
        match(OWN, Kind.EXACT, full=False),
        match(TRIAL),
    ]
    rows = explain(found, lists, lambda m: 10 + m.kind, scheme="https")
    assert [(r["list"], r["entry"], r["action"], r["mode"], r["enforceable"]) for r in rows] == [
        (COURT, 11, "nxdomain", "enforce", "dns"),
        (OWN, 13, "stop_page", "shadow", "unenforceable"),
        (OWN, 15, "allow", "shadow", "dns"),
        (OWN, 11, "stop_page", "shadow", "dns"),
        (TRIAL, 11, "nxdomain", "off", "dns"),
    ]
    assert rows[0] == {
        "list": COURT,
        "entry": 11,
        "action": "nxdomain",
        "mode": "enforce",
        "basis": "mandated",
        "category": "gambling",
        "enforceable": "dns",
    }


def test_enforceable():
    assert enforceable(match(OWN)) == "dns"
    assert enforceable(match(OWN, Kind.URL), "http") == "http_path"
    assert enforceable(match(OWN, Kind.URL), "https") == "unenforceable"


def test_the_verdict_in_a_word():
    lists = policies(policy(OWN), policy(TRIAL, 1, Mode.SHADOW))
    assert word([match(OWN)], lists) == "block"
    assert word([match(OWN, Kind.ALLOW_SUBTREE)], lists) == "allow"
    assert word([match(TRIAL)], lists) == "none"
    assert word([], lists) == "none"
