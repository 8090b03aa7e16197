"""The updater as its callers see it. What a crash or a full disk does to it is in test_crashes.py."""

from __future__ import annotations

import logging

import pytest

from blockd.audit.record import Event
from blockd.errors import Corrupt, Misconfigured, Refused, Unavailable
from blockd.feeds.own_disk import DiskRefuses
from blockd.terms import Category, Format, Result
from tests.control.feeds import rows
from tests.control.node import A, Node

pytestmark = pytest.mark.usefixtures("few_rails")


def test_a_list_goes_live_and_is_unchanged_then(node):
    node.feed.publish("a", rows(1, 2))
    outcome = node.start().update()[0]
    assert outcome.json() == {"list": "f/a", "result": "applied", "generation": 1, "version": 1, "detail": ""}
    assert node.blocks("n1.example")
    assert node.told == [1]
    assert [kind.name for kind in node.expected[0]] == [A]
    assert node.update()[0].result is Result.NOT_MODIFIED
    assert (node.list().state, node.list().updates) == ("live", {Result.APPLIED: 1, Result.NOT_MODIFIED: 1})
    assert node.told == [1]


def test_the_record_says_it_before_it_acts_and_when_all_answer_from_it(node):
    node.feed.publish("a", rows(1))
    node.start().update()
    assert node.events()[-4:] == [Event.POLICY, Event.APPLIED, Event.GENERATION, Event.ACTIVATED]


def test_several_lists_are_one_generation(tmp_path):
    node = Node(tmp_path, "a", "b", "c").start()
    for name in "abc":
        node.feed.publish(name, f"{name}.example\n")
    assert {o.generation for o in node.update()} == {1}
    assert node.feed.refreshed == 1
    node.updater.close()


def test_one_bad_list_does_not_stop_the_others(tmp_path):
    node = Node(tmp_path, "a", "b").start()
    node.feed.publish("a", "<html>not a list</html>")
    node.feed.publish("b", "bingo.example\n")
    first, second = node.update()
    assert (first.result, second.result) == (Result.SHAPE, Result.APPLIED)
    assert node.blocks("bingo.example")
    assert node.list(A).state == "none"
    node.updater.close()


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (Refused("signature", "s"), Result.SIGNATURE),
        (Refused("rollback", "r"), Result.ROLLBACK),
        (Refused("expired", "e"), Result.EXPIRED),
        (Refused("shape", "s"), Result.SHAPE),
        (Refused("a new word", "s"), Result.SHAPE),
        (Unavailable("u"), Result.FETCH),
        (Corrupt("c"), Result.FETCH),
        (OSError(28, "No space left on device"), Result.HELD),
        (DiskRefuses("our own state cannot be written"), Result.HELD),
        (Misconfigured("the age identity file holds no key"), Result.HELD),
    ],
)
def test_a_feed_that_fails_changes_nothing_and_is_recorded_once(node, error, result):
    node.feed.publish("a", rows(1))
    node.start().update()
    node.feed.fails = error
    size = node.state.audit.size
    assert [node.update()[0].result for _ in range(3)] == [result] * 3
    assert node.blocks("n1.example")
    assert node.state.audit.size == size + 1
    assert (node.list().last_result, node.list().version) == (result, 1)
    node.feed.fails = None
    assert node.update()[0].ok
    assert node.events(A)[-1] is Event.UNCHANGED
    node.update()
    assert node.state.audit.size == size + 2


def test_protected_rows_are_dropped_counted_and_alarmed(node):
    node.feed.publish("a", "casino.example\ncom\nbet.br\nco.uk\ngithub.io\nbr\nfeed.example\nx.github.io\n")
    assert node.start().update()[0].ok
    assert node.list().rejected == {"protected": 6}
    assert "protected_rows" in node.alarms()
    for name in ("example.com", "bet.br", "a.co.uk", "github.io", "feed.example"):
        assert not node.blocks(name)
    assert node.blocks("casino.example")
    assert node.blocks("x.github.io")


def test_a_list_of_protected_names_alone_is_refused(node):
    node.feed.publish("a", "com\nco.uk\n")
    assert node.start().update()[0].result is Result.PROTECTED
    with pytest.raises(Refused, match="waits for approval"):
        node.updater.approve(A, "root", "why not")


def test_too_many_bad_rows_are_held_and_positions_are_kept(node):
    node.feed.publish("a", rows(*range(50)) + "no name at all\n")
    outcome = node.start().update()[0]
    assert outcome.result is Result.HELD
    assert "1 of 51 rows" in outcome.detail
    assert "at all" not in outcome.detail
    assert (node.list().state, node.list().version, sum(node.list().rejected.values())) == ("held", 0, 1)
    assert node.updater.approve(A, "root", "known fault of the publisher").version == 1
    assert node.blocks("n7.example")


def test_a_changed_meaning_of_the_same_rows_is_a_change(node):
    node.feed.publish("a", rows(*range(100)))
    node.start().update()
    node.feed.publish("a", rows(*range(100)), category=Category.MALWARE)
    outcome = node.update()[0]
    assert outcome.result is Result.CHANGE_CAP
    assert "100 entries" in outcome.detail


def test_the_same_rows_signed_again_are_a_new_version(node):
    node.feed.publish("a", rows(1))
    node.start().update()
    node.feed.publish("a", rows(1))
    assert (node.update()[0].version, node.list().version) == (2, 2)


def test_an_entry_of_a_list_is_nowhere_but_in_the_feeds_folder(node, caplog):
    with caplog.at_level(logging.DEBUG):
        node.feed.publish("a", "zq7secret.example\nzq7 bad row\n" + rows(*range(300)), secret=True)
        node.start().update()
        node.feed.publish("a", "zq7secret.example\n", secret=True)
        node.update()
    for path in (node.home / "state").rglob("*"):
        assert not path.is_file() or b"zq7" not in path.read_bytes(), path
    assert "zq7" not in caplog.text
    assert "zq7" not in repr(node.state)


def test_a_clock_that_is_put_back_stops_nothing(node):
    """The kill ends by its hour, and what is retried every minute is retried every minute."""
    node.clock.now += 10 * 365 * 86400
    node.feed.publish("a", rows(1))
    node.late = ["resolver: no answer"]
    node.start().update()
    node.updater.tick()
    node.late = []
    node.clock.now -= 10 * 365 * 86400
    node.updater.tick()
    assert node.updater._recorder.levers.activated == 1
    assert node.updater._show_at <= node.clock.now + 60


DATED = "entry,category,note,expires\none.example,,,2027-02-01\ntwo.example,,,\n"


@pytest.mark.parametrize("why", ["the feed is down", "a newer version waits", "a person holds it"])
def test_a_row_runs_out_by_its_own_date_whatever_keeps_newer_versions_away(node, why):
    node.feed.publish("a", DATED, format=Format.CSV)
    node.start().update()
    if why == "the feed is down":
        node.feed.fails = Unavailable("down")
    elif why == "a newer version waits":
        node.feed.publish("a", DATED + "".join(f"n{i}.example,,,\n" for i in range(900)), format=Format.CSV)
        assert node.update()[0].result is Result.CHANGE_CAP
    else:
        node.updater.hold(A, "alice", "why")
    assert node.blocks("one.example")
    node.clock.now += 400 * 86400
    node.updater.tick()
    assert not node.blocks("one.example")
    assert node.blocks("two.example")
    assert not node.blocks("n1.example")
    if why == "a newer version waits":
        assert "list_held" in node.alarms()
    number = node.state.table.generation
    for _ in range(3):
        node.clock.now += 61
        node.updater.tick()
    assert node.state.table.generation == number
