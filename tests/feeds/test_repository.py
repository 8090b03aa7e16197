from __future__ import annotations

import pytest

from blockd.errors import Corrupt, Refused
from blockd.feeds import repository, roles
from blockd.feeds.metadata import TargetFile
from tests.feeds.simulator import NOW, Simulator, meta, signer


def target(name="gambling", data=b"x"):
    made = TargetFile.from_data(f"{name}/list.txt", data, ["sha256"])
    made.unrecognized_fields["custom"] = roles.to_custom(meta())
    return made


@pytest.fixture
def sim():
    return Simulator()


def test_the_first_version(sim):
    root = sim.state.root.signed
    assert root.consistent_snapshot
    assert [root.roles[r].threshold for r in ("root", "targets", "snapshot", "timestamp")] == [2, 2, 1, 1]
    assert root.roles["root"].keyids == root.roles["targets"].keyids
    assert root.roles["snapshot"].keyids == root.roles["timestamp"].keyids == [sim.online[0].public_key.keyid]
    repository.check_live(sim.state)


def test_a_new_list_brings_its_delegation(sim):
    repository.stage_list(sim.state, "gambling", target(), NOW)
    assert set(sim.state.staged) == {"gambling", "targets"}
    role = sim.state.staged["targets"].signed.delegations.roles["gambling"]
    assert (role.terminating, role.paths, role.threshold, len(role.keyids)) == (True, ["gambling/*"], 2, 3)


def test_a_known_list_does_not(sim):
    sim.publish("gambling", b"x")
    repository.stage_list(sim.state, "gambling", target(), NOW)
    assert set(sim.state.staged) == {"gambling"}
    assert sim.state.staged["gambling"].signed.version == 2


def test_nothing_is_ready_below_the_threshold(sim):
    repository.stage_list(sim.state, "gambling", target(), NOW)
    repository.sign(sim.state, sim.signers[:1])
    assert repository.ready(sim.state) == []
    assert repository.promote(sim.state, sim.online, NOW) == []
    assert repository.progress(sim.state, "gambling") == repository.Signed(1, 2)


def test_a_list_waits_for_its_delegation(sim):
    repository.stage_list(sim.state, "gambling", target(), NOW)
    for key in sim.signers:
        sim.state.staged["gambling"].sign(key, append=True)
    assert repository.ready(sim.state) == []
    repository.sign(sim.state, sim.signers[:2])
    assert repository.ready(sim.state) == ["gambling", "targets"]


def test_the_order_of_writing(sim):
    repository.stage_list(sim.state, "gambling", target(), NOW)
    repository.sign(sim.state, sim.signers)
    assert [name for name, _ in repository.promote(sim.state, sim.online, NOW)] == [
        "1.gambling.json",
        "2.targets.json",
        "2.snapshot.json",
        "timestamp.json",
    ]


def test_a_root_comes_after_what_it_needs(sim):
    sim.publish("gambling", b"x")
    fresh = signer()
    signers = {s.public_key.keyid: s.public_key for s in [*sim.signers[1:], fresh]}
    repository.stage_root(sim.state, NOW, signers=signers)
    repository.sign(sim.state, [*sim.signers, fresh])
    assert [name for name, _ in repository.promote(sim.state, sim.online, NOW)] == [
        "2.gambling.json", "3.targets.json", "3.snapshot.json", "timestamp.json", "2.root.json",
    ]  # fmt: skip


def test_a_root_comes_first_when_the_old_online_key_is_lost(sim):
    fresh = signer()
    repository.stage_root(sim.state, NOW, online=fresh.public_key)
    repository.sign(sim.state, sim.signers)
    assert [name for name, _ in repository.promote(sim.state, [fresh], NOW)] == ["2.root.json", "2.snapshot.json", "timestamp.json"]


def test_a_rotation_needs_the_old_and_the_new_threshold(sim):
    fresh = [signer() for _ in range(3)]
    repository.stage_root(sim.state, NOW, signers={s.public_key.keyid: s.public_key for s in fresh})
    repository.sign(sim.state, fresh)
    assert repository.ready(sim.state) == []
    repository.sign(sim.state, sim.signers[:1])
    assert repository.ready(sim.state) == []
    repository.sign(sim.state, sim.signers[1:2])
    assert repository.ready(sim.state) == ["targets", "root"]


def test_a_signature_by_a_key_that_has_no_say_is_not_made(sim):
    repository.stage_list(sim.state, "gambling", target(), NOW)
    assert repository.sign(sim.state, [signer()]) == []
    assert sim.state.staged["gambling"].signatures == {}


def test_a_signature_over_something_else_does_not_count(sim):
    repository.stage_list(sim.state, "gambling", target(), NOW)
    repository.sign(sim.state, sim.signers)
    sim.state.staged["gambling"].signed.version = 7
    assert repository.signed(sim.state, "gambling").signatures == 0


def test_promote_without_the_online_key(sim):
    repository.stage_list(sim.state, "gambling", target(), NOW)
    repository.sign(sim.state, sim.signers)
    with pytest.raises(Refused, match="online"):
        repository.promote(sim.state, [], NOW)


@pytest.mark.parametrize("name", ["root", "a/b", "A", "", ".x", "x" * 64])
def test_names_that_are_none(sim, name):
    with pytest.raises(Refused):
        repository.stage_list(sim.state, name, target(), NOW)


def test_a_feed_has_a_limit_of_lists(sim, monkeypatch):
    monkeypatch.setattr(roles, "LISTS_MAX", 2)
    repository.stage_targets(sim.state, ["a", "b"], NOW)
    with pytest.raises(Refused, match="at most 2"):
        repository.stage_targets(sim.state, ["c"], NOW)


def test_check_live_names_what_was_changed(sim):
    sim.publish("gambling", b"x")
    sim.state.lists["gambling"].signed.version = 9
    with pytest.raises(Corrupt, match="gambling"):
        repository.check_live(sim.state)


def test_refresh_renews_the_snapshot_in_the_second_half_of_its_life(sim):
    assert [n for n, _ in repository.refresh(sim.state, sim.online, NOW)] == ["timestamp.json"]
    later = NOW + roles.SNAPSHOT_LIFE_S / 2 + 1
    assert [n for n, _ in repository.refresh(sim.state, sim.online, later)] == ["2.snapshot.json", "timestamp.json"]


def test_list_target_wants_just_one(sim):
    sim.publish("gambling", b"x")
    live = sim.state.lists["gambling"]
    assert repository.list_target(live, "gambling")[1] == meta()
    extra = target()
    live.signed.targets["gambling/other.txt"] = extra
    with pytest.raises(Refused) as caught:
        repository.list_target(live, "gambling")
    assert caught.value.reason == "shape"
    live.signed.targets.clear()
    with pytest.raises(Refused):
        repository.list_target(live, "gambling")


def test_list_target_wants_sha256_alone(sim):
    sim.publish("gambling", b"x")
    live = sim.state.lists["gambling"]
    found, _ = repository.list_target(live, "gambling")
    found.hashes["sha512"] = "00"
    with pytest.raises(Refused, match="SHA-256"):
        repository.list_target(live, "gambling")
