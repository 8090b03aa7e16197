"""The way of one query, as dialogues: what happens, what is done about it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockd.dns.forward import DEADLINE_MS, STALE_MS, TIMEOUT_MS, Fail, Finish, Forward, Outcome, Send, Stale, TimedOut, Tried
from blockd.dns.hedge import QUERIES_A_HEDGE, Budget
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


# Hedging


def rich():
    budget = Budget()
    for _ in range(QUERIES_A_HEDGE):
        budget.earn()
    return budget


LATE = (Choice(0, UDP, late_ms=40), Choice(1, UDP, late_ms=30), Choice(2, UDP, late_ms=30))


def hedged(order=LATE, **more):
    return Dialogue(order, budget=rich(), **more).begin(Send(0, 0, UDP)).at(40).tick(Send(1, 1, UDP, hedge=True))


def test_a_late_query_goes_to_the_next_good_upstream_too_and_the_first_answer_wins():
    hedged().at(45).on(1, Outcome.ANSWER, Finish(1)).on(0, Outcome.ANSWER)
    hedged().at(45).on(0, Outcome.ANSWER, Finish(0))


def test_a_query_is_hedged_once():
    d = hedged()
    assert d.machine.due_ms == 1000
    d.at(1000).tick(TimedOut(0)).at(1040).tick(TimedOut(1), Send(2, 2, UDP))
    assert d.machine.due_ms == STALE_MS


def test_an_answer_in_time_is_not_hedged():
    d = Dialogue(LATE, budget=rich()).begin(Send(0, 0, UDP)).at(39).tick().on(0, Outcome.ANSWER, Finish(0)).at(50).tick()
    assert d.machine.done


def test_without_a_budget_or_samples_or_another_good_one_nothing_is_hedged():
    for order, budget in (
        (LATE, None),
        (LATE, Budget()),
        (TWO, rich()),
        ((Choice(0, UDP, late_ms=40),), rich()),
        ((Choice(0, UDP, late_ms=40), Choice(1, UDP, good=False)), rich()),
    ):
        Dialogue(order, budget=budget).begin(Send(0, 0, UDP)).at(40).tick().at(999).tick()


def test_a_hedge_that_could_not_be_sent_costs_nothing():
    budget = rich()
    Dialogue((Choice(0, UDP, late_ms=40), Choice(1, UDP, good=False)), budget=budget).begin(Send(0, 0, UDP)).at(40).tick()
    assert budget.take()


@pytest.mark.parametrize("outcome", [Outcome.FAILURE, Outcome.UNREACHABLE, Outcome.MALFORMED, Outcome.NO_ROOM])
@pytest.mark.parametrize("number", [0, 1])
def test_when_one_of_two_fails_the_other_is_waited_for(outcome, number):
    hedged().at(45).on(number, outcome).at(60).on(1 - number, Outcome.ANSWER, Finish(1 - number))


def test_a_failure_before_it_is_late_goes_on_at_once_and_the_next_may_be_hedged():
    d = Dialogue(LATE, budget=rich()).begin(Send(0, 0, UDP)).at(10).on(0, Outcome.UNREACHABLE, Send(1, 1, UDP))
    d.at(40).tick(Send(2, 2, UDP, hedge=True))


def test_a_truncated_hedge_goes_to_tcp_there():
    hedged().at(45).on(1, Outcome.TRUNCATED, Send(2, 1, TCP)).at(50).on(2, Outcome.ANSWER, Finish(2))


# An old answer


def test_after_the_client_response_timer_an_old_answer_is_offered_once_and_the_query_goes_on():
    d = Dialogue(ONE).begin(Send(0, 0, UDP)).at(1000).tick(TimedOut(0), Send(1, 0, UDP))
    assert d.machine.due_ms == STALE_MS
    assert d.machine.tick(STALE_MS) == [Stale()]
    assert d.machine.tick(STALE_MS) == []
    d.at(1900).on(1, Outcome.ANSWER, Finish(1))


# What a native thread tried before


def tried(why, order=TWO, upstream=0):
    return Dialogue(order, tried=Tried(upstream, why))


@pytest.mark.parametrize("why", ["truncated", "spoofed"])
def test_what_was_truncated_or_spoofed_goes_to_tcp_at_once(why):
    tried(why).begin(Send(0, 0, TCP)).at(5).on(0, Outcome.ANSWER, Finish(0))


def test_silence_counts_as_a_send_and_a_second():
    d = tried("timeout").begin(Send(0, 1, UDP))
    assert d.machine.deadline_ms == DEADLINE_MS - 1000
    assert d.machine.due_ms == STALE_MS - 1000
    d.at(1000).tick(TimedOut(0), Send(1, 0, UDP)).at(2000).tick(TimedOut(1), Send(2, 1, UDP)).at(3000).tick(TimedOut(2), Send(3, 0, UDP))
    assert d.stale
    d.at(3500).tick(Fail(22))


def test_with_one_upstream_silence_leaves_two_sends():
    d = tried("timeout", ONE).begin(Send(0, 0, UDP)).at(1000).tick(TimedOut(0), Send(1, 0, UDP)).at(2000).tick(TimedOut(1))
    d.at(DEADLINE_MS - 1000).tick(Fail(22))


def test_after_a_failure_the_others_come_first():
    tried("failed").begin(Send(0, 1, UDP)).on(0, Outcome.FAILURE, Send(1, 0, UDP)).on(1, Outcome.ANSWER, Finish(1))


def test_an_upstream_that_is_not_in_the_order_any_more_was_tried_all_the_same():
    tried("timeout", (Choice(1, UDP),)).begin(Send(0, 1, UDP))
    tried("truncated", (Choice(1, UDP),)).begin(Send(0, 0, TCP)).on(0, Outcome.UNREACHABLE, Send(1, 1, UDP))


HEDGING = st.lists(
    st.builds(lambda way, sends, good, late: (way, sends, good, late), st.sampled_from(Way), st.integers(1, SENDS_MAX), st.booleans(),
              st.none() | st.integers(10, 500)), max_size=4)  # fmt: skip
TRIES = st.none() | st.builds(Tried, st.integers(0, 3), st.sampled_from(["timeout", "truncated", "failed", "spoofed"]))


@given(HEDGING, STEPS, TRIES, st.integers(0, 60))
def test_any_course_with_hedges_ends_once_and_sends_within_its_limits(servers, steps, before, earned):
    order = tuple(Choice(i, way, sends, good, late) for i, (way, sends, good, late) in enumerate(servers))
    budget = Budget()
    for _ in range(earned):
        budget.earn()
    machine, now, ends, hedges, stales = Forward(order, 0, budget=budget, tried=before), 0, 0, 0, 0
    actions = machine.begin(0)
    for outcome, pick, wait in [*steps, *[(None, 0, 0)] * 60, *[(Outcome.ANSWER, 0, 0)] * 3]:
        assert not ends or not actions, "nothing happens after the end"
        ends += sum(isinstance(a, Finish | Fail) for a in actions)
        hedges += sum(isinstance(a, Send) and a.hedge for a in actions)
        stales += sum(isinstance(a, Stale) for a in actions)
        assert ends == machine.done
        assert machine.done or machine.due_ms <= machine.deadline_ms <= DEADLINE_MS
        assert sum(isinstance(a, Send) for a in actions) <= 1
        if outcome is None or not machine.attempts:
            now = max(now, machine.due_ms) if not wait else now + wait
            actions = machine.tick(now)
        else:
            actions = machine.on(pick % len(machine.attempts), outcome, now)
    assert machine.done
    assert (ends, actions) == (1, [])
    assert hedges <= min(1, (earned + 1) // QUERIES_A_HEDGE)
    assert stales <= 1
    for upstream in range(4):
        for way in Way:
            sent = sum(a.upstream == upstream and a.way is way for a in machine.attempts)
            assert sent + (before is not None and before.upstream == upstream and way is UDP) <= SENDS_MAX


@given(st.integers(0, 1), st.integers(0, 400), st.integers(0, 400))
def test_the_crash_of_one_upstream_loses_no_query(dead, answers_after, late):
    """One of two upstreams dies at any moment; the other answers in time: the client has an answer before the deadline."""
    order = (Choice(0, UDP, late_ms=max(late, 10)), Choice(1, UDP, late_ms=max(late, 10)))
    machine, now, done = Forward(order, 0, budget=rich()), 0, None
    sent = [(0, a) for a in machine.begin(0)]
    while not machine.done:
        alive = [
            (at + answers_after, a.attempt)
            for at, a in sent
            if isinstance(a, Send) and a.upstream != dead and machine.attempts[a.attempt].open
        ]
        due = min([machine.due_ms, *(at for at, _ in alive)])
        now = max(now, due)
        ready = [number for at, number in alive if at <= now]
        actions = machine.on(ready[0], Outcome.ANSWER, now) if ready else machine.tick(now)
        sent += [(now, a) for a in actions if isinstance(a, Send)]
        done = actions[-1] if actions else None
    assert isinstance(done, Finish)
    assert now < DEADLINE_MS
