from __future__ import annotations

import pytest

from blockd.audit.record import Event
from blockd.control.judge import ADMITTED, Judgement
from blockd.control.pipeline import BrokenList, Pipeline, Workers, kinds
from blockd.control.recorder import Recorder
from blockd.control.sources import Placement
from blockd.control.steps import NO_STEPS
from blockd.errors import Refused
from blockd.table.store import open_current
from blockd.terms import Instant, ListName, Result
from tests.control.feeds import config, meta
from tests.control.test_generations import Store
from tests.control.test_sources import source

A, B = ListName("f/a"), ListName("f/b")
NOW = Instant(1000.0)


class Line:
    """Notes in which order things happen."""

    def __init__(self, state_dir):
        self.calls = []
        self.late = []
        self.state_dir = state_dir

    def tell(self, number):
        live = open_current(self.state_dir)
        self.calls.append(("tell", number, live.number))
        live.table.close()
        if isinstance(self.late, Exception):
            raise self.late
        return self.late

    def before(self, lists):
        current = open_current(self.state_dir)
        self.calls.append(("before", [k.name for k in lists], current and current.number))
        if current:
            current.table.close()


@pytest.fixture
def made(tmp_path):
    store, line = Store(tmp_path), Line(tmp_path)
    recorder = Recorder(tmp_path / "audit", NO_STEPS)
    pipeline = Pipeline(store.key, store.generations, recorder, Workers(line.tell, tuple, line.before), NO_STEPS)
    yield store, line, recorder, pipeline
    recorder.close()


def go(made, current, wanted, judgements=None):
    store, _, _, pipeline = made
    return pipeline.go_live(
        config(store.state_dir, "a", "b"), current, wanted, dict.fromkeys(wanted, ADMITTED) if judgements is None else judgements, {}, NOW
    )


def test_the_order(made):
    store, line, recorder, _ = made
    wanted = {A: store.placement(A, "a.example"), B: store.placement(B, "b.example", out="killed")}
    assert go(made, {}, wanted) == 1
    assert line.calls == [("before", [A], None), ("tell", 1, 1)]
    assert [e.event for e in recorder._log.entries()] == [Event.APPLIED, Event.APPLIED, Event.GENERATION, Event.ACTIVATED]


def test_what_was_not_found_fit_does_not_go_live_and_leaves_nothing(made):
    store, line, recorder, _ = made
    for judgements in ({}, {A: Judgement(Result.CHANGE_CAP, "too much")}):
        with pytest.raises(Refused):
            go(made, {}, {A: store.placement(A, "a.example")}, judgements)
    assert (line.calls, recorder.size, store.generations.numbers(), store.generations.current()) == ([], 0, [], 0)


def test_a_lost_compiled_list_is_named(made):
    store, *_ = made
    with pytest.raises(BrokenList) as error:
        go(made, {}, {A: store.placement(A, "a.example"), B: Placement(source("f/b", compiled="lists/f/b/none.blkl"))})
    assert error.value.name == B
    assert store.generations.numbers() == []


def test_a_list_that_is_out_needs_no_file(made):
    store, *_ = made
    assert go(made, {}, {A: store.placement(A, "a.example"), B: Placement(source("f/b", compiled="lists/f/b/none.blkl"), "killed")}) == 1


@pytest.mark.parametrize("late", [["resolver: its disk fails"], TimeoutError()])
def test_workers_that_are_late_change_nothing_of_what_is_in_force(made, late):
    store, line, recorder, pipeline = made
    line.late = late
    assert go(made, {}, {A: store.placement(A, "a.example")}) == 1
    assert store.generations.current() == 1
    assert recorder.levers.activated == 0
    line.late = []
    assert pipeline.confirm(1, NOW) == ()
    assert recorder.levers.activated == 1


def test_counts_are_told_of_what_is_in_the_table(made):
    placed = {A: Placement(source(meta=meta(secret=True), entries=7)), B: Placement(source("f/b"), "expired")}
    assert [(k.name, k.entries, k.secret) for k in kinds(placed)] == [(A, 7, True)]
