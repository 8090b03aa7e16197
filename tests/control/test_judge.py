from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockd.config.schema import MaxChange
from blockd.control.judge import Change, cap, judge
from blockd.terms import Result

LIMITS = MaxChange(add=0.25, remove=0.10, floor=50)


def change(added=0, removed=0, enforced=1000, rows=None, bad=0, protected=0, entries=None):
    after = (enforced or 0) + added - removed if entries is None else entries
    return Change(added, removed, enforced, after, after + bad + protected if rows is None else rows, bad, protected)


@pytest.mark.parametrize(
    ("what", "result"),
    [
        (change(added=250), None),
        (change(added=251), Result.CHANGE_CAP),
        (change(removed=100), None),
        (change(removed=101), Result.CHANGE_CAP),
        (change(added=250, removed=100), None),
        (change(added=50, removed=50, enforced=60), None),  # the floor, for small lists
        (change(added=51, enforced=60), Result.CHANGE_CAP),
        (change(removed=51, enforced=60), Result.CHANGE_CAP),
        (change(added=10**7, enforced=None), None),  # a first version has nothing to be compared with
        (change(added=51, enforced=0), Result.CHANGE_CAP),  # a list that was empty is not a first version
        (change(bad=10, rows=1000), None),  # 1 % is not more than 1 %
        (change(bad=11, rows=1000), Result.HELD),
        (change(bad=11, rows=1000, enforced=None, entries=989), Result.HELD),  # a first version as well
        (change(protected=500, rows=1500), None),  # protected rows are dropped and counted, they are not malformed
        (change(protected=5, rows=5, enforced=None, entries=0), Result.PROTECTED),
        (change(bad=5, rows=5, enforced=None, entries=0), Result.SHAPE),
        (change(bad=5, protected=5, rows=10, entries=0), Result.SHAPE),
        (change(removed=1000, entries=0), Result.CHANGE_CAP),  # an emptied list
    ],
)
def test_the_table(what, result):
    assert judge(what, LIMITS, "f/a").result is result


def test_a_person_lets_it_through_but_not_a_list_of_protected_names():
    assert judge(change(removed=1000, entries=0), LIMITS, "f/a", approved=True).admitted
    assert judge(change(bad=900, rows=1000), LIMITS, "f/a", approved=True).admitted
    assert not judge(change(protected=5, rows=5, entries=0), LIMITS, "f/a", approved=True).admitted


def test_rows_that_run_out_by_their_own_date_ask_nobody():
    assert judge(change(removed=1000, entries=0), LIMITS, "f/a", by_itself=True).admitted


def test_what_is_held_says_what_to_do():
    said = judge(change(removed=400), LIMITS, "f/a")
    assert said.held
    assert said.why == "it removes 400 entries where 1000 are enforced and at most 100 may change: blockd lists approve f/a"


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**7), st.floats(0, 2), st.integers(0, 10**6))
def test_the_cap_is_exactly_where_it_is_said_to_be(added, removed, enforced, share, floor):
    limits = MaxChange(add=share, remove=share, floor=floor)
    limit = max(floor, int(share * enforced))
    assert cap(share, floor, enforced) == limit
    said = judge(Change(added, removed, enforced, 1, 1), limits, "f/a")
    assert said.admitted == (added <= limit and removed <= limit)
