from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockd.audit.record import Entry, Event
from blockd.config.schema import ListPolicy, MaxChange
from blockd.control.candidates import Candidate
from blockd.control.judge import Change
from blockd.control.levers import Levers
from blockd.control.sources import Placement
from blockd.control.update import (
    Situation,
    changed_lists,
    compose,
    entries_about,
    entry_of_run,
    lapsed_kills,
    policy_digest,
    policy_entries,
    wanted_cells,
)
from blockd.table.rules import Rule
from blockd.terms import Action, Category, Instant, Kind, ListName, Mode, Notify, Result
from tests.control.feeds import config, meta
from tests.control.test_sources import source

A, B = ListName("f/a"), ListName("f/b")
NOW = Instant(1000.0)


@pytest.fixture
def home(tmp_path):
    return tmp_path


def situation(home, *entries, expires=None, **policy):
    return Situation(config(home, "a", "b", **policy), Levers.of(entries), expires or {})


def placed(*items):
    return {item.name: Placement(item) for item in items}


def test_what_is_fresh_replaces_what_was_and_the_order_is_the_configurations(home):
    wanted = compose(situation(home), placed(source("f/b", version=1), source("f/a", version=1)), {B: source("f/b", version=2)}, NOW)
    assert [(p.source.name, p.source.version) for p in wanted.values()] == [(A, 1), (B, 2)]


def test_a_list_that_nobody_configures_leaves(home):
    assert set(compose(situation(home), placed(source("f/c"), source("f/a")), {}, NOW)) == {A}


def test_a_list_that_is_off_leaves(home):
    assert not compose(situation(home, mode=Mode.OFF), placed(source("f/a")), {}, NOW)


def test_a_killed_list_is_out_and_can_come_back(home):
    kill = Entry(Event.KILLED, 1, A, until=2000)
    wanted = compose(situation(home, kill), placed(source("f/a"), source("f/b")), {}, NOW)
    assert {name: p.out for name, p in wanted.items()} == {A: "killed", B: None}
    assert compose(situation(home, kill), wanted, {}, Instant(2000.0))[A].out is None
    assert compose(situation(home, kill), wanted, {A: source("f/a", version=9)}, NOW)[A] == Placement(source("f/a", version=9), "killed")


@pytest.mark.parametrize(
    ("on_expiry", "known", "out"),
    [("keep", None, None), ("withdraw", None, "expired"), ("withdraw", 1001.0, None), ("withdraw", 1000.0, "expired"), ("keep", 5.0, None)],
)
def test_expired_signatures(home, on_expiry, known, out):
    expires = {A: Instant(known)} if known else {}
    wanted = compose(situation(home, expires=expires, on_expiry=on_expiry), placed(source("f/a", expires=Instant(900.0))), {}, NOW)
    assert wanted[A].out == out


@given(st.data())
def test_composing_again_changes_nothing(tmp_path_factory, data):
    home = tmp_path_factory.getbasetemp()
    versions = st.integers(1, 3)
    outs = st.sampled_from([None, "killed", "expired"])
    current = {n: Placement(source(n, version=data.draw(versions)), data.draw(outs)) for n in (A, B) if data.draw(st.booleans())}
    fresh = {n: source(n, version=data.draw(versions)) for n in (A, B) if data.draw(st.booleans())}
    kills = [Entry(Event.KILLED, 1, n, until=data.draw(st.sampled_from([500, 1500]))) for n in (A, B) if data.draw(st.booleans())]
    there = situation(home, *kills, on_expiry=data.draw(st.sampled_from(["keep", "withdraw"])))
    once = compose(there, current, fresh, NOW)
    assert compose(there, once, {}, NOW) == once
    assert not changed_lists(once, compose(there, once, fresh, NOW))


def test_every_action_that_the_configuration_may_make_of_a_row_has_a_counter(home):
    rules = [
        Rule(A, Kind.SUBTREE, Category.GAMBLING),
        Rule(A, Kind.EXACT, Category.FRAUD, Action.DROP),
        Rule(A, Kind.ALLOW_SUBTREE, Category.OTHER),
        Rule(A, Kind.URL, Category.MALWARE),
        Rule(A, Kind.URL_HOST, Category.MALWARE),
    ]
    keys = wanted_cells(config(home, "a", action=Action.STOP_PAGE), rules, {A: Action.REFUSED})
    assert {(k[1], k[2]) for k in keys} == {
        (Category.GAMBLING, Action.REFUSED),
        (Category.GAMBLING, Action.STOP_PAGE),
        (Category.GAMBLING, Action.NXDOMAIN),
        (Category.FRAUD, Action.DROP),
        (Category.FRAUD, Action.STOP_PAGE),
        (Category.FRAUD, Action.NXDOMAIN),
    }
    assert {k[4] for k in keys} == {False, True}


def entries(before, after, changes=None):
    modes = {A: Mode.ENFORCE, B: Mode.SHADOW}
    return entries_about(7, before, after, changes or {}, modes, NOW)


def test_the_record_says_what_a_generation_changes():
    change = Change(5, 2, 10, 13, 20, protected=1)
    after = source("f/a", version=2, rejected={"protected": 1, "label": 2}, entries=13)
    (entry,) = entries(placed(source("f/a"), source("f/b")), placed(after, source("f/b")), {A: change})
    assert entry == Entry(
        Event.APPLIED,
        1000,
        A,
        version=2,
        generation=7,
        sha256=after.sha256,
        entries=13,
        added=5,
        removed=2,
        rejected=3,
        protected=1,
        mode="enforce",
    )


def test_the_record_says_why_a_list_leaves_and_that_it_is_back():
    here, gone, killed = placed(source("f/a")), {}, {A: Placement(source("f/a"), "killed")}
    expired = {A: Placement(source("f/a"), "expired")}
    assert [(e.event, e.code) for e in entries(here, gone)] == [(Event.WITHDRAWN, "configuration")]
    assert [(e.event, e.code) for e in entries(here, expired)] == [(Event.WITHDRAWN, "expired")]
    assert [(e.event, e.version) for e in entries(expired, here)] == [(Event.APPLIED, 3)]
    assert entries(here, killed) == entries(killed, here) == []  # a person's entry says it
    assert entries(here, here) == []


def test_a_kill_that_has_run_out_is_recorded():
    levers = Levers.of([Entry(Event.KILLED, 1, A, until=1000), Entry(Event.KILLED, 1, B, until=1001)])
    assert lapsed_kills(levers, NOW) == [Entry(Event.RESUMED, 1000, A, code="lapsed")]


def test_only_a_policy_that_changed_is_recorded(home):
    first = policy_entries(config(home, "a", "b"), Levers(), NOW)
    assert [(e.list, e.mode) for e in first] == [(A, "enforce"), (B, "enforce")]
    levers = Levers.of(first)
    assert policy_entries(config(home, "a", "b"), levers, NOW) == []
    assert [(e.list, e.mode) for e in policy_entries(config(home, "a"), levers, NOW)] == [(B, "absent")]
    levers = Levers.of([*first, *policy_entries(config(home, "a"), levers, NOW)])
    assert policy_entries(config(home, "a"), levers, NOW) == []
    assert [e.list for e in policy_entries(config(home, "a", mode=Mode.SHADOW), levers, NOW)] == [A]


@pytest.mark.parametrize(
    "change",
    [
        {"mode": Mode.SHADOW}, {"action": Action.DROP}, {"on_expiry": "withdraw"}, {"notify": Notify.NONE}, {"notify_basis": "Act 1 §2"},
        {"max_change": MaxChange(floor=51)}, {"max_change": MaxChange(add=0.26)},
    ],
)  # fmt: skip
def test_everything_that_an_operator_decides_is_in_the_digest(change):
    policy = ListPolicy(A, mode=Mode.ENFORCE)
    assert policy_digest(replace(policy, **change)) != policy_digest(policy)
    assert policy_digest(replace(policy, name=B)) == policy_digest(policy)


def test_what_the_record_says_of_a_run_that_changed_nothing():
    assert entry_of_run(A, Candidate(Result.APPLIED), Result.APPLIED, NOW) is None
    assert entry_of_run(A, Candidate(Result.NOT_MODIFIED), Result.NOT_MODIFIED, NOW) == Entry(Event.UNCHANGED, 1000, A)
    assert entry_of_run(A, Candidate(Result.SIGNATURE, "secret text"), Result.SIGNATURE, NOW) == Entry(
        Event.REFUSED, 1000, A, code="signature"
    )
    held = source("f/a", meta=meta(), version=9)
    entry = entry_of_run(A, Candidate(Result.CHANGE_CAP, "x", held=held, change=Change(5, 0, 1, 6, 6)), Result.CHANGE_CAP, NOW)
    assert (entry.event, entry.version, entry.sha256, entry.added, entry.code) == (Event.HELD, 9, held.sha256, 5, "change_cap")
