"""The attacks of the TUF specification (§1.5.2), one test or more each, named after it. What a gateway holds must not change.

Here: arbitrary software installation, key compromise, rollback, fast-forward. The others are in test_attacks_in_transit.py.
Extraneous dependencies is in neither: a list depends on no other file.
"""

from __future__ import annotations

import copy

import pytest

from blockd.errors import Refused
from blockd.feeds import repository
from tests.feeds.attacks import EVIL, GOOD, evil_target, refuses, serve
from tests.feeds.simulator import Simulator, signer

# Arbitrary software installation ------------------------------------------------------------------------------------------------------


def test_arbitrary_software_the_target_is_another_file(sim, tmp_path):
    path = next(p for p in sim.files if p.startswith("targets/"))
    sim.files[path] = EVIL + b"#" * (len(GOOD) - len(EVIL))
    subscription = sim.subscribe(tmp_path)
    subscription.refresh(sim.now)
    with pytest.raises(Refused) as caught:
        subscription.download("gambling")
    assert caught.value.reason == "signature"
    assert not [p for p in (subscription.folder / "targets").rglob("*") if p.is_file()]


def test_arbitrary_software_a_list_signed_by_a_stranger(sim, subscription):
    live = sim.state.lists["gambling"]
    live.signed.version += 1
    live.signed.targets = {"gambling/list.txt": evil_target()}
    sim.resign("gambling", [signer(), signer()])
    sim.forge_up()
    refuses(subscription, sim, "signature")


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "gambling"])
def test_arbitrary_software_metadata_signed_by_a_stranger(sim, subscription, role):
    sim.state.live(role).signed.version += 1
    stranger = signer()
    if role in {"snapshot", "timestamp"}:
        if role == "snapshot":
            sim.refresh()
            sim.state.snapshot.signed.version += 1
        sim.resign(role, [stranger])
        if role == "snapshot":
            sim.state.timestamp.signed.version += 1
            sim.state.timestamp.signed.snapshot_meta.version = sim.state.snapshot.signed.version
            sim.state.timestamp.signed.snapshot_meta.length = sim.state.timestamp.signed.snapshot_meta.hashes = None
            sim.resign("timestamp", sim.online)
    else:
        sim.resign(role, [stranger, stranger])
        sim.forge_up()
    refuses(subscription, sim, "signature")


def test_arbitrary_software_a_new_root_signed_by_strangers(sim, subscription):
    strangers = [signer(), signer()]
    repository.stage_root(sim.state, sim.now, signers={s.public_key.keyid: s.public_key for s in strangers}, threshold=2)
    root = sim.state.staged["root"]
    for stranger in strangers:
        root.sign(stranger, append=True)
    sim.files["metadata/2.root.json"] = root.to_bytes()
    refuses(subscription, sim, "signature")
    assert not (subscription.folder / "metadata" / "root_history" / "2.root.json").exists()


# Key compromise below the threshold ---------------------------------------------------------------------------------------------------


def test_key_compromise_one_of_two_signers_cannot_change_a_list(sim, subscription):
    live = sim.state.lists["gambling"]
    live.signed.version += 1
    live.signed.targets = {"gambling/list.txt": evil_target()}
    sim.resign("gambling", [sim.signers[0]])
    sim.forge_up()
    refuses(subscription, sim, "signature")


def test_key_compromise_one_signature_twice_is_one(sim, subscription):
    live = sim.state.lists["gambling"]
    live.signed.version += 1
    sim.resign("gambling", [sim.signers[0]])
    once = live.signatures[sim.signers[0].public_key.keyid]
    live.signatures[sim.signers[1].public_key.keyid] = type(once)(sim.signers[1].public_key.keyid, once.signature)
    sim.put_all()
    sim.forge_up()
    refuses(subscription, sim, "signature")


def test_key_compromise_the_online_key_cannot_change_a_list(sim, subscription):
    live = sim.state.lists["gambling"]
    live.signed.version += 1
    live.signed.targets = {"gambling/list.txt": evil_target()}
    sim.resign("gambling", sim.online)
    sim.forge_up()
    refuses(subscription, sim, "signature")


def test_key_compromise_ends_with_a_rotation(sim, subscription):
    stolen, kept = sim.signers[0], sim.signers[1:]
    fresh = signer()
    signers = {s.public_key.keyid: s.public_key for s in [*kept, fresh]}
    repository.stage_root(sim.state, sim.now, signers=signers)
    sim.go_live([*kept, fresh])
    assert subscription.refresh(sim.now)
    assert subscription.download("gambling").version == 2
    live = sim.state.lists["gambling"]  # the thief has one more key now, from before the rotation: together they were a threshold
    live.signed.version += 1
    sim.resign("gambling", [stolen, kept[0]])
    sim.forge_up()
    refuses(subscription, sim, "signature")


# Rollback -----------------------------------------------------------------------------------------------------------------------------


def test_rollback_of_the_timestamp(sim, subscription):
    old = dict(sim.files)
    sim.publish("gambling", GOOD + b"new.example\n")
    subscription.refresh(sim.now)
    subscription.download("gambling")
    sim.files = old
    refuses(subscription, sim, "rollback")


def test_rollback_of_the_snapshot(sim, subscription):
    sim.publish("gambling", GOOD + b"new.example\n")
    subscription.refresh(sim.now)
    sim.state.snapshot.signed.version -= 2
    sim.forge_up()
    refuses(subscription, sim, "rollback")


@pytest.mark.parametrize("role", ["targets", "gambling"])
def test_rollback_of_a_role_in_the_snapshot(sim, subscription, role):
    older = copy.deepcopy(sim.state.live(role))
    sim.publish("gambling", GOOD + b"new.example\n")
    repository.stage_targets(sim.state, ["more"], sim.now)
    sim.go_live()
    subscription.refresh(sim.now)
    subscription.download("gambling")
    if role == "targets":
        sim.state.targets = older
    else:
        sim.state.lists[role] = older
    sim.forge_up()
    refuses(subscription, sim, "rollback")


def test_rollback_of_the_root(sim, subscription):
    repository.stage_root(sim.state, sim.now)
    sim.go_live()
    subscription.refresh(sim.now)
    sim.files["metadata/3.root.json"] = sim.files["metadata/2.root.json"]
    refuses(subscription, sim, "rollback")


def test_rollback_of_a_list_after_the_snapshot_was_forgotten(sim, subscription):
    # Someone wiped the metadata folder of the gateway, not the record of versions: the lists still do not go back.
    old = dict(sim.files)
    sim.publish("gambling", GOOD + b"new.example\n")
    subscription.refresh(sim.now)
    subscription.download("gambling")
    for path in sorted((subscription.folder / "metadata").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    sim.files = old
    refuses(subscription, sim, "rollback")


def test_rollback_by_another_file_under_the_same_version(sim, subscription, tmp_path):
    twin = Simulator()
    twin.signers, twin.online = sim.signers, sim.online
    twin.__dict__["state"] = copy.deepcopy(sim.state)
    target = evil_target()
    twin.state.lists["gambling"].signed.targets = {target.path: target}
    twin.state.lists["gambling"].signatures.clear()
    for key in sim.signers:
        twin.state.lists["gambling"].sign(key, append=True)
    twin.files = dict(sim.files)
    serve(twin, target, EVIL)
    twin.forge_up()
    sim.files = twin.files
    refuses(subscription, sim, "rollback")


# Fast-forward -------------------------------------------------------------------------------------------------------------------------


def test_fast_forward_recovery_by_rotation_of_the_online_key(sim, subscription):
    # The online key is stolen; the thief runs the versions of snapshot and timestamp up.
    sim.state.timestamp.signed.version = 2**31
    sim.state.snapshot.signed.version = 2**31
    sim.forge_up()
    subscription.refresh(sim.now)
    # The publisher rotates the key and goes on from its own numbers.
    sim.state.timestamp.signed.version = sim.state.snapshot.signed.version = 20
    fresh = signer()
    repository.stage_root(sim.state, sim.now, online=fresh.public_key)
    sim.online = [fresh]
    sim.go_live()
    sim.publish("gambling", GOOD + b"new.example\n")
    assert subscription.refresh(sim.now)
    assert subscription.download("gambling").version == 2


def test_fast_forward_of_a_list_recovery_by_rotation_of_its_signers(sim, subscription):
    # Two signers' keys are stolen (a threshold); the thief runs the list's version up.
    live = sim.state.lists["gambling"]
    live.signed.version = 2**31
    sim.resign("gambling", sim.signers[:2])
    sim.forge_up()
    subscription.refresh(sim.now)
    assert subscription.download("gambling").version == 2**31
    # New signers and a new online key (the snapshot remembers the list's version).
    live.signed.version = 5
    fresh, online = [signer() for _ in range(3)], signer()
    repository.stage_root(sim.state, sim.now, signers={s.public_key.keyid: s.public_key for s in fresh}, online=online.public_key)
    old_signers, sim.signers, sim.online = sim.signers, fresh, [*sim.online, online]
    sim.go_live([*old_signers, *fresh])
    subscription.refresh(sim.now)
    assert subscription.download("gambling").version == 6
