"""The attacks of the TUF specification (§1.5.2), one test or more each, named after it. What a gateway holds must not change.

Here: indefinite freeze, endless data, slow retrieval, mix-and-match, wrong software, malicious mirrors.
"""

from __future__ import annotations

import copy

import pytest

from blockd.errors import Refused, Unavailable
from blockd.feeds import client, repository, roles
from blockd.feeds.client import TIMESTAMP_MAX_OCTETS
from blockd.feeds.metadata import DownloadError, Metadata, MetaFile, SlowRetrievalError, Targets
from tests.feeds.attacks import EVIL, GOOD, evil_target, refuses
from tests.feeds.simulator import Simulator, meta, signer

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


@pytest.mark.parametrize("part", ["snapshot", "targets", "list"])
def test_endless_data_that_the_online_key_allows(subscription, sim, monkeypatch, part):
    """Timestamp and snapshot may state the length of what is below them: a stolen online key must not make that our limit."""
    monkeypatch.setattr("blockd.feeds.client.TARGETS_MAX_OCTETS", 50_000)
    sim.publish("gambling", EVIL)
    state = sim.state
    if part == "snapshot":
        name, meta_file = f"{state.timestamp.signed.snapshot_meta.version}.snapshot.json", state.timestamp.signed.snapshot_meta
    else:
        role = "targets" if part == "targets" else "gambling"
        name, meta_file = f"{state.live(role).signed.version}.{role}.json", state.snapshot.signed.meta[f"{role}.json"]
        if part == "targets":
            (subscription.folder / "metadata" / "targets.json").unlink()
    sim.files[f"metadata/{name}"] += b" " * 10_000_000
    meta_file.length, meta_file.hashes = len(sim.files[f"metadata/{name}"]), None
    if part != "snapshot":
        state.snapshot.sign(sim.online[0])
        data = state.snapshot.to_bytes()
        state.timestamp.signed.snapshot_meta = MetaFile.from_data(state.snapshot.signed.version, data, ["sha256"])
        sim.files[f"metadata/{state.snapshot.signed.version}.snapshot.json"] = data
    state.timestamp.sign(sim.online[0])
    sim.files["metadata/timestamp.json"] = state.timestamp.to_bytes()
    served = []
    fetch = sim._fetch
    monkeypatch.setattr(sim, "_fetch", lambda url: (served.append(len(block)) or block for block in fetch(url)))
    refuses(subscription, sim, "fetch")
    assert sum(served) < 1_000_000
