"""A co-signer's eyes: each thing that the publisher's tool would never stage is seen."""

from __future__ import annotations

import pytest

from blockd.feeds import repository, roles
from blockd.feeds.cosign import objections
from blockd.feeds.metadata import TargetFile
from tests.feeds.simulator import NOW, Simulator, meta, signer


@pytest.fixture
def sim():
    made = Simulator()
    made.publish("gambling", b"casino.example\n")
    made.publish("malware", b"bad.example\n")
    return made


def stage(sim, name="gambling"):
    target = TargetFile.from_data(f"{name}/list.txt", b"new.example\n", ["sha256"])
    target.unrecognized_fields["custom"] = roles.to_custom(meta())
    repository.stage_list(sim.state, name, target, NOW)
    return sim.state.staged


@pytest.mark.parametrize("name", ["gambling", "fresh"])
def test_what_the_tool_stages_is_signed(sim, name):
    staged = stage(sim, name)
    assert [objections(sim.state, role, NOW) for role in staged] == [[]] * len(staged)


@pytest.mark.parametrize("signers", [False, True])
def test_a_rotation_by_the_tool_is_signed(sim, signers):
    fresh = signer()
    keys = {s.public_key.keyid: s.public_key for s in [*sim.signers[1:], fresh]} if signers else None
    repository.stage_root(sim.state, NOW, signers=keys)
    assert not [o for role in sim.state.staged for o in objections(sim.state, role, NOW)]


def says(sim, role, word):
    assert any(word in objection for objection in objections(sim.state, role, NOW)), objections(sim.state, role, NOW)


def test_a_version_that_jumps(sim):
    stage(sim)["gambling"].signed.version += 1
    says(sim, "gambling", "follow")


def test_a_life_that_is_too_long(sim):
    stage(sim)["gambling"].signed.expires = repository.when(NOW, roles.LIST_LIFE_S + 2 * 3600)
    says(sim, "gambling", "longer")


def test_a_life_that_is_over(sim):
    stage(sim)["gambling"].signed.expires = repository.when(NOW, -1)
    says(sim, "gambling", "expired")


def test_a_second_target(sim):
    staged = stage(sim)["gambling"].signed
    staged.targets["gambling/other.txt"] = next(iter(staged.targets.values()))
    says(sim, "gambling", "one target")


def test_a_word_that_gateways_do_not_know(sim):
    next(iter(stage(sim)["gambling"].signed.targets.values())).unrecognized_fields["custom"]["basis"] = "because"
    says(sim, "gambling", "basis")


def test_a_delegation_to_other_keys(sim):
    staged = stage(sim, "fresh")["targets"].signed
    stranger = signer().public_key
    staged.delegations.keys[stranger.keyid] = stranger
    staged.delegations.roles["fresh"].keyids = [stranger.keyid]
    says(sim, "targets", "signers of the root")
    says(sim, "targets", "a key that the root does not")


def test_a_delegation_with_a_lower_threshold(sim):
    stage(sim, "fresh")["targets"].signed.delegations.roles["malware"].threshold = 1
    says(sim, "targets", "malware")


def test_a_delegation_for_anothers_path(sim):
    stage(sim, "fresh")["targets"].signed.delegations.roles["fresh"].paths = ["gambling/*"]
    says(sim, "targets", "fresh")


def test_a_delegation_that_is_dropped(sim):
    del stage(sim, "fresh")["targets"].signed.delegations.roles["malware"]
    says(sim, "targets", "drops a list: malware")


def test_a_target_in_the_top_role(sim):
    staged = stage(sim, "fresh")
    staged["targets"].signed.targets = dict(staged["fresh"].signed.targets)
    says(sim, "targets", "delegations only")


def test_a_list_that_nothing_delegates(sim):
    staged = stage(sim, "fresh")
    del staged["targets"]
    says(sim, "fresh", "nothing delegates")


def test_a_root_with_other_signers_for_lists_than_for_itself(sim):
    repository.stage_root(sim.state, NOW)
    sim.state.staged["root"].signed.roles["targets"].keyids.pop()
    says(sim, "root", "other signers")


def test_a_root_without_consistent_snapshots(sim):
    repository.stage_root(sim.state, NOW)
    sim.state.staged["root"].signed.consistent_snapshot = False
    says(sim, "root", "consistent")


def test_a_root_whose_threshold_cannot_be_met(sim):
    repository.stage_root(sim.state, NOW)
    for role in ("root", "targets"):
        sim.state.staged["root"].signed.roles[role].threshold = 9
    says(sim, "root", "no sense")
