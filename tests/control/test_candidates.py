from __future__ import annotations

import shutil

import pytest

from blockd.config.schema import MaxChange
from blockd.control.candidates import Candidates, disk
from blockd.control.recorder import Recorder
from blockd.control.sources import Placement
from blockd.control.steps import NO_STEPS
from blockd.control.waiting import Waiting
from blockd.errors import Misconfigured, Refused, Unavailable
from blockd.table.store import make_key
from blockd.terms import Format, Instant, ListName, Result
from tests.control.feeds import FakeFeed, config, rows

A, B = ListName("f/a"), ListName("f/b")
NOW = Instant(1_800_000_000.0)
pytestmark = pytest.mark.usefixtures("few_rails")


class Desk:
    def __init__(self, home, **policy):
        self.feed = FakeFeed(home / "feed")
        self.config = config(home, "a", "b", **policy)
        self.config.state_dir.mkdir()
        self.recorder = Recorder(home / "audit", NO_STEPS)
        self.waiting = Waiting(home, NO_STEPS)
        self.opened = 0
        self.made = Candidates(self.config, make_key(self.config.state_dir), self.recorder, self.waiting, NO_STEPS, self.open)

    def open(self, feed, config):
        self.opened += 1
        return self.feed

    def look(self, *names, current=(), again=(), now=NOW):
        placed = {p.source.name: p for p in current}
        return self.made.look(list(names or [A]), placed, again, now)


@pytest.fixture
def desk(tmp_path):
    made = Desk(tmp_path)
    yield made
    made.recorder.close()


def test_a_first_version(desk):
    desk.feed.publish("a", rows(1, 2) + "bet.br\n")
    found = desk.look()[A]
    assert (found.result, found.source.entries, found.source.rows, found.change.enforced) == (Result.APPLIED, 2, 3, None)
    assert (found.source.rejected, found.source.positions) == ({"protected": 1}, {"protected": (3,)})
    assert found.source.enforceable == {"dns": 2}
    assert found.expires == 4e9


def test_the_same_again_is_not_compiled(desk, monkeypatch):
    desk.feed.publish("a", rows(1))
    current = [Placement(desk.look()[A].source)]
    monkeypatch.setattr("blockd.control.candidates.compile_list", None)
    found = desk.look(current=current)[A]
    assert (found.result, found.source) == (Result.NOT_MODIFIED, None)


def test_a_lost_file_is_compiled_again(desk):
    desk.feed.publish("a", rows(1))
    current = [Placement(desk.look()[A].source)]
    assert desk.look(current=current, again=[A])[A].source == current[0].source


def test_a_difference_is_counted_by_entries(desk):
    desk.feed.publish("a", rows(*range(10)))
    current = [Placement(desk.look()[A].source)]
    desk.feed.publish("a", rows(*range(3, 15)))
    change = desk.look(current=current)[A].change
    assert (change.added, change.removed, change.enforced, change.entries) == (5, 3, 10, 12)


@pytest.mark.parametrize("kept", [True, False])
def test_every_entry_exchanged_does_not_pass_for_want_of_the_old_file(desk, kept):
    """As many entries as before, and each another: by their count nothing would have changed."""
    desk.feed.publish("a", rows(*range(100)))
    current = [Placement(desk.look()[A].source)]
    shutil.rmtree(desk.config.state_dir / "lists")
    if not kept:
        shutil.rmtree(desk.feed.folder)
    desk.feed.publish("a", rows(*range(100, 200)))
    found = desk.look(current=current)[A]
    assert (found.change.added, found.change.removed, found.result) == (100, 100, Result.CHANGE_CAP)


def test_without_the_old_file_it_is_compiled_from_what_was_downloaded(desk):
    desk.feed.publish("a", rows(*range(100)))
    current = [Placement(desk.look()[A].source)]
    for path in (desk.config.state_dir / "lists").rglob("*.blkl"):
        path.unlink()
    desk.feed.publish("a", rows(*range(40)))
    found = desk.look(current=current)[A]
    assert (found.change.added, found.change.removed, found.result) == (0, 60, Result.CHANGE_CAP)


def test_what_is_held_is_not_compiled_twice(tmp_path, monkeypatch):
    desk = Desk(tmp_path, max_change=MaxChange(0.0, 0.0, 0))
    desk.feed.publish("a", rows(1))
    current = [Placement(desk.look()[A].source)]
    desk.feed.publish("a", rows(1, 2))
    found = desk.look(current=current)[A]
    assert (found.result, found.source) == (Result.CHANGE_CAP, None)
    desk.waiting.put(found.held)
    monkeypatch.setattr("blockd.control.candidates.compile_list", None)
    assert desk.look(current=current)[A].held == found.held
    desk.recorder.close()


def test_urls_are_counted_by_where_they_can_be_enforced(desk):
    desk.feed.publish("a", "http://one.example/x\nhttps://two.example/y\nhttp://192.0.2.1/z\n", format=Format.URLS)
    assert desk.look()[A].source.enforceable == {"http_path": 2, "unenforceable": 1}


@pytest.mark.parametrize("error", [Misconfigured("the pinned root is missing"), Unavailable("down"), Refused("signature", "forged")])
def test_a_feed_fails_for_all_its_lists(desk, error):
    desk.feed.fails = error
    found = desk.look(A, B)
    assert {c.detail for c in found.values()} == {str(error)}
    results = {Misconfigured: Result.HELD, Unavailable: Result.FETCH, Refused: Result.SIGNATURE}
    assert {c.result for c in found.values()} == {results[type(error)]}
    assert desk.feed.refreshed == 1


def test_a_client_is_kept_while_its_feed_is_the_same(desk):
    desk.feed.publish("a", rows(1))
    desk.look()
    desk.made.reconfigure(desk.config)
    desk.look()
    assert desk.opened == 1


def test_the_disks_word_is_passed_on():
    assert disk(OSError(28, "No space left on device")).startswith("No space left on device: nothing was changed")
    assert disk(OSError()).startswith("the disk refuses")
