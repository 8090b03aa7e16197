from __future__ import annotations

from dataclasses import replace

import pytest

from blockd.audit.record import Entry, Event, decode, encode
from blockd.control.levers import APPROVALS_MAX, DIGESTS_MAX, SAY_AGAIN_S, Levers
from blockd.terms import Instant, ListName

A, B = ListName("f/a"), ListName("f/b")


def fold(*entries: Entry) -> Levers:
    return Levers.of(decode(encode(entry)) for entry in entries)


def test_a_hold_lasts_until_resumed():
    held = Entry(Event.HOLD, 1, A)
    assert fold(held).holds == {A}
    assert fold(held, Entry(Event.RESUMED, 2, B)).holds == {A}
    assert fold(held, Entry(Event.RESUMED, 2, A)).holds == set()


def test_a_kill_ends_by_itself_or_by_a_person():
    levers = fold(Entry(Event.KILLED, 1, A, until=100))
    assert levers.killed(A, Instant(99.9))
    assert not levers.killed(A, Instant(100.0))
    assert not levers.killed(B, Instant(50.0))
    assert not fold(Entry(Event.KILLED, 1, A, until=100), Entry(Event.RESUMED, 2, A)).killed(A, Instant(50.0))


def test_the_end_of_a_kill_does_not_end_a_hold():
    assert fold(Entry(Event.HOLD, 1, A), Entry(Event.KILLED, 1, A, until=5), Entry(Event.RESUMED, 6, A, code="lapsed")).holds == {A}


def test_what_was_rolled_back_does_not_come_back_by_itself():
    assert fold(Entry(Event.ROLLED_BACK, 1, A, version=2, sha256="aa")).holds == {A}


def test_an_approval_is_of_one_very_version():
    levers = fold(Entry(Event.APPROVED, 1, A, version=5, sha256="aa"))
    assert levers.approved(A, 5, "aa")
    assert not levers.approved(A, 5, "bb")
    assert not levers.approved(A, 6, "aa")
    assert not levers.approved(B, 5, "aa")


def test_generations():
    levers = fold(
        Entry(Event.APPLIED, 1, A, generation=1),
        Entry(Event.GENERATION, 1, generation=1, table="t1"),
        Entry(Event.ACTIVATED, 1, generation=1),
        Entry(Event.GENERATION, 2, generation=2, table="t2"),
    )
    assert (levers.generation, levers.activated, levers.digests, levers.indexes) == (2, 1, {1: "t1", 2: "t2"}, {1: 1, 2: 3})
    levers.take(Entry(Event.ABANDONED, 3, generation=2))
    assert (levers.generation, levers.digests) == (2, {1: "t1"})


def test_what_is_remembered_is_bounded():
    levers = Levers()
    for n in range(1, 3000):
        levers.take(Entry(Event.GENERATION, n, generation=n, table=str(n)))
        levers.take(Entry(Event.APPROVED, n, A, version=n, sha256="aa"))
    assert len(levers.digests) == len(levers.indexes) == DIGESTS_MAX
    assert levers.digests[2999] == "2999"
    assert len(levers.approvals) == APPROVALS_MAX
    assert levers.approved(A, 2999, "aa")


def test_the_same_refusal_is_said_once_a_day():
    said = Entry(Event.REFUSED, 1000, A, code="signature")
    levers = fold(said)
    assert not levers.worth_saying(replace(said, time=1600))
    assert levers.worth_saying(replace(said, time=1600, code="rollback"))
    assert levers.worth_saying(replace(said, time=1600, list=B))
    assert levers.worth_saying(replace(said, time=1000 + int(SAY_AGAIN_S)))
    assert levers.worth_saying(replace(said, time=500)), "a clock that was set back must not silence the record"


@pytest.mark.parametrize(
    ("before", "worth"),
    [([], False), ([Event.APPLIED], False), ([Event.REFUSED], True), ([Event.HELD], True), ([Event.REFUSED, Event.UNCHANGED], False)],
)
def test_unchanged_is_worth_a_line_only_after_trouble(before, worth):
    levers = fold(*(Entry(event, n, A) for n, event in enumerate(before)))
    assert levers.worth_saying(Entry(Event.UNCHANGED, 10, A)) is worth


def test_policy_and_software_are_the_last_that_was_recorded():
    levers = fold(
        Entry(Event.START, 1, software="0.1.0"),
        Entry(Event.POLICY, 1, A, mode="shadow", code="x"),
        Entry(Event.POLICY, 2, A, mode="enforce", code="y"),
    )
    assert (levers.software, levers.policies) == ("0.1.0", {A: ("enforce", "y")})
