"""Kill -9 at every step of everything that changes what is enforced, and make every step fail without and with its effect.

What must hold whatever happens, at once (for workers that start now) and after the next start:

- `current` is a whole generation that passes its check and that the audit record has: audit precedes enforcement;
- both lists of the update are of the same age: never half-enforced;
- what the record has as a generation is in force after the next start: never lost;
- the next update run puts the new versions in force, and the one after that finds nothing to do.
"""

from __future__ import annotations

import errno
import os
import signal
import warnings

import pytest

from blockd.audit.record import Event
from blockd.audit.store import AuditLog
from blockd.control.steps import Step
from blockd.control.updater import Updater
from blockd.errors import Unavailable
from blockd.names import parse_domain
from blockd.table.lookup import name_matches
from blockd.table.store import open_current
from blockd.terms import Instant, ListName, Result
from tests.control.feeds import FakeFeed, config, rows

A, B = ListName("f/a"), ListName("f/b")
CLOCK = 1_800_000_000.0
OLD, NEW = rows(*range(20)), rows(*range(30))


class Dies:
    """kill -9, itself, at one step."""

    def __init__(self, step: Step, when: str) -> None:
        self.at = (step, when)

    def before(self, step: Step) -> None:
        self.hit(step, "before")

    def after(self, step: Step) -> None:
        self.hit(step, "after")

    def hit(self, step: Step, when: str) -> None:
        if (step, when) == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


class Fails(Dies):
    """The disk is full at one step: before it, so that it has no effect, or after it, when it had."""

    times = 0

    def hit(self, step: Step, when: str) -> None:
        if (step, when) == self.at and not self.times:
            self.times += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class StaysFull(Dies):
    """The disk is full from one step on, until someone frees space."""

    full = freed = False

    def hit(self, step: Step, when: str) -> None:
        self.full = (self.full or (step, when) == self.at) and not self.freed
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(autouse=True)
def no_rails(monkeypatch):
    """Ten thousand public suffixes make each start slower and nothing here other."""
    monkeypatch.setattr("blockd.control.candidates.rails", lambda *_: b"")


@pytest.fixture
def home(tmp_path):
    """A node with generation 1 in force: both lists in their first version."""
    feed = feed_of(tmp_path)
    updater = updater_of(tmp_path, feed)
    assert [o.result for o in updater.update()] == [Result.APPLIED] * 2
    updater.close()
    return tmp_path


def feed_of(home):
    feed = FakeFeed(home / "feed")
    feed.publish("a", OLD)
    feed.publish("b", OLD.replace("n", "m"))
    return feed


def publish_new(feed):
    feed.publish("a", NEW)
    feed.publish("b", NEW.replace("n", "m"))


def updater_of(home, feed, steps=None, **policy):
    extra = {"steps": steps} if steps else {}
    updater = Updater(config(home, "a", "b", **policy), open_feed=lambda *_: feed, clock=lambda: CLOCK, **extra)
    updater.recover()
    return updater


def in_child(work):
    """Run `work` in a process of its own; how it ended (a negative signal, or 0)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork in a process with threads, from Python 3.12 on
        pid = os.fork()
    if pid == 0:
        code = 70
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def blocked(live, name):
    return bool(name_matches(live, parse_domain(name).wire))


def entries(home):
    log = AuditLog.open(home / "state" / "audit")
    found = list(log.entries())
    log.close()
    return found


def check_in_force(home):
    """The generation in force, after checking what must hold of it."""
    live = open_current(home / "state", verify=True)
    recorded = {e.generation for e in entries(home) if e.event is Event.GENERATION}
    assert live.number in recorded, "enforced, and the record does not know"
    ages = {blocked(live, "n25.example"), blocked(live, "m25.example")}
    assert len(ages) == 1, "half-enforced"
    assert blocked(live, "n5.example")
    assert blocked(live, "m5.example")
    assert {item.version for item in live.lists.values()} == ({2} if ages.pop() else {1})
    number = live.number
    live.table.close()
    return number


def check_nothing_lies_about(home):
    state = home / "state"
    assert not [p for p in state.rglob("*") if p.name.endswith((".tmp", ".new", ".draft"))]
    current = int((state / "current").readlink().name)
    assert all(int(p.name) <= current for p in (state / "generations").iterdir())


POINTS = [(step, when) for step in Step for when in ("before", "after")]
IN_AN_UPDATE = [p for p in POINTS if p[0] not in {Step.HELD, Step.RELEASED}]
OF_A_GENERATION = [p for p in IN_AN_UPDATE if p[0] is not Step.COMPILED]


def go_on(home, feed):
    """The next start, and the run after it."""
    updater = updater_of(home, feed)
    last = max(e.generation for e in entries_of(updater) if e.event is Event.GENERATION)
    assert updater.state().table.generation == last, "what the record has is in force, not lost"
    check_nothing_lies_about(home)
    outcomes = updater.update()
    assert {o.result for o in outcomes} <= {Result.APPLIED, Result.NOT_MODIFIED}
    assert [o.version for o in outcomes] == [2, 2]
    assert [o.result for o in updater.update()] == [Result.NOT_MODIFIED] * 2
    updater.close()
    assert check_in_force(home) >= 2
    check_nothing_lies_about(home)


def entries_of(updater):
    return list(updater._recorder._log.entries())


@pytest.mark.parametrize(("step", "when"), IN_AN_UPDATE)
def test_killed_in_an_update(home, step, when):
    feed = feed_of(home)
    publish_new(feed)

    def work():
        updater_of(home, feed, Dies(step, when)).update()

    code = in_child(work)
    assert code == -signal.SIGKILL, f"the step {step} was not taken"
    check_in_force(home)
    go_on(home, feed)


@pytest.mark.parametrize(("step", "when"), OF_A_GENERATION)
def test_the_disk_fails_in_an_update(home, step, when):
    feed = feed_of(home)
    publish_new(feed)
    steps = Fails(step, when)
    updater = updater_of(home, feed, steps)
    outcomes = updater.update()
    assert steps.times == 1, f"the step {step} was not taken"
    for outcome in outcomes:
        assert outcome.ok or (outcome.result is Result.HELD and "free space" in outcome.detail)
        assert (outcome.version, outcome.generation) in {(1, 1), (2, outcome.generation)}
    if not all(o.ok for o in outcomes):
        assert outcomes[0].generation == 1
        assert any(a.code in {"disk", "list_refused"} or "disk" in a.code for a in updater.state().alarms)
    updater._recorder.close()
    check_in_force(home)
    go_on(home, feed)


@pytest.mark.parametrize(("step", "when"), OF_A_GENERATION)
def test_the_disk_fails_once_and_the_same_process_goes_on(home, step, when):
    feed = feed_of(home)
    publish_new(feed)
    updater = updater_of(home, feed, Fails(step, when))
    updater.update()
    updater.tick()
    assert [o.version for o in updater.update()] == [2, 2]
    assert [o.result for o in updater.update()] == [Result.NOT_MODIFIED] * 2
    assert updater._recorder.levers.generation == updater.state().table.generation
    assert not [a for a in updater.state().alarms if a.code == "disk"]
    updater.close()
    check_in_force(home)
    check_nothing_lies_about(home)


@pytest.mark.parametrize(("step", "when"), OF_A_GENERATION)
def test_the_disk_stays_full_until_space_is_freed(home, step, when):
    feed = feed_of(home)
    publish_new(feed)
    steps = StaysFull(step, when)
    updater = updater_of(home, feed, steps)
    updater.update()
    updater.tick()
    check_enforced = open_current(home / "state", verify=True)
    check_enforced.table.close()
    steps.freed = True
    recorded = updater._recorder.levers.generation
    updater._retry_at = updater._confirm_at = Instant(0.0)
    updater.tick()
    state = updater.state()
    assert state.table.generation == recorded, "what the record has goes into force as soon as the disk lets it"
    assert [o.version for o in updater.update()] == [2, 2]
    updater.close()
    check_in_force(home)
    check_nothing_lies_about(home)


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_disk_fails_for_one_list_and_the_other_goes_live(home, when):
    feed = feed_of(home)
    publish_new(feed)
    updater = updater_of(home, feed, Fails(Step.COMPILED, when))
    first, second = updater.update()
    assert (first.result, first.version, second.result, second.version) == (Result.HELD, 1, Result.APPLIED, 2)
    assert [o.version for o in updater.update()] == [2, 2]
    updater.close()


@pytest.mark.parametrize(("step", "when"), IN_AN_UPDATE)
def test_killed_in_the_first_update_ever(tmp_path, step, when):
    feed = feed_of(tmp_path)
    publish_new(feed)
    code = in_child(lambda: updater_of(tmp_path, feed, Dies(step, when)).update())
    assert code == -signal.SIGKILL
    if open_current(tmp_path / "state") is not None:
        check_in_force(tmp_path)
    updater = updater_of(tmp_path, feed)
    assert [o.version for o in updater.update()] == [2, 2]
    updater.close()
    check_in_force(tmp_path)


OF_A_HOLD = [(Step.COMPILED, "after"), *(p for p in POINTS if p[0] in {Step.HELD, Step.RECORDED_LIST})]


@pytest.mark.parametrize(("step", "when"), OF_A_HOLD)
def test_killed_while_a_version_is_held(home, step, when):
    feed = feed_of(home)
    feed.publish("a", rows(*range(200)))  # more than may change
    assert in_child(lambda: updater_of(home, feed, Dies(step, when)).update()) == -signal.SIGKILL
    updater = updater_of(home, feed)
    outcome = updater.update([A])[0]
    assert (outcome.result, outcome.version) == (Result.CHANGE_CAP, 1)
    assert [e.event for e in entries_of(updater)].count(Event.HELD) == 1
    assert updater.approve(A, "root", "looked at it").version == 2
    updater.close()


LEVER_POINTS = [
    p for p in POINTS
    if p[0] not in {Step.COMPILED, Step.HELD, Step.PRUNED, Step.OUTCOMES, Step.RELEASED}
]  # fmt: skip


@pytest.mark.parametrize(("step", "when"), [*LEVER_POINTS, (Step.RELEASED, "before"), (Step.RELEASED, "after")])
def test_killed_in_an_approval(home, step, when):
    feed = feed_of(home)
    feed.publish("a", rows(*range(200)))
    updater = updater_of(home, feed)
    updater.update()
    updater.close()
    code = in_child(lambda: updater_of(home, feed, Dies(step, when)).approve(A, "root", "looked at it"))
    assert code == -signal.SIGKILL
    updater = updater_of(home, feed)
    approved = any(e.event is Event.APPROVED for e in entries_of(updater))
    outcome = updater.update([A])[0]
    assert outcome.version == (2 if approved else 1), "an approval that is recorded takes effect, another does not"
    assert (outcome.version == 2) == (updater._waiting.get(A) is None)
    updater.close()


@pytest.mark.parametrize(("step", "when"), LEVER_POINTS)
def test_killed_in_a_kill(home, step, when):
    feed = feed_of(home)
    code = in_child(lambda: updater_of(home, feed, Dies(step, when)).kill(A, Instant(CLOCK + 60), "root", "overblocks"))
    assert code == -signal.SIGKILL
    updater = updater_of(home, feed)
    recorded = any(e.event is Event.KILLED for e in entries_of(updater))
    updater.close()
    live = open_current(home / "state", verify=True)
    assert blocked(live, "n5.example") is not recorded, "a switch that is recorded is thrown after the next start, another is not"
    assert blocked(live, "m5.example")
    live.table.close()


@pytest.mark.parametrize(("step", "when"), LEVER_POINTS)
def test_killed_in_a_rollback(home, step, when):
    feed = feed_of(home)
    publish_new(feed)
    updater = updater_of(home, feed)
    updater.update()
    updater.close()
    code = in_child(lambda: updater_of(home, feed, Dies(step, when)).rollback(A, "root", "broke things"))
    assert code == -signal.SIGKILL
    updater = updater_of(home, feed)
    levers, table = updater._recorder.levers, updater.state().table.generation
    assert levers.generation == table
    versions = {item.name: item.version for item in updater.state().lists}
    assert versions == {A: 1 if table == 3 else 2, B: 2}
    assert (A in levers.holds) == any(e.event is Event.ROLLED_BACK for e in entries_of(updater))
    updater.close()


def test_every_step_is_killed_in_some_test():
    assert {s for s, _ in IN_AN_UPDATE} | {Step.HELD, Step.RELEASED} == set(Step)


REBUILD = [p for p in OF_A_GENERATION if p[0] not in {Step.RECORDED_LIST, Step.PRUNED, Step.OUTCOMES}]


@pytest.fixture
def damaged(home):
    """Generation 2 has the new versions, its table is damaged, and the feed is out of reach."""
    feed = feed_of(home)
    publish_new(feed)
    updater = updater_of(home, feed)
    updater.update()
    updater.close()
    os.truncate(home / "state" / "generations" / "2" / "table.blkt", 999)
    feed.fails = Unavailable("down")
    return home, feed


@pytest.mark.parametrize(("step", "when"), REBUILD)
def test_killed_while_a_damaged_generation_is_built_again(damaged, step, when):
    home, feed = damaged
    assert in_child(lambda: updater_of(home, feed, Dies(step, when))) == -signal.SIGKILL
    updater = updater_of(home, feed)
    assert [item.version for item in updater.state().lists] == [2, 2]
    updater.close()
    assert check_in_force(home) >= 3


@pytest.mark.parametrize(("step", "when"), REBUILD)
def test_the_disk_is_full_while_a_damaged_generation_is_built_again(damaged, step, when):
    home, feed = damaged
    steps = StaysFull(step, when)
    updater = updater_of(home, feed, steps)
    updater.tick()
    steps.freed = True
    updater._retry_at = updater._confirm_at = Instant(0.0)
    updater.tick()
    assert [item.version for item in updater.state().lists] == [2, 2]
    updater.close()
    assert check_in_force(home) >= 3
