from __future__ import annotations

import pytest

from blockd.audit.record import Entry, Event
from blockd.control.alarms import of_lists
from blockd.control.levers import Levers
from blockd.control.outcomes import History
from blockd.control.sources import Placement
from blockd.control.update import Situation
from blockd.terms import Instant, ListName, Mode, Result
from tests.control.feeds import config
from tests.control.test_sources import source

A = ListName("f/a")
NOW = Instant(1000.0)


def codes(home, *entries, item=None, held=None, history=None, expires=None, **policy):
    there = Situation(config(home, "a", **policy), Levers.of(entries), expires or {})
    placements = {A: Placement(item)} if item else {}
    found = list(of_lists(there, placements, {A: held} if held else {}, {A: history} if history else {}, NOW))
    assert all("\n" not in alarm.text and "f/a" in alarm.text for alarm in found)
    return [alarm.code for alarm in found]


GOOD = {"rejected": {}, "expires": Instant(2000.0)}


def test_nothing_to_say(tmp_path):
    assert codes(tmp_path, item=source(**GOOD), history=History(Result.APPLIED)) == []


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"item": source(**{**GOOD, "rejected": {"protected": 2}})}, "protected_rows"),
        ({"item": source(**{**GOOD, "expires": Instant(999.0)})}, "list_expired"),
        ({"held": source(**GOOD)}, "list_held"),
        ({"history": History(Result.SIGNATURE)}, "list_refused"),
        ({"history": History(Result.FETCH)}, "list_unreachable"),
        ({"history": History(Result.HELD)}, "update_failed"),
    ],
)
def test_each_alarm(tmp_path, facts, code):
    assert codes(tmp_path, **facts) == [code]
    assert codes(tmp_path, **facts, mode=Mode.OFF) == []


def test_what_waits_for_a_person_is_no_failure(tmp_path):
    history = History(Result.HELD)
    assert codes(tmp_path, held=source(**GOOD), history=history) == ["list_held"]
    assert codes(tmp_path, Entry(Event.HOLD, 1, A), history=history) == ["list_hold"]


def test_levers_are_shown(tmp_path):
    assert codes(tmp_path, Entry(Event.HOLD, 1, A)) == ["list_hold"]
    assert codes(tmp_path, Entry(Event.KILLED, 1, A, until=2000)) == ["list_killed"]
    assert codes(tmp_path, Entry(Event.KILLED, 1, A, until=999)) == []


def test_newer_metadata_counts_for_expiry(tmp_path):
    item = source(**{**GOOD, "expires": Instant(999.0)})
    assert codes(tmp_path, item=item, expires={A: Instant(1500.0)}) == []
    assert codes(tmp_path, item=item, expires={A: Instant(900.0)}, on_expiry="withdraw") == ["list_expired"]
