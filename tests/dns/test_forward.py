"""The way of one query, as dialogues: what happens, what is done about it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockd.dns.forward import DEADLINE_MS, TIMEOUT_MS, Fail, Finish, Forward, Outcome, Send, Stale, TimedOut
from blockd.dns.upstreams import SENDS_MAX, Choice, Way

UDP, TCP = Way.UDP, Way.TCP
ONE = (Choice(0, UDP),)
TWO = (Choice(0, UDP), Choice(1, UDP))


class Dialogue:
    """``Dialogue(order).at(0).begin(Send(...)).at(1000).tick(...)``: each step names what must come out."""

    def __init__(self, order, **more):
        self.machine = Forward(order, 0, **more)
        self.now = 0
        self.stale = False  # those who wait were to get an old answer

    def at(self, now):
        self.now = now
        return self

    def begin(self, *expected):
        assert self.machine.begin(self.now) == list(expected)
        return self

    def tick(self, *expected):
        found = self.machine.tick(self.now)
        self.stale = self.stale or Stale() in found
        assert [action for action in found if action != Stale()] == list(expected)
        return self

    def on(self, attempt, outcome, *expected):
        assert self.machine.on(attempt, outcome, self.now) == list(expected)
        return self


def test_an_answer_ends_it():
    Dialogue(ONE).begin(Send(0, 0, UDP)).at(20).on(0, Outcome.ANSWER, Finish(0)).at(9000).tick()


def test_the_next_server_is_asked_when_time_is_up():
    d = Dialogue(TWO).begin(Send(0, 0, UDP)).at(999).tick().at(1000).tick(TimedOut(0), Send(1, 1, UDP))
    d.at(1010).on(1, Outcome.ANSWER, Finish(1))


def test_a_late_answer_is_still_an_answer():
    Dialogue(TWO).begin(Send(0, 0, UDP)).at(1000).tick(TimedOut(0), Send(1, 1, UDP)).at(1300).on(0, Outcome.ANSWER, Finish(0))


def test_one_server_is_asked_three_times_and_then_waited_for():
    d = Dialogue(ONE).begin(Send(0, 0, UDP)).at(1000).tick(TimedOut(0), Send(1, 0, UDP)).at(2000).tick(TimedOut(1), Send(2, 0, UDP))
    d.at(3000).tick(TimedOut(2))
    assert d.machine.due_ms == DEADLINE_MS
    d.at(DEADLINE_MS).tick(Fail(22))


def test_a_very_late_answer_before_the_deadline_counts():
    d = Dialogue(ONE).begin(Send(0, 0, UDP)).at(1000).tick(TimedOut(0), Send(1, 0, UDP)).at(2000).tick(TimedOut(1), Send(2, 0, UDP))
    d.at(3000).tick(TimedOut(2)).at(4000).on(0, Outcome.ANSWER, Finish(0))


def test_the_deadline_ends_a_query_in_the_middle_of_an_attempt():
    d = Dialogue(TWO, deadline_ms=1500).begin(Send(0, 0, UDP)).at(1000).tick(TimedOut(0), Send(1, 1, UDP))
    d.at(1500).tick(Fail(22)).on(1, Outcome.ANSWER)


def test_truncation_goes_to_tcp_at_the_same_server():
    Dialogue(TWO).begin(Send(0, 0, UDP)).at(5).on(0, Outcome.TRUNCATED, Send(1, 0, TCP)).at(20).on(1, Outcome.ANSWER, Finish(1))


def test_truncation_and_a_dead_tcp_port_go_to_the_next_server():
    d = Dialogue(TWO).begin(Send(0, 0, UDP)).on(0, Outcome.TRUNCATED, Send(1, 0, TCP))
    d.on(1, Outcome.UNREACHABLE, Send(2, 1, UDP)).on(2, Outcome.ANSWER, Finish(2))


def test_tcp_has_more_time():
    d = Dialogue((Choice(0, TCP), Choice(1, UDP))).begin(Send(0, 0, TCP)).at(TIMEOUT_MS[TCP] - 1).tick()
    d.at(TIMEOUT_MS[TCP]).tick(TimedOut(0), Send(1, 1, UDP))


def test_a_spoof_flood_goes_to_tcp():
    Dialogue(ONE).begin(Send(0, 0, UDP)).at(3).on(0, Outcome.SPOOFED, Send(1, 0, TCP))


def test_a_failure_is_kept_and_the_next_server_asked():
    Dialogue(TWO).begin(Send(0, 0, UDP)).on(0, Outcome.FAILURE, Send(1, 1, UDP)).on(1, Outcome.ANSWER, Finish(1))


def test_the_first_failure_is_the_answer_when_all_fail():
    d = Dialogue(TWO).begin(Send(0, 0, UDP)).on(0, Outcome.FAILURE, Send(1, 1, UDP))
    d.on(1, Outcome.FAILURE, Finish(0, failed=True))


def test_a_failure_of_the_only_server_is_the_answer_at_once():
    Dialogue(ONE).begin(Send(0, 0, UDP)).on(0, Outcome.FAILURE, Finish(0, failed=True))


def test_a_failure_and_a_silent_server():
    d = Dialogue(TWO).begin(Send(0, 0, UDP)).on(0, Outcome.FAILURE, Send(1, 1, UDP))
    d.at(1000).tick(TimedOut(1), Send(2, 1, UDP)).at(2000).tick(TimedOut(2), Send(3, 1, UDP)).at(3000).tick(
        TimedOut(3), Finish(0, failed=True)
    )


def test_a_late_failure_leaves_the_newer_attempt_its_time():
    d = Dialogue(TWO).begin(Send(0, 0, UDP)).at(1000).tick(TimedOut(0), Send(1, 1, UDP)).at(1100).on(0, Outcome.FAILURE)
    d.at(1200).on(1, Outcome.ANSWER, Finish(1))


def test_unreachable_servers_are_a_network_error():
    d = Dialogue(TWO).begin(Send(0, 0, UDP))
    for number in range(5):
        d.on(number, Outcome.UNREACHABLE, Send(number + 1, (number + 1) % 2, UDP))
    d.on(5, Outcome.UNREACHABLE, Fail(23))


def test_a_malformed_answer_goes_to_the_next_server():
    Dialogue(TWO).begin(Send(0, 0, UDP)).on(0, Outcome.MALFORMED, Send(1, 1, UDP))


def test_without_a_socket_left_it_fails_and_is_not_remembered():
    Dialogue(TWO).begin(Send(0, 0, UDP)).on(0, Outcome.NO_ROOM, Fail(23, remember=False))


def test_without_a_socket_left_what_is_under_way_is_waited_for():
    d = Dialogue(TWO).begin(Send(0, 0, UDP)).at(1000).tick(TimedOut(0), Send(1, 1, UDP)).on(1, Outcome.NO_ROOM)
    d.at(1200).on(0, Outcome.ANSWER, Finish(0))


def test_without_upstreams_it_fails_at_once():
    Dialogue(()).begin(Fail(23))


def test_a_downed_server_is_asked_once():
    d = Dialogue((Choice(0, UDP, 1), Choice(1, UDP, 1))).begin(Send(0, 0, UDP)).at(1000).tick(TimedOut(0), Send(1, 1, UDP))
    d.at(2000).tick(TimedOut(1)).at(DEADLINE_MS).tick(Fail(22))


@pytest.mark.parametrize("outcome", Outcome)
def test_an_attempt_ends_once(outcome):
    d = Dialogue(TWO).begin(Send(0, 0, UDP))
    d.machine.on(0, outcome, 0)
    d.on(0, outcome)


STEPS = st.lists(st.tuples(st.sampled_from([*Outcome, None]), st.integers(0, 9), st.integers(0, 1500)), max_size=40)


@given(st.lists(st.tuples(st.sampled_from(Way), st.integers(1, SENDS_MAX)), max_size=3), STEPS)
def test_any_course_of_events_ends_within_its_limits(servers, steps):
    order = tuple(Choice(i, way, sends) for i, (way, sends) in enumerate(servers))
    machine, now, ends = Forward(order, 0), 0, 0
    actions = machine.begin(0)
    for outcome, pick, wait in [*steps, *[(None, 0, 0)] * 60]:
        ends += sum(isinstance(a, Finish | Fail) for a in actions)
        assert ends == machine.done
        if outcome is None or not machine.attempts:
            now = max(now + wait, machine.due_ms) if not wait else now + wait
            actions = machine.tick(now)
        else:
            actions = machine.on(pick % len(machine.attempts), outcome, now)
        assert sum(isinstance(a, Send) for a in actions) <= 1
    ends += sum(isinstance(a, Finish | Fail) for a in actions)
    assert machine.done
    assert ends == 1
    for choice in order:
        for way in Way:
            assert sum(a.upstream == choice.upstream and a.way is way for a in machine.attempts) <= SENDS_MAX
