"""When a query is late, and what the budget allows."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from blockd.dns.hedge import HEDGES_SAVED, LATE_MAX_MS, LATE_MIN_MS, QUERIES_A_HEDGE, SAMPLES, SAMPLES_LEAST, Budget, Latency


def known(*rtts):
    latency = Latency()
    for rtt in rtts:
        latency.add(rtt)
    return latency


def test_with_few_answers_nothing_is_late():
    assert known(*[50] * (SAMPLES_LEAST - 1)).late_ms is None
    assert known(*[50] * SAMPLES_LEAST).late_ms == 50


def test_it_is_bounded():
    assert known(*[0.1] * SAMPLES).late_ms == LATE_MIN_MS
    assert known(*[4000] * SAMPLES).late_ms == LATE_MAX_MS


def test_one_in_twenty_is_above_it():
    assert known(*range(101, 201)).late_ms == 195


def test_old_answers_are_forgotten():
    assert known(*[400] * SAMPLES, *[20] * SAMPLES).late_ms == 20


@given(st.lists(st.floats(0, 5000), min_size=SAMPLES_LEAST, max_size=3 * SAMPLES))
def test_it_is_the_percentile_of_the_last_answers(rtts):
    last = sorted(rtts[-SAMPLES:])
    expected = last[math.ceil(len(last) * 95 / 100) - 1]
    assert known(*rtts).late_ms == min(max(round(expected), LATE_MIN_MS), LATE_MAX_MS)


@given(st.lists(st.booleans(), max_size=3000))
def test_overload_is_never_doubled(steps):
    """Whatever the course: never more hedges than a twentieth of the queries until then."""
    budget, queries, hedges = Budget(), 0, 0
    for query in steps:
        if query:
            budget.earn()
            queries += 1
        else:
            hedges += budget.take()
        assert hedges * QUERIES_A_HEDGE <= queries


def test_a_quiet_time_saves_no_more_than_the_limit():
    budget = Budget()
    for _ in range(100_000):
        budget.earn()
    assert sum(budget.take() for _ in range(1000)) == HEDGES_SAVED
