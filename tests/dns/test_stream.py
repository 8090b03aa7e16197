"""Framing and the life of a TCP client's connection, as dialogues."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockd.dns.stream import (
    IDLE_MS,
    IN_FLIGHT_MAX,
    LINGER_MAX_BYTES,
    LINGER_MS,
    MESSAGE_MS,
    QUERY_MAX_BYTES,
    WRITE_MS,
    Conversation,
    Framer,
)
from blockd.errors import Refused


def framed(*messages):
    return b"".join(len(m).to_bytes(2, "big") + m for m in messages)


def taken(framer):
    found = []
    while (message := framer.take()) is not None:
        found.append(message)
    return found


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=8), st.lists(st.integers(0, 2000), max_size=12))
def test_cut_anywhere_is_the_same_as_all_at_once(messages, cuts):
    data, framer, found = framed(*messages), Framer(4096), []
    places = [0, *sorted(c % (len(data) + 1) for c in cuts), len(data)]
    for start, end in pairwise(places):
        framer.feed(data[start:end])
        found += taken(framer)
    assert found == messages
    assert not framer.begun


def test_a_message_that_is_too_long_is_refused_from_its_length_alone():
    framer = Framer(QUERY_MAX_BYTES)
    framer.feed(framed(b"x" * QUERY_MAX_BYTES))
    assert taken(framer) == [b"x" * QUERY_MAX_BYTES]
    framer.feed((QUERY_MAX_BYTES + 1).to_bytes(2, "big"))
    with pytest.raises(Refused) as refused:
        framer.take()
    assert refused.value.reason == "oversized"


def test_an_empty_message_is_refused():
    framer = Framer(10)
    framer.feed(b"\0\0")
    with pytest.raises(Refused) as refused:
        framer.take()
    assert refused.value.reason == "empty"


@given(st.binary(max_size=600))
def test_any_octets_give_messages_or_refused(data):
    framer = Framer(64)
    framer.feed(data)
    try:
        found = taken(framer)
    except Refused:
        return
    assert data.startswith(framed(*found))


def test_an_idle_client_is_closed():
    talk = Conversation(0)
    assert not talk.expired(IDLE_MS - 1)
    assert talk.expired(IDLE_MS)


def test_a_query_and_its_answer_start_the_idle_time_again():
    talk = Conversation(0)
    talk.receive(framed(b"query"), 5000)
    assert talk.take(5000) == b"query"
    assert not talk.expired(10**9)  # in flight: the resolver's own deadline holds
    talk.answered(6000)
    assert not talk.expired(6000 + IDLE_MS - 1)
    assert talk.expired(6000 + IDLE_MS)


def test_slow_loris_a_drop_every_second_does_not_keep_a_connection():
    talk = Conversation(0)
    message = framed(b"query")
    for second in range(5):
        talk.receive(message[second : second + 1], second * 1000)
        assert talk.take(second * 1000) is None
        assert not talk.expired(second * 1000)
    talk.receive(message[5:6], MESSAGE_MS)
    assert talk.take(MESSAGE_MS) is None
    assert talk.expired(MESSAGE_MS)


def test_the_time_of_a_message_begins_with_its_first_octet():
    talk = Conversation(0)
    talk.receive(framed(b"one") + b"\0", 4000)
    assert talk.take(4000) == b"one"
    assert talk.take(4000) is None
    talk.answered(4000)
    assert not talk.expired(4000 + MESSAGE_MS - 1)
    assert talk.expired(4000 + MESSAGE_MS)


def test_more_than_the_limit_in_flight_is_not_taken_nor_read():
    talk = Conversation(0)
    talk.receive(framed(*[b"query"] * (IN_FLIGHT_MAX + 3)), 0)
    for _ in range(IN_FLIGHT_MAX):
        assert talk.take(0) == b"query"
        assert talk.reads == (not talk.full)
    assert talk.take(0) is None
    assert not talk.reads
    talk.answered(10)
    assert talk.reads
    assert talk.take(10) == b"query"


def test_a_half_closed_client_gets_its_answers_before_the_end():
    talk = Conversation(0)
    talk.receive(framed(b"one", b"two"), 0)
    talk.end()
    assert talk.take(0) == b"one"
    assert talk.take(0) == b"two"
    assert not talk.finished
    talk.answered(1)
    assert not talk.finished
    talk.answered(2)
    assert talk.finished
    assert not talk.reads


def test_garbage_ends_it_after_what_was_good():
    talk = Conversation(0)
    talk.receive(framed(b"one") + b"\xff\xff", 0)
    assert talk.take(0) == b"one"
    assert talk.take(0) is None
    assert talk.broken
    assert not talk.finished
    talk.answered(1)
    assert talk.finished


def test_after_garbage_what_still_comes_is_thrown_away_within_limits():
    talk = Conversation(0)
    talk.receive(b"\xff\xff", 100)
    assert talk.take(100) is None
    assert talk.finished
    assert talk.reads
    talk.receive(b"x" * LINGER_MAX_BYTES, 100)
    assert talk.take(100) is None
    assert not talk.expired(100 + LINGER_MS - 1)
    assert talk.expired(100 + LINGER_MS)
    talk.receive(b"x", 101)
    assert talk.expired(101)


def test_who_is_refused_is_not_listened_to():
    talk = Conversation(0)
    talk.receive(framed(b"one", b"two"), 0)
    assert talk.take(0) == b"one"
    talk.refuse()
    assert talk.take(0) is None
    assert not talk.finished
    talk.answered(0)
    assert talk.finished


def test_a_client_that_does_not_take_its_answers_is_dropped():
    talk = Conversation(0)
    talk.receive(framed(b"one", b"two"), 0)
    assert talk.take(0) == b"one"
    talk.stuck(100)
    talk.stuck(200)  # still the same
    assert talk.take(200) is None
    assert not talk.reads
    assert not talk.expired(100 + WRITE_MS - 1)
    assert talk.expired(100 + WRITE_MS)
    talk.flowing(300)
    assert talk.take(300) == b"two"
