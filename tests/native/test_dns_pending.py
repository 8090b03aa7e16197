"""Queries on their way: against a dict that does the same slowly."""

from __future__ import annotations

import random

import pytest

from blockd.native._dns import Pending
from tests.native.dns_tools import Rig, ask_for


@pytest.fixture(scope="module")
def asks():
    rig = Rig()
    return [rig.ask(ask_for(f"n{i}.example.com")) for i in range(400)]


def test_equal_questions_share_a_slot(asks):
    pending = Pending(4)
    rig = Rig()
    first = pending.open(rig.ask(ask_for("www.example.com")), 100)
    again = pending.open(rig.ask(ask_for("WWW.example.com", use_edns=0)), 5)
    assert first is not None
    assert first[1]
    assert again == (first[0], False)
    assert len(pending) == 1
    assert pending.expire(99) == []
    assert pending.expire(100) == [first[0]]
    assert len(pending) == 0


def test_it_is_full_at_its_capacity(asks):
    pending = Pending(3)
    slots = [pending.open(ask, 10)[0] for ask in asks[:3]]
    assert pending.open(asks[3], 10) is None
    assert pending.open(asks[1], 10) == (slots[1], False)
    pending.close(slots[0])
    assert pending.open(asks[3], 10)[1]
    assert len(pending) == 3


def test_a_slot_that_was_closed_stays_closed(asks):
    """A late close of one query must not close the one that took its place."""
    pending = Pending(1)
    old = pending.open(asks[0], 10)[0]
    pending.close(old)
    new = pending.open(asks[1], 10)[0]
    assert new != old
    for wrong in (old, -1, 0, 1 << 40, -(1 << 62)):
        pending.close(wrong)
    assert len(pending) == (0 if new == 0 else 1)
    assert pending.expire(10) == [new]
    pending.close(new)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("capacity", [1, 2, 7, 64, 300])
def test_as_a_dict_does_it(asks, seed, capacity):
    rng = random.Random(seed)
    pending, model, now, seen = Pending(capacity), {}, 0, set()  # model: key -> (slot, deadline)
    for _ in range(3000):
        roll = rng.random()
        if roll < 0.6:
            ask = rng.choice(asks)
            deadline = now + rng.randrange(200)
            opened = pending.open(ask, deadline)
            if ask.key in model:
                assert opened == (model[ask.key][0], False)
            elif len(model) == capacity:
                assert opened is None
            else:
                slot, new = opened
                assert new
                assert slot not in seen
                seen.add(slot)
                model[ask.key] = (slot, deadline)
        elif roll < 0.9 and model:
            key = rng.choice(list(model))
            pending.close(model.pop(key)[0])
        else:
            now += rng.randrange(30)
            expired = pending.expire(now)
            due = {key: found for key, found in model.items() if found[1] <= now}
            assert sorted(expired) == sorted(slot for slot, _ in due.values())
            deadlines = dict(due.values())
            assert [deadlines[slot] for slot in expired] == sorted(deadlines.values())
            for key in due:
                del model[key]
        assert len(pending) == len(model)


@pytest.mark.parametrize("capacity", [0, -1, (1 << 20) + 1])
def test_the_capacity_is_checked(capacity):
    with pytest.raises(ValueError, match="capacity"):
        Pending(capacity)


def test_arguments_are_checked(asks):
    pending = Pending(2)
    with pytest.raises(TypeError):
        pending.open("ask", 1)
    with pytest.raises(OverflowError):
        pending.open(asks[0], -1)
    with pytest.raises(TypeError):
        pending.expire(None)
    with pytest.raises(TypeError):
        pending.close("x")
    assert len(pending) == 0
