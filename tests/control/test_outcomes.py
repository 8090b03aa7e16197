from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockd.control.outcomes import History, Outcome, dump, load
from blockd.errors import Corrupt
from blockd.terms import Instant, ListName, Result

A = ListName("f/a")


def test_what_the_command_prints():
    outcome = Outcome(A, Result.CHANGE_CAP, 7, 3, "too much")
    assert outcome.json() == {"list": "f/a", "result": "change_cap", "generation": 7, "version": 3, "detail": "too much"}
    assert not outcome.ok
    assert {r for r in Result if Outcome(A, r, 1, 1).ok} == {Result.APPLIED, Result.NOT_MODIFIED}


def test_a_history_counts_and_remembers_the_last_success():
    history = History()
    for n, result in enumerate([Result.APPLIED, Result.SIGNATURE, Result.SIGNATURE, Result.NOT_MODIFIED, Result.FETCH]):
        history = history.after(result, Instant(float(n)), Instant(100.0 + n) if result is not Result.FETCH else None)
    assert history.last_result is Result.FETCH
    assert history.last_success == 3.0
    assert history.expires == 103.0
    assert history.updates == {Result.APPLIED: 1, Result.SIGNATURE: 2, Result.NOT_MODIFIED: 1, Result.FETCH: 1}


seconds = st.none() | st.integers(0, 2**40).map(lambda n: Instant(float(n)))
histories = st.builds(
    History, st.none() | st.sampled_from(Result), seconds, seconds, st.dictionaries(st.sampled_from(Result), st.integers(0, 10**9))
)


@given(st.dictionaries(st.sampled_from(["f/a", "f/b"]).map(ListName), histories))
def test_what_is_written_is_read(value):
    assert load(dump(value)) == value


@given(
    st.binary(max_size=100) | st.sampled_from([b"{}", b"[]", b'{"version":1,"lists":{"a":{}}}', b'{"version":2,"lists":{}}', b"[" * 9999])
)
def test_anything_else_is_corrupt(data):
    with pytest.raises(Corrupt):
        load(data)
