"""The updater on damaged or lost state, and with workers that are late."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import replace

import pytest

from blockd.audit.record import Event
from blockd.config.schema import ListPolicy
from blockd.control.generations import Generations
from blockd.control.updater import Updater
from blockd.errors import Corrupt, Unavailable
from blockd.table import build
from blockd.terms import Instant, ListName, Mode, Result
from tests.control.feeds import rows
from tests.control.node import A, Node

pytestmark = pytest.mark.usefixtures("few_rails")


def test_workers_that_do_not_confirm_are_told_again(node):
    node.feed.publish("a", rows(1))
    node.late = ["resolver: no answer within 30 s"]
    node.start().update()
    assert Event.ACTIVATED not in node.events()
    node.updater.tick()
    assert node.told == [1]
    node.late = []
    node.clock.now += 11
    node.updater.tick()
    assert node.told == [1, 1]
    assert node.events()[-1] is Event.ACTIVATED
    node.clock.now += 11
    node.updater.tick()
    assert node.told == [1, 1]


def test_a_generation_that_a_worker_has_is_not_removed(node):
    node.start()
    node.used = {1}
    for n in range(1, 9):
        node.feed.publish("a", rows(n))
        node.update()
    assert node.updater._generations.numbers() == [1, 4, 5, 6, 7, 8]


def test_a_damaged_compiled_list_is_fetched_again_with_the_next_update(tmp_path):
    node = Node(tmp_path, "a", "b").start()
    node.feed.publish("a", rows(1))
    node.feed.publish("b", "b.example\n")
    node.update()
    for path in (tmp_path / "state" / "lists" / "f" / "a").iterdir():
        path.write_bytes(path.read_bytes()[:-1] + b"\0")
    node.feed.publish("b", "b.example\nc.example\n")
    assert [o.result for o in node.update("f/b")] == [Result.APPLIED]
    assert node.blocks("n1.example")
    assert node.blocks("c.example")
    node.updater.close()


def test_a_damaged_compiled_list_that_can_not_be_fetched_holds_the_rest(tmp_path):
    node = Node(tmp_path, "a", "b").start()
    node.feed.publish("a", rows(1))
    node.feed.publish("b", "b.example\n")
    node.update()
    shutil.rmtree(tmp_path / "state" / "lists" / "f" / "a")
    shutil.rmtree(node.feed.folder)  # what was downloaded is lost too
    saved = node.feed.lists.pop("a")
    node.feed.publish("b", "b.example\nc.example\n")
    outcome = node.update("f/b")[0]
    assert outcome.result is Result.HELD
    assert node.blocks("n1.example")
    node.feed.lists["a"] = saved
    node.clock.now += 61
    node.updater.tick()
    assert [o.result for o in node.update()] == [Result.NOT_MODIFIED, Result.APPLIED]
    assert node.blocks("c.example")
    node.updater.close()


def test_a_damaged_compiled_list_is_made_again_from_what_was_downloaded(tmp_path):
    """The feed is down, a compiled file is lost: the kill of another list must not wait for the feed."""
    node = Node(tmp_path, "a", "b").start()
    node.feed.publish("a", rows(1))
    node.feed.publish("b", "b.example\n")
    node.update()
    shutil.rmtree(tmp_path / "state" / "lists" / "f" / "a")
    node.feed.fails = Unavailable("down")
    node.updater.kill(ListName("f/b"), Instant(node.clock.now + 3600), "alice", "why")
    node.updater.tick()
    node.updater.tick()
    assert not node.blocks("b.example")
    assert node.blocks("n1.example")
    node.updater.close()


def test_a_lost_key_costs_a_compilation_and_nothing_else(node):
    node.feed.publish("a", rows(1))
    node.start().update()
    node.updater.close()
    (node.home / "state" / "table.key").unlink()
    node.start()
    assert "generation_damaged" in node.alarms()
    assert node.update()[0].result is Result.APPLIED
    assert node.blocks("n1.example")
    assert node.list().version == 1


def test_a_key_that_cannot_be_read_stops_the_start(node):
    node.feed.publish("a", rows(1))
    node.start().update()
    node.updater.close()
    (node.home / "state" / "table.key").write_bytes(b"short")
    with pytest.raises(Corrupt, match=r"table\.key"):
        Updater(node.config, open_feed=lambda *_: node.feed)
    node.updater = None


def test_two_at_once(node):
    node.start()
    with pytest.raises(Unavailable, match="another process"):
        Updater(node.config, open_feed=lambda *_: node.feed)


def test_a_changed_record_stops_updates_but_not_answers(node):
    node.feed.publish("a", rows(1))
    node.start().update()
    node.updater.close()
    path = node.home / "state" / "audit" / "entries.jsonl"
    path.write_text(path.read_text().replace('"applied"', '"refused"', 1))
    node.start()
    node.feed.publish("a", rows(1, 2))
    outcome = node.update()[0]
    assert (outcome.result, outcome.version) == (Result.HELD, 1)
    assert node.blocks("n1.example")
    assert not node.blocks("n2.example")
    assert "record_damaged" in node.alarms()
    with pytest.raises(Unavailable):
        node.updater.kill(A, Instant(node.clock.now + 60), "root", "x")
    node.updater.tick()


def test_a_record_that_the_disk_does_not_give_ends_nothing_and_is_tried_again(node, monkeypatch):
    node.feed.publish("a", rows(1))
    node.start().update()
    node.updater.kill(ListName("f/a"), Instant(node.clock.now + 86400), "alice", "why")
    node.feed.publish("a", rows(1, 2))
    with monkeypatch.context() as failing:
        failing.setattr("blockd.audit.store._replay", refuses(errno.EIO))
        node.restart()
        assert node.update()[0].result is Result.HELD
        for _ in range(2):
            node.updater.tick()
            node.clock.now += 61
        assert next(a.text for a in node.state.alarms if a.code == "record_damaged").count("Input/output error") == 1
    assert not node.blocks("n1.example"), "a kill ends with the record out of reach"
    node.updater.tick()
    assert "record_damaged" not in node.alarms()
    assert "list_killed" in node.alarms()
    assert node.update()[0].result is Result.APPLIED
    assert not node.blocks("n1.example")


def test_a_record_that_was_lost_is_begun_anew_with_what_is_in_force(node):
    node.feed.publish("a", rows(1))
    node.start().update()
    node.updater.close()
    shutil.rmtree(node.home / "state" / "audit")
    node.start()
    assert node.state.table.generation == 2
    assert node.events(A) == [Event.POLICY, Event.APPLIED]
    assert node.blocks("n1.example")


def forget_newest_list(node):
    """So that a generation cannot be built again."""
    for path in (node.home / "state" / "lists" / "f" / "a").glob("*.blkl"):
        path.unlink()


@pytest.mark.parametrize("starts", [1, 2])
def test_a_damaged_table_is_built_again_from_its_lists(node, starts):
    """The feed is out of reach; an older generation would unblock what the newer version added."""
    node.start()
    for last in (10, 65):
        node.feed.publish("a", rows(*range(last)))
        node.update()
        node.updater.approve(A, "alice", "why") if node.list().state == "held" else None
    assert node.blocks("n64.example")
    path = node.home / "state" / "generations" / "2" / "table.blkt"
    data = bytearray(path.read_bytes())
    data[-100:-96] = b"XXXX"
    path.write_bytes(data)
    node.feed.fails = Unavailable("down")
    node.told.clear()
    for _ in range(starts):
        node.restart()
        node.updater.tick()
        node.update()
    assert (node.state.table.generation, node.list().version) == (3, 2)
    assert node.blocks("n64.example")
    assert 1 not in node.told
    assert node.updater._recorder.levers.activated == 3
    assert ("generation_damaged" in node.alarms()) is (starts == 1)


def test_one_damaged_list_takes_no_other_back(tmp_path):
    node = Node(tmp_path, "a", "b").start()
    for last in (1, 2):
        node.feed.publish("a", rows(*range(last)))
        node.feed.publish("b", "".join(f"b{i}.example\n" for i in range(last)))
        node.update()
    os.truncate(node.home / "state" / "generations" / "2" / "table.blkt", 100)
    next(path for path in (node.home / "state" / "lists" / "f" / "a").glob("2-*")).unlink()
    node.feed.fails = Unavailable("down")
    node.restart()
    assert node.blocks("b1.example")
    assert node.blocks("n0.example")
    assert not node.blocks("n1.example")
    assert node.events(A)[-1] is Event.APPLIED  # the record says which version is enforced now
    node.feed.fails = None
    node.update()
    assert node.blocks("n1.example")
    node.updater.close()


def test_the_generation_in_force_is_damaged_and_its_lists_are(node):
    node.start()
    for n in (1, 2):
        node.feed.publish("a", rows(n))
        node.update()
    node.updater.close()
    os.truncate(node.home / "state" / "generations" / "2" / "table.blkt", 100)
    forget_newest_list(node)
    node.start()
    assert node.state.table.generation == 1
    assert node.blocks("n1.example")
    assert "generation_damaged" in node.alarms()
    assert node.update()[0].version == 2
    assert node.blocks("n2.example")
    assert "generation_damaged" not in node.alarms()


def test_a_list_without_its_feed(tmp_path):
    node = Node(tmp_path)
    node.config = replace(node.config, lists=(ListPolicy(ListName("gone/a"), mode=Mode.ENFORCE),))
    outcome = node.start().update()[0]
    assert (outcome.result, outcome.detail) == (Result.FETCH, "there is no feed gone in the configuration")
    node.updater.close()


def test_more_counters_than_there_is_room_for_hold_that_list_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("blockd.counts.cells.CELLS", 388)  # room for four beside the fixed ones
    node = Node(tmp_path, "a", "b", "c").start()
    for name in "abc":
        node.feed.publish(name, f"{name}.example\n")
    assert [o.result for o in node.update()] == [Result.APPLIED, Result.APPLIED, Result.HELD]
    assert node.blocks("b.example")
    node.updater.close()


def refuses(number):
    def work(*_, **__):
        raise OSError(number, os.strerror(number))

    return work


def test_a_full_disk_at_the_start_takes_nothing_out_of_force(node, monkeypatch):
    """The record has generation 2, `current` could not be moved to it, and cannot be now: 1 stays, whole; 2 is finished when there is room."""
    node.feed.publish("a", rows(1))
    node.start().update()
    node.feed.publish("a", rows(1, 2))
    with monkeypatch.context() as full:
        full.setattr(Generations, "activate", refuses(errno.ENOSPC))
        node.update()
        node.restart()
        assert node.blocks("n1.example")
        assert not node.blocks("n2.example")
        assert node.state.table.generation == 1
        assert "disk" in node.alarms()
        node.clock.now += 61
        node.updater.tick()
        assert "disk" in node.alarms()
    node.clock.now += 61
    node.updater.tick()
    assert node.blocks("n2.example")
    assert node.alarms() == ["update_failed"]  # the last run, until there is another
    assert node.told[-1] == 2
    node.update()
    assert node.alarms() == []


def test_a_disk_that_fails_to_read_costs_no_generation(node, monkeypatch):
    node.feed.publish("a", rows(1))
    node.start().update()
    with monkeypatch.context() as failing:
        failing.setattr("blockd.control.generations.table_digest", refuses(errno.EIO))
        node.restart()
        assert "generation_damaged" in node.alarms()
    assert node.blocks("n1.example")


def test_workers_leave_a_damaged_generation_with_control(node):
    """They have mapped generation 2 and cannot know that it is damaged: they are told to answer from 1 again, and the record says so."""
    for last in (1, 2):
        node.feed.publish("a", rows(*range(1, last + 1)))
        (node.updater or node.start().updater).update()
    path = node.config.state_dir / "generations" / "2" / "table.blkt"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    node.told.clear()
    forget_newest_list(node)
    node.restart()
    node.updater.tick()
    assert node.told == [1]
    assert node.updater._recorder.levers.activated == 1
    node.clock.now += 11
    node.updater.tick()
    assert node.told == [1]


def test_lists_that_do_not_fit_a_table_hold_that_list_alone(tmp_path, monkeypatch):
    """A list that makes more combinations of rules than a table holds must not stop the updates of all others, again and again."""
    node = Node(tmp_path, "a", "b")
    node.feed.publish("a", rows(1))
    node.feed.publish("b", rows(2))
    native = build.build_table

    def full(path, key, lists, rules, kinds):
        if b"f/b" in rules:
            raise ValueError("too many combinations of rules")
        return native(path, key, lists, rules, kinds)

    monkeypatch.setattr(build, "build_table", full)
    assert [o.result for o in node.start().update()] == [Result.APPLIED, Result.HELD]
    assert node.blocks("n1.example")
    node.updater.close()
