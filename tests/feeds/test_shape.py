from __future__ import annotations

import pytest

from blockd.errors import Refused
from blockd.feeds import roles, shape
from blockd.feeds.shape import delegated, judge
from tests.feeds.simulator import Simulator, meta


@pytest.fixture
def sim():
    made = Simulator()
    made.publish("gambling", b"casino.example\n")
    return made


def test_delegated(sim):
    assert delegated(sim.state.targets) == ["gambling"]
    sim.state.targets.signed.delegations = None
    assert delegated(sim.state.targets) == []


def test_judge(sim):
    current = judge(sim.state.targets, sim.state.lists["gambling"], "gambling")
    assert (current.version, current.meta, current.signatures, current.threshold) == (1, meta(), 3, 2)
    assert current.expires == sim.now + roles.LIST_LIFE_S


def test_the_earlier_expiry_counts(sim):
    sim.state.targets.signed.expires = sim.state.timestamp.signed.expires
    assert judge(sim.state.targets, sim.state.lists["gambling"], "gambling").expires == sim.now + roles.TIMESTAMP_LIFE_S


def test_the_digest_of_the_signers_changes_with_them_and_with_the_threshold(sim):
    before = judge(sim.state.targets, sim.state.lists["gambling"], "gambling").signers
    sim.state.targets.signed.delegations.roles["gambling"].threshold = 1
    after = judge(sim.state.targets, sim.state.lists["gambling"], "gambling").signers
    assert before != after


def test_a_list_that_is_too_large(sim, monkeypatch):
    monkeypatch.setattr(shape, "TARGET_MAX_OCTETS", 3)
    with pytest.raises(Refused, match="larger"):
        judge(sim.state.targets, sim.state.lists["gambling"], "gambling")


def test_too_many_lists(sim, monkeypatch):
    monkeypatch.setattr(roles, "LISTS_MAX", 0)
    with pytest.raises(Refused, match="more than"):
        delegated(sim.state.targets)
