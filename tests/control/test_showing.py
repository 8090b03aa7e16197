from __future__ import annotations

from blockd.admin.facts import AuditFacts, TableFacts
from blockd.audit.record import Entry, Event
from blockd.control.levers import Levers
from blockd.control.outcomes import History
from blockd.control.showing import Shown, show
from blockd.control.sources import Placement
from blockd.control.update import Situation
from blockd.terms import Action, Instant, ListName, Mode, Result
from tests.control.feeds import config
from tests.control.test_sources import source

A = ListName("f/a")
NOW = Instant(1000.0)


def shown(home, *entries, placed=None, waiting=None, history=None, **policy):
    there = Situation(config(home, "a", **policy), Levers.of(entries))
    of_list = [{A: item} if item else {} for item in (placed, waiting, history)]
    state = show(Shown(there, *of_list, TableFacts(4), AuditFacts("o", 9), {}, {"disk": "full"}), NOW)
    assert (state.table.generation, state.audit.size, state.alarms[0].code) == (4, 9, "disk")
    return state.lists[0]


def test_a_list_that_was_never_seen(tmp_path):
    facts = shown(tmp_path)
    assert (facts.state, facts.version, facts.entries, facts.last_result, facts.basis) == ("none", 0, 0, None, None)


def test_a_live_list(tmp_path):
    facts = shown(
        tmp_path,
        placed=Placement(source(enforceable={"dns": 10})),
        history=History(Result.APPLIED, Instant(5.0), Instant(3e9)),
        action=Action.DROP,
    )
    assert (facts.state, facts.version, facts.entries, facts.mode, facts.action) == ("live", 3, 10, Mode.ENFORCE, Action.DROP)
    assert facts.rejected == {"protected": 1, "character": 2}
    assert (facts.last_success, facts.expires) == (5.0, 3e9)


def test_a_version_that_waits_before_any_is_live(tmp_path):
    facts = shown(tmp_path, waiting=source(version=1))
    assert (facts.state, facts.version, facts.rejected) == ("held", 0, {"protected": 1, "character": 2})


def test_a_version_that_waits_beside_a_live_one(tmp_path):
    facts = shown(tmp_path, placed=Placement(source(version=3)), waiting=source(version=4))
    assert (facts.state, facts.version) == ("held", 3)


def test_a_killed_list_says_so(tmp_path):
    facts = shown(tmp_path, Entry(Event.KILLED, 1, A, until=2000), placed=Placement(source(), "killed"))
    assert (facts.state, facts.mode, facts.version) == ("held", Mode.OFF, 3)


def test_an_expired_list_that_was_withdrawn_is_not_live(tmp_path):
    assert shown(tmp_path, placed=Placement(source(), "expired")).state == "none"
