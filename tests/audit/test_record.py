from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockd.audit.record import Entry, Event, at, commitment, decode, encode, pseudonym
from blockd.errors import Corrupt
from blockd.terms import Instant, ListName

FULL = Entry(
    Event.APPLIED,
    1_795_521_600,
    ListName("hotline/domains"),
    7,
    12,
    "ab" * 32,
    "cd" * 32,
    100,
    5,
    2,
    1,
    1,
    "enforce",
    None,
    None,
    "op-1",
    "ef" * 32,
    "0.1.0",
)


def test_the_bytes_are_canonical_and_hold_no_more_than_was_said():
    data = encode(Entry(Event.START, 0, software="0.1.0"))
    assert data == b'{"event":"start","software":"0.1.0","time":"1970-01-01T00:00:00Z","v":1}'


@pytest.mark.parametrize("entry", [FULL, Entry(Event.KILLED, 5, ListName("a/b"), until=99)])
def test_what_is_written_is_read(entry):
    assert decode(encode(entry)) == entry


@given(
    st.builds(
        Entry,
        st.sampled_from(Event),
        st.integers(0, 2**33),
        version=st.none() | st.integers(0, 2**63),
        code=st.none() | st.text(max_size=20),
    )
)
def test_any_entry_survives_and_keys_are_sorted(entry):
    data = encode(entry)
    assert decode(data) == entry
    assert list(json.loads(data)) == sorted(json.loads(data))


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_an_entry_or_corrupt(data):
    with pytest.raises(Corrupt):
        decode(data)


def test_a_float_cannot_enter():
    assert at(Instant(12.9)) == 12
    with pytest.raises(ValueError, match=r"JSON|float|range"):
        encode(Entry(Event.START, 0, entries=float("nan")))  # type: ignore[arg-type]


def test_a_reason_is_bound_and_not_told():
    assert commitment(b"a" * 16, "why") != commitment(b"b" * 16, "why")
    assert pseudonym(b"k" * 16, "alice") == pseudonym(b"k" * 16, "alice") != pseudonym(b"k" * 16, "bob")
    assert "alice" not in pseudonym(b"k" * 16, "alice")
