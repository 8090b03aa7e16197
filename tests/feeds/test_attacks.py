"""The attacks of the TUF specification (§1.5.2), one test or more each, named after it. What a gateway holds must not change.

Extraneous dependencies is not here: a list depends on no other file.
"""

from __future__ import annotations

import copy

import pytest

from blockd.errors import Refused, Unavailable
from blockd.feeds import client, repository, roles
from blockd.feeds.client import TIMESTAMP_MAX_OCTETS
from blockd.feeds.metadata import DownloadError, Metadata, SlowRetrievalError, TargetFile, Targets
from tests.feeds.simulator import Simulator, meta, signer

GOOD = b"casino.example\npoker.example\n"
EVIL = b"newspaper.example\n"


@pytest.fixture
def sim():
    made = Simulator()
    made.publish("gambling", GOOD)
    return made


@pytest.fixture
def subscription(sim, tmp_path):
    made = sim.subscribe(tmp_path)
    assert made.refresh(sim.now)
    assert made.download("hotline/gambling").path.read_bytes() == GOOD
    return made


def refuses(subscription, sim, *reasons: str, name: str = "hotline/gambling") -> Refused:
    """Refresh and download must end in a refusal for one of these reasons, and the list on the disk stay as it is."""
    kept = sorted(p.read_bytes() for p in (subscription.folder / "targets").rglob("*") if p.is_file())
    with pytest.raises(Refused) as caught:
        subscription.refresh(sim.now)
        subscription.download(name)
    assert caught.value.reason in reasons, caught.value
    assert sorted(p.read_bytes() for p in (subscription.folder / "targets").rglob("*") if p.is_file()) == kept
    assert "\n" not in str(caught.value)
    return caught.value


def evil_target(path: str = "gambling/list.txt") -> TargetFile:
    target = TargetFile.from_data(path, EVIL, ["sha256"])
    target.unrecognized_fields["custom"] = roles.to_custom(meta())
    return target


def serve(sim, target: TargetFile, data: bytes) -> None:
    folder, _, file = target.path.partition("/")
    sim.files[f"targets/{folder}/{target.hashes['sha256']}.{file}"] = data


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


# Indefinite freeze --------------------------------------------------------------------------------------------------------------------


def test_indefinite_freeze_ends_with_the_timestamp(sim, subscription):
    sim.now += roles.TIMESTAMP_LIFE_S - 1
    assert not subscription.refresh(sim.now)
    sim.now += 2
    assert "timestamp" in str(refuses(subscription, sim, "expired"))


@pytest.mark.parametrize(
    ("role", "life_s"),
    [("snapshot", roles.SNAPSHOT_LIFE_S), ("gambling", roles.LIST_LIFE_S), ("targets", roles.TARGETS_LIFE_S), ("root", roles.ROOT_LIFE_S)],
)
def test_indefinite_freeze_of_any_role_ends(sim, subscription, role, life_s):
    sim.now += life_s + 1
    for name in ("timestamp", "snapshot", "gambling", "targets", "root"):
        if name == role:
            break
        sim.state.live(name).signed.expires = repository.when(sim.now, roles.DAY_S)
    live = sim.state.live
    for name, by in (("root", sim.signers), ("targets", sim.signers), ("gambling", sim.signers)):
        if live(name).signed.expires.timestamp() > sim.now and name != "root":
            live(name).signed.version += 1
            sim.resign(name, by)
    if role == "snapshot":
        sim.state.timestamp.signed.version += 1
        sim.resign("timestamp", sim.online)
    else:
        sim.forge_up()
    refuses(subscription, sim, "expired")


def test_indefinite_freeze_a_clock_before_the_release_judges_nothing(sim, tmp_path):
    subscription = sim.subscribe(tmp_path)
    with pytest.raises(Refused) as caught:
        subscription.refresh(roles.BUILT - 1)
    assert caught.value.reason == "expired"
    assert "clock" in str(caught.value)
    assert not sim.fetched


# Endless data -------------------------------------------------------------------------------------------------------------------------


class Endless:
    def __init__(self):
        self.sent = 0

    def __iter__(self):
        while True:
            self.sent += 65536
            yield bytes(65536)


@pytest.mark.parametrize(
    "part",
    ["metadata/2.root.json", "metadata/timestamp.json", "metadata/2.snapshot.json", "metadata/2.targets.json", "metadata/1.gambling.json"],
)
def test_endless_data_as_metadata(sim, tmp_path, monkeypatch, part):
    endless = Endless()
    subscription = sim.subscribe(tmp_path)
    fetch = sim._fetch
    monkeypatch.setattr(sim, "_fetch", lambda url: iter(endless) if url.endswith(part) else fetch(url))
    refuses(subscription, sim, "fetch")
    assert 0 < endless.sent <= 4_000_000


def test_endless_data_as_a_list(sim, tmp_path, monkeypatch):
    endless = Endless()
    subscription = sim.subscribe(tmp_path)
    fetch = sim._fetch
    monkeypatch.setattr(sim, "_fetch", lambda url: iter(endless) if "/targets/" in url else fetch(url))
    refuses(subscription, sim, "fetch")
    assert 0 < endless.sent <= 2 * 65536


def test_endless_data_limit_is_exact(sim, tmp_path):
    sim.files["metadata/timestamp.json"] += b" " * (TIMESTAMP_MAX_OCTETS - len(sim.files["metadata/timestamp.json"]))
    subscription = sim.subscribe(tmp_path)
    assert subscription.refresh(sim.now)
    sim.files["metadata/timestamp.json"] += b" "
    refuses(subscription, sim, "fetch")


def test_endless_data_a_chain_of_roots_stops(sim, tmp_path, monkeypatch):
    monkeypatch.setattr(client, "ROOT_ROTATIONS_MAX", 8)
    for _ in range(12):
        repository.stage_root(sim.state, sim.now)
        sim.go_live()
    subscription = sim.subscribe(tmp_path)
    subscription.refresh(sim.now)  # root 9 is as good as root 13 here: the same keys
    assert [path for path in sim.fetched if "root" in path] == [f"metadata/{n}.root.json" for n in range(2, 10)]


# Slow retrieval -----------------------------------------------------------------------------------------------------------------------


def test_slow_retrieval(sim, subscription, monkeypatch):
    def slow(url):
        raise SlowRetrievalError("the server sends too slowly")

    monkeypatch.setattr(sim, "_fetch", slow)
    with pytest.raises(Unavailable, match="too slowly"):
        subscription.refresh(sim.now)
    assert subscription.download("gambling").path.read_bytes() == GOOD  # the last refresh that succeeded still stands


def test_an_unreachable_server_is_unavailable_not_refused(sim, subscription, monkeypatch):
    def down(url):
        raise DownloadError("the server cannot be reached")

    monkeypatch.setattr(sim, "_fetch", down)
    with pytest.raises(Unavailable, match="cannot be reached"):
        subscription.refresh(sim.now)


# Mix-and-match, wrong software, malicious mirrors -------------------------------------------------------------------------------------


def test_mix_and_match_an_old_list_with_a_new_snapshot(sim, subscription):
    old = sim.files["metadata/1.gambling.json"]
    sim.publish("gambling", GOOD + b"new.example\n")
    sim.files["metadata/2.gambling.json"] = old
    refuses(subscription, sim, "signature", "rollback")


def test_mix_and_match_an_old_snapshot_under_a_new_number(sim, subscription):
    old = sim.files[f"metadata/{sim.state.snapshot.signed.version}.snapshot.json"]
    sim.publish("gambling", GOOD + b"new.example\n")
    sim.files[f"metadata/{sim.state.snapshot.signed.version}.snapshot.json"] = old
    refuses(subscription, sim, "signature", "rollback")


def test_mix_and_match_the_snapshot_drops_a_list(sim, subscription):
    del sim.state.snapshot.signed.meta["gambling.json"]
    del sim.state.lists["gambling"]
    sim.forge_up()
    refuses(subscription, sim, "rollback")


def test_wrong_software_another_lists_content(sim, tmp_path):
    sim.publish("malware", EVIL, category=meta().category)
    good = next(p for p in sim.files if p.startswith("targets/gambling/"))
    evil = next(p for p in sim.files if p.startswith("targets/malware/"))
    sim.files[good], sim.files[evil] = sim.files[evil], sim.files[good]
    subscription = sim.subscribe(tmp_path)
    subscription.refresh(sim.now)
    for name in ("gambling", "malware"):
        with pytest.raises(Refused) as caught:
            subscription.download(name)
        assert caught.value.reason in {"signature", "fetch"}


def test_wrong_software_a_list_that_speaks_about_anothers_path(sim, subscription):
    sim.publish("gambling", GOOD)
    target = evil_target("malware/list.txt")
    live = sim.state.lists["gambling"]
    live.signed.version += 1
    live.signed.targets = {target.path: target}
    sim.resign("gambling", sim.signers)
    sim.forge_up()
    refuses(subscription, sim, "shape")


def test_wrong_software_another_lists_role(sim, subscription):
    sim.publish("malware", EVIL)
    sim.files["metadata/2.gambling.json"] = sim.files["metadata/1.malware.json"]
    sim.state.lists["gambling"] = copy.deepcopy(sim.state.lists["malware"])
    sim.state.lists["gambling"].signed.version = 2
    sim.resign("gambling", sim.signers)
    sim.forge_up()
    refuses(subscription, sim, "shape")


def test_malicious_mirror_serves_another_publishers_feed(sim, subscription):
    other = Simulator()
    other.publish("gambling", EVIL)
    other.publish("gambling", EVIL + b"#")
    sim.files = other.files
    refuses(subscription, sim, "signature", "rollback")


@pytest.mark.parametrize("part", ["metadata/timestamp.json", "metadata/3.snapshot.json", "metadata/1.gambling.json"])
@pytest.mark.parametrize(
    "garbage",
    [b"", b"{}", b"[]", b"\x00", b"<html>it works</html>", b'{"signed":{},"signatures":[]}', b'{"signed":1,"signatures":2}', b"[" * 20000],
)
def test_malicious_mirror_serves_garbage(sim, tmp_path, part, garbage):
    sim.publish("gambling", GOOD + b"x.example\n") if "snapshot" in part else None
    assert part in sim.files
    sim.files[part] = garbage
    subscription = sim.subscribe(tmp_path)
    if len(garbage) > TIMESTAMP_MAX_OCTETS:
        refuses(subscription, sim, "fetch", "shape")
    else:
        refuses(subscription, sim, "shape", "signature")


def test_malicious_mirror_withholds_a_file(sim, subscription):
    sim.publish("gambling", GOOD + b"new.example\n")
    del sim.files["metadata/2.gambling.json"]
    refuses(subscription, sim, "fetch")


def test_one_bad_list_does_not_stop_the_others(sim, tmp_path):
    sim.publish("court", b"ordered.example\n")
    sim.files["metadata/1.court.json"] = b"{}"
    subscription = sim.subscribe(tmp_path)
    assert subscription.refresh(sim.now)
    assert subscription.lists() == ("hotline/court", "hotline/gambling")
    assert subscription.download("hotline/gambling").path.read_bytes() == GOOD
    with pytest.raises(Refused):
        subscription.download("hotline/court")


def test_what_was_verified_is_kept_though_the_run_failed_later(sim, subscription):
    # A stolen online key is rotated out; the thief lets the new root through and withholds the timestamp. The root must not be forgotten.
    fresh = signer()
    repository.stage_root(sim.state, sim.now, online=fresh.public_key)
    sim.online = [fresh]
    stale = sim.files["metadata/timestamp.json"]
    sim.go_live()
    sim.files["metadata/timestamp.json"] = stale
    refuses(subscription, sim, "signature")
    del sim.files["metadata/2.root.json"]  # now he hides the root too
    refuses(subscription, sim, "signature")


def test_a_target_in_the_top_role_is_no_list(sim, subscription):
    target = evil_target()
    sim.state.targets.signed.targets = {target.path: target}
    sim.state.targets.signed.version += 1
    sim.resign("targets", sim.signers)
    sim.forge_up()
    refuses(subscription, sim, "shape")


@pytest.mark.parametrize("pattern", [["*/*"], ["gambling/*", "court/*"], ["gambling/list.txt"], []])
def test_a_delegation_for_other_paths_is_refused(sim, subscription, pattern):
    role = sim.state.targets.signed.delegations.roles["gambling"]
    role.paths = pattern
    sim.state.targets.signed.version += 1
    sim.resign("targets", sim.signers)
    sim.forge_up()
    refuses(subscription, sim, "shape")


def test_the_simulator_serves_what_the_client_takes(sim, subscription):
    """The tests above would pass against a client that refuses everything."""
    sim.publish("gambling", GOOD + b"new.example\n")
    assert subscription.refresh(sim.now)
    assert subscription.download("gambling").version == 2
    assert isinstance(Metadata.from_bytes(sim.files["metadata/2.gambling.json"]).signed, Targets)


@pytest.mark.parametrize("digest", ["../../../../planted/x", "/dev/zero", "A" * 64, "", "0" * 63])
def test_a_digest_that_is_a_path(subscription, sim, tmp_path, digest):
    """The digest names the file on the gateway's disk: signed or not, it leads nowhere else."""
    target = evil_target()
    target.hashes["sha256"] = digest
    repository.stage_list(sim.state, "gambling", target, sim.now)
    sim.go_live()
    before = sorted(tmp_path.rglob("*"))
    refuses(subscription, sim, "shape")
    assert [p for p in sorted(tmp_path.rglob("*")) if p not in before and "metadata" not in p.parts] == []
