"""What people and time bring about: approve, hold, resume, rollback, kill, expiry, another configuration."""

from __future__ import annotations

from dataclasses import replace

import pytest

from blockd.audit.record import Event
from blockd.config.schema import ListPolicy, MaxChange
from blockd.errors import Refused
from blockd.terms import Action, Category, Format, Instant, Mode, Result
from tests.control.feeds import config, rows
from tests.control.node import A, B, Node

pytestmark = pytest.mark.usefixtures("few_rails")


def test_a_change_over_the_cap_waits_for_a_person(node):
    node.feed.publish("a", rows(*range(100)))
    node.start().update()
    node.feed.publish("a", rows(1))
    first, again = node.update()[0], node.update()[0]
    assert first.result is again.result is Result.CHANGE_CAP
    assert "removes 99 entries" in first.detail
    assert node.blocks("n50.example")
    assert node.events(A).count(Event.HELD) == 1
    node.restart()
    assert node.list().state == "held"
    assert node.updater.approve(A, "alice", "the hotline confirmed it").result is Result.APPLIED
    assert not node.blocks("n50.example")
    assert (node.list().state, node.list().last_result) == ("live", Result.APPLIED)
    assert node.update()[0].result is Result.NOT_MODIFIED
    assert "list_held" not in node.alarms()


def test_an_approval_is_of_that_version_alone(node):
    node.feed.publish("a", rows(*range(100)))
    node.start().update()
    node.feed.publish("a", rows(1))
    node.update()
    node.feed.publish("a", rows(2))
    assert node.update()[0].result is Result.CHANGE_CAP
    assert node.updater.approve(A, "root", "x").version == 3
    assert node.blocks("n2.example")
    assert not node.blocks("n1.example")


def test_a_newer_version_within_the_cap_overtakes_one_that_is_held(node):
    node.feed.publish("a", rows(*range(100)))
    node.start().update()
    node.feed.publish("a", rows(1))
    node.update()
    node.feed.publish("a", rows(*range(101)))
    assert node.update()[0].result is Result.APPLIED
    assert node.list().state == "live"
    with pytest.raises(Refused, match="waits"):
        node.updater.approve(A, "root", "x")


def test_a_raised_cap_lets_a_held_version_through(node):
    node.feed.publish("a", rows(*range(100)))
    node.start().update()
    node.feed.publish("a", rows(1))
    node.update()
    node.updater.reconfigure(config(node.home, "a", max_change=MaxChange(1.0, 1.0, 0)))
    assert node.update()[0].result is Result.APPLIED


def test_hold_and_resume(node):
    node.feed.publish("a", rows(1))
    node.start().update()
    assert node.updater.hold(A, "root", "wait").ok
    node.feed.publish("a", rows(1, 2))
    outcome = node.update()[0]
    assert (outcome.result, outcome.version) == (Result.HELD, 1)
    assert "resume f/a" in outcome.detail
    assert node.restart().list().state == "held"
    assert node.update()[0].result is Result.HELD
    node.updater.resume(A, "root", "go on")
    assert node.update()[0].version == 2
    with pytest.raises(Refused, match="neither held nor killed"):
        node.updater.resume(A, "root", "again")


def test_rollback_brings_back_the_version_before_and_holds_it_there(node):
    node.start()
    for n in (1, 2, 3):
        node.feed.publish("a", rows(n))
        node.update()
    outcome = node.updater.rollback(A, "root", "3 is wrong")
    assert (outcome.result, outcome.version, outcome.generation) == (Result.APPLIED, 2, 4)
    assert node.blocks("n2.example")
    assert not node.blocks("n3.example")
    assert node.update()[0].result is Result.HELD
    assert node.updater.rollback(A, "root", "2 as well").version == 1
    with pytest.raises(Refused, match="no earlier version"):
        node.updater.rollback(A, "root", "more")
    node.updater.resume(A, "root", "mended")
    assert node.update()[0].version == 3


def test_a_kill_switch_ends_by_itself(tmp_path):
    node = Node(tmp_path, "a", "b").start()
    node.feed.publish("a", rows(1))
    node.feed.publish("b", "b.example\n")
    node.update()
    until = Instant(node.clock.now + 3600)
    assert node.updater.kill(A, until, "root", "blocks a bank").ok
    assert not node.blocks("n1.example")
    assert node.blocks("b.example")
    assert (node.list().mode, node.list().state) == (Mode.OFF, "held")
    node.feed.publish("a", rows(1, 2))
    assert node.update("f/a")[0].version == 2  # it is kept up to date meanwhile
    node.restart()
    assert not node.blocks("n2.example")
    node.clock.now += 3599
    node.updater.tick()
    assert not node.blocks("n1.example")
    node.clock.now += 1
    node.updater.tick()
    assert node.blocks("n2.example")
    assert (node.list().mode, node.list().state) == (Mode.ENFORCE, "live")
    assert node.events(A)[-2:] == [Event.APPLIED, Event.RESUMED] or node.events(A)[-1] is Event.RESUMED
    size = node.state.audit.size
    node.updater.tick()
    node.restart()
    assert node.state.audit.size == size
    node.updater.close()


def test_a_kill_switch_ends_while_the_daemon_is_down(node):
    node.feed.publish("a", rows(1))
    node.start().update()
    node.updater.kill(A, Instant(node.clock.now + 60), "root", "x")
    node.clock.now += 61
    node.restart()
    assert node.blocks("n1.example")


def test_resume_ends_a_kill_at_once(node):
    node.feed.publish("a", rows(1))
    node.start().update()
    node.updater.kill(A, Instant(node.clock.now + 3600), "root", "x")
    node.updater.resume(A, "root", "it was not this list")
    assert node.blocks("n1.example")


@pytest.mark.parametrize("on_expiry", ["keep", "withdraw"])
def test_expired_signatures(tmp_path, on_expiry):
    node = Node(tmp_path, on_expiry=on_expiry)
    node.feed.publish("a", rows(1), expires=Instant(node.clock.now + 100))
    node.start().update()
    node.feed.fails = Refused("expired", "the publisher must sign it again")
    node.clock.now += 101
    node.updater.tick()
    node.update()
    assert node.blocks("n1.example") == (on_expiry == "keep")
    assert "list_expired" in node.alarms()
    node.feed.fails = None
    node.feed.lists["a"].expires = Instant(node.clock.now + 100)
    node.update()
    node.updater.tick()
    assert node.blocks("n1.example")
    assert "list_expired" not in node.alarms()
    node.updater.close()


def test_rows_that_run_out_by_their_own_date_leave_without_a_person(node):
    node.config = config(node.home, "a", max_change=MaxChange(0.0, 0.0, 0))
    text = "entry,category,note,expires\nsoon.example,,,2027-01-15T08:00:10Z\nlater.example,,,2027-01-16\nstays.example,,,\n"
    node.feed.publish("a", text, format=Format.CSV)
    assert node.start().update()[0].ok
    assert node.blocks("soon.example")
    node.clock.now += 5
    node.updater.tick()
    assert node.blocks("soon.example")
    node.clock.now += 5
    node.updater.tick()
    assert not node.blocks("soon.example")
    assert node.blocks("later.example")
    assert node.blocks("stays.example")
    assert node.list().rejected == {"expired": 1}


def test_a_list_that_is_no_longer_configured_leaves_and_the_record_says_why(tmp_path):
    node = Node(tmp_path, "a", "b").start()
    node.feed.publish("a", rows(1))
    node.feed.publish("b", "b.example\n")
    node.update()
    node.updater.reconfigure(config(tmp_path, "b"))
    assert not node.blocks("n1.example")
    assert node.blocks("b.example")
    assert Event.WITHDRAWN in node.events(A)
    assert [item.name for item in node.state.lists] == [B]
    node.updater.close()


def test_an_action_that_the_counters_do_not_know_gets_its_own(node):
    node.feed.publish("a", rows(1))
    node.start().update()
    before = dict(node.state.cells)
    node.updater.reconfigure(config(node.home, "a", action=Action.DROP))
    after = node.state.cells
    assert before.items() <= after.items()
    assert (A, Category.GAMBLING, Action.DROP, "dns", False) in after
    number = node.state.table.generation
    node.updater.tick()
    assert node.state.table.generation == number


def test_lists_that_are_off_are_not_asked_for(tmp_path):
    node = Node(tmp_path)
    node.config = replace(node.config, lists=(ListPolicy(A, mode=Mode.OFF),))
    node.feed.publish("a", rows(1))
    assert node.start().update() == []
    assert node.feed.refreshed == 0
    node.updater.close()


def test_a_version_whose_signatures_expired_while_it_waited_is_not_let_go_live(node):
    node.feed.publish("a", rows(*range(100)))
    node.start().update()
    node.feed.publish("a", rows(*range(1000)), expires=Instant(node.clock.now + 86400))
    assert node.update()[0].result is Result.CHANGE_CAP
    node.clock.now += 86401
    size = node.state.audit.size
    with pytest.raises(Refused, match="have expired while it waited") as refused:
        node.updater.approve(A, "alice", "looked at")
    assert refused.value.reason == "expired"
    assert not node.blocks("n999.example")
    node.updater.tick()
    assert node.state.audit.size == size
