from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from blockd.control.schedule import JITTER_SHARE, RETRY_FIRST_S, Schedule
from blockd.terms import Instant

NOW = Instant(1000.0)


def test_every_feed_is_due_at_the_start():
    assert Schedule.of({"a": 600.0, "b": 60.0}).due(NOW) == ("a", "b")


def test_a_feed_that_answered_waits_its_time():
    schedule = Schedule.of({"a": 600.0}).after("a", ok=True, now=NOW, dice=0.5)
    assert schedule.next_due() == 1600.0
    assert schedule.due(Instant(1599.0)) == ()
    assert schedule.due(Instant(1600.0)) == ("a",)


def test_a_feed_that_fails_is_asked_soon_and_then_less_and_less():
    schedule, pauses = Schedule.of({"a": 600.0}), []
    for _ in range(9):
        schedule = schedule.after("a", ok=False, now=NOW, dice=0.5)
        pauses.append(schedule.next_due() - NOW)
    assert pauses == [15, 30, 60, 120, 240, 480, 600, 600, 600]
    assert schedule.after("a", ok=True, now=NOW, dice=0.5).feeds["a"].failures == 0


@given(st.booleans(), st.floats(1, 7 * 86400), st.floats(0, 1, exclude_max=True), st.integers(0, 10**6))
def test_never_much_later_than_asked_for_and_never_a_storm(ok, every, dice, failures):
    schedule = Schedule.of({"a": every})
    for _ in range(min(failures, 40)):
        schedule = schedule.after("a", ok=False, now=NOW, dice=dice)
    pause = schedule.after("a", ok=ok, now=NOW, dice=dice).next_due() - NOW
    assert pause <= every * (1 + JITTER_SHARE) + 1e-6
    assert pause >= min(every, RETRY_FIRST_S) * (1 - JITTER_SHARE) - 1e-6


def test_a_reload_keeps_times_and_takes_what_is_sooner():
    schedule = Schedule.of({"a": 600.0, "b": 600.0, "c": 600.0})
    for name in "abc":
        schedule = schedule.after(name, ok=True, now=NOW, dice=0.5)
    again = Schedule.of({"a": 600.0, "b": 60.0, "d": 600.0}, schedule)
    assert again.due(NOW) == ("b", "d")
    assert again.feeds["a"].at == 1600.0
    assert "c" not in again.feeds


def test_a_feed_that_left_meanwhile():
    schedule = Schedule.of({})
    assert schedule.after("gone", ok=True, now=NOW, dice=0.0) == schedule
    assert schedule.next_due() == float("inf")


def test_a_clock_that_is_put_back_silences_no_feed():
    """A machine that woke up in 2036 and was set right after its first look."""
    schedule = Schedule.of({"hotline": 600.0}).after("hotline", ok=True, now=Instant(2.1e9), dice=0.999)
    assert schedule.due(Instant(2.1e9 + 1)) == ()
    assert schedule.due(Instant(1.8e9)) == ("hotline",)
    schedule = schedule.after("hotline", ok=True, now=Instant(1.8e9), dice=0.999)
    assert schedule.due(Instant(1.8e9)) == ()
