"""The publisher's verbs. Rotation is in test_driver_rotate.py, the kill between any two writes in test_driver_killed.py."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import stat
from pathlib import Path

import pytest

from blockd.errors import Corrupt, Misconfigured, Refused
from blockd.feeds import driver, keys, roles, secret
from blockd.feeds.metadata import Metadata
from tests.feeds.simulator import NOW, meta


def statuses(outcome):
    return {s.role: (s.version, s.live, s.signatures, s.threshold) for s in outcome.roles}


def metadata_files(publisher):
    return sorted(p.name for p in (publisher.repo / "metadata").iterdir())


def test_init(publisher):
    publisher.init()
    assert metadata_files(publisher) == ["1.root.json", "1.snapshot.json", "1.targets.json", "timestamp.json"]
    assert (publisher.repo / "root.json").read_bytes() == (publisher.repo / "metadata" / "1.root.json").read_bytes()
    assert stat.S_IMODE(publisher.keys.stat().st_mode) == 0o700
    assert sorted(p.name for p in publisher.keys.iterdir()) == ["1.pem", "2.pem", "3.pem", "online.pem"]
    assert all(stat.S_IMODE(p.stat().st_mode) == 0o600 for p in publisher.keys.iterdir())
    subscription = publisher.subscribe()
    assert subscription.refresh(NOW)
    assert subscription.lists() == ()


def test_init_lifetimes(publisher):
    publisher.init()
    lives = {
        role: Metadata.from_file(str(publisher.repo / "metadata" / name)).signed.expires.timestamp() - NOW
        for role, name in {
            "root": "1.root.json",
            "targets": "1.targets.json",
            "snapshot": "1.snapshot.json",
            "timestamp": "timestamp.json",
        }.items()
    }
    assert lives == {
        "root": roles.ROOT_LIFE_S,
        "targets": roles.TARGETS_LIFE_S,
        "snapshot": roles.SNAPSHOT_LIFE_S,
        "timestamp": roles.TIMESTAMP_LIFE_S,
    }


def test_init_refuses_to_overwrite(publisher):
    publisher.init()
    before = (publisher.repo / "root.json").read_bytes()
    with pytest.raises(Refused, match="exists"):
        publisher.init()
    shutil.rmtree(publisher.repo)
    with pytest.raises(Refused, match="never overwritten"):
        publisher.init()
    assert before
    assert not publisher.repo.exists()


def test_init_into_an_empty_folder(publisher):
    publisher.repo.mkdir()
    publisher.init()
    assert publisher.publish().roles[0].live


@pytest.mark.parametrize(("count", "threshold"), [(0, 0), (1, 2), (3, 0), (3, -1), (33, 2)])
def test_init_with_thresholds_that_make_no_sense(publisher, count, threshold):
    with pytest.raises(Refused):
        publisher.init(count, threshold)
    assert not publisher.repo.exists()


def test_keys_inside_the_repository_are_refused(publisher):
    with pytest.raises(Misconfigured, match="served"):
        driver.init(publisher.repo, publisher.repo / "keys", 3, 2, None, NOW)


def test_keys_are_encrypted_under_the_passphrase(publisher):
    publisher.init(passphrase=b"correct horse")
    for path in publisher.keys.iterdir():
        assert path.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    outcome = publisher.publish()
    assert statuses(outcome)["gambling"] == (1, False, 0, 2)
    assert any("BLOCKD_FEED_PASSPHRASE_FILE" in note for note in outcome.notes)
    assert publisher.publish(passphrase=b"correct horse").roles[0].live
    assert publisher.seen() == (1, "casino.example\n")


def test_publish_signs_with_every_key_at_hand(publisher):
    publisher.init()
    assert statuses(publisher.publish()) == {"gambling": (1, True, 3, 2)}
    assert statuses(publisher.publish(text="more.example\n")) == {"gambling": (2, True, 3, 2)}
    assert publisher.seen() == (2, "more.example\n")


def test_nothing_half_signed_is_visible(publisher):
    publisher.init().send_away(2, 3)
    assert statuses(publisher.publish()) == {"gambling": (1, False, 1, 2)}
    assert publisher.seen() is None
    assert metadata_files(publisher) == ["1.root.json", "1.snapshot.json", "1.targets.json", "timestamp.json"]
    outcome = publisher.cosign(2)
    assert statuses(outcome) == {"gambling": (1, True, 2, 2), "targets": (2, True, 2, 2)}
    assert publisher.seen() == (1, "casino.example\n")
    assert not list((publisher.repo / "staged").iterdir())


def test_publishing_again_replaces_what_waits(publisher):
    publisher.init().send_away(2, 3)
    publisher.publish(text="one.example\n")
    assert statuses(publisher.publish(text="two.example\n")) == {"gambling": (1, False, 1, 2)}
    publisher.cosign(3)
    assert publisher.seen() == (1, "two.example\n")


def test_two_new_lists_wait_together(publisher):
    publisher.init().send_away(2, 3)
    publisher.publish("one", "one.example\n")
    publisher.publish("two", "two.example\n")
    assert statuses(publisher.cosign(2)) == {"one": (1, True, 2, 2), "two": (1, True, 2, 2), "targets": (2, True, 2, 2)}
    assert publisher.seen("one") == (1, "one.example\n")
    assert publisher.seen("two") == (1, "two.example\n")


def test_cosigning_twice_is_one_signature(publisher):
    publisher.init(count=3, threshold=3).send_away(2, 3)
    publisher.publish()
    publisher.cosign(2)
    outcome = publisher.cosign(2)
    assert outcome.notes == ["this key had signed already"]
    assert publisher.seen() is None
    publisher.cosign(3)
    assert publisher.seen() == (1, "casino.example\n")


def test_nothing_to_cosign(publisher):
    publisher.init().send_away(2)
    with pytest.raises(Refused, match="nothing waits"):
        publisher.cosign(2)


def test_a_stranger_cannot_cosign(publisher):
    publisher.init().send_away(2, 3)
    publisher.publish()
    (publisher.away / "9.pem").write_bytes(keys.to_pem(keys.generate(), None))
    with pytest.raises(Refused, match="none of the keys"):
        publisher.cosign(9)


def test_a_cosigner_refuses_another_file(publisher):
    publisher.init().send_away(2, 3)
    publisher.publish()
    target = next((publisher.repo / "targets" / "gambling").iterdir())
    target.write_bytes(b"newspaper.example\n")
    with pytest.raises(Refused, match="not the one that its publisher signed"):
        publisher.cosign(2)
    target.unlink()
    with pytest.raises(Refused, match="not there"):
        publisher.cosign(2)


def test_without_the_online_key_cosigning_is_kept_and_refresh_finishes_it(publisher):
    publisher.init().send_away(2, 3, "online")
    publisher.publish()
    outcome = publisher.cosign(2)
    assert not outcome.roles[0].live
    assert any("online" in note for note in outcome.notes)
    assert publisher.seen() is None
    shutil.move(publisher.away / "online.pem", publisher.keys / "online.pem")
    publisher.refresh()
    assert publisher.seen() == (1, "casino.example\n")


def test_refresh_renews_the_timestamp_and_later_the_snapshot(publisher):
    publisher.init()
    publisher.publish()
    first = statuses(publisher.refresh())
    publisher.now += roles.DAY_S
    second = statuses(publisher.refresh())
    assert second["timestamp"][0] == first["timestamp"][0] + 1
    assert second["snapshot"][0] == first["snapshot"][0]
    publisher.now += 3 * roles.DAY_S
    assert statuses(publisher.refresh())["snapshot"][0] == first["snapshot"][0] + 1
    assert publisher.seen() == (1, "casino.example\n")


def test_refresh_without_the_online_key_says_so(publisher):
    publisher.init()
    publisher.send_away("online")
    with pytest.raises(Refused, match=r"online\.pem"):
        publisher.refresh()


def test_refresh_warns_of_a_list_that_runs_out(publisher):
    publisher.init()
    publisher.publish()
    publisher.now += 12 * roles.DAY_S
    assert any("list gambling expires" in note for note in publisher.refresh().notes)


def test_targets_are_renewed_along_with_a_list(publisher):
    publisher.init()
    publisher.publish()
    publisher.now += roles.TARGETS_LIFE_S - 10 * roles.DAY_S
    publisher.publish()
    publisher.now += 12 * roles.DAY_S
    publisher.refresh()
    assert publisher.seen() == (2, "casino.example\n")


def test_bad_rows_are_told_and_never_refused(publisher):
    publisher.init()
    outcome = publisher.publish(text="good.example\nbad row\n")
    assert outcome.rows.bad == {"character": 1}
    assert publisher.seen() == (1, "good.example\nbad row\n")


def test_a_secret_list_is_published_encrypted(publisher):
    import pyrage

    identity = pyrage.x25519.Identity.generate()
    publisher.init()
    publisher.publish(secret=True, recipients=[str(identity.to_public())])
    subscription = publisher.subscribe()
    subscription.refresh(NOW)
    verified = subscription.download("gambling")
    assert verified.meta.secret
    assert b"casino" not in verified.path.read_bytes()
    assert not any(b"casino.example" in p.read_bytes() for p in publisher.repo.rglob("*") if p.is_file())
    with verified.path.open("rb") as file:
        assert secret.decrypt(file, str(identity)) == b"casino.example\n"


def test_a_list_may_not_be_called_like_a_role(publisher):
    publisher.init()
    for name in ("root", "targets", "snapshot", "timestamp", "Upper", "a/b", "", "..", "x" * 64):
        with pytest.raises(Misconfigured):
            driver.publish(publisher.repo, publisher.keys, None, name, meta(), Path(__file__), (), NOW)


# Damage and concurrency ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["timestamp.json", "2.snapshot.json", "2.targets.json", "1.gambling.json", "1.root.json"])
def test_changed_live_metadata_is_not_signed_over(publisher, name):
    publisher.init()
    publisher.publish()
    path = publisher.repo / "metadata" / name
    data = json.loads(path.read_bytes())
    data["signed"]["expires"] = "2099-01-01T00:00:00Z"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(Corrupt):
        publisher.publish(text="more.example\n")


def test_a_repository_that_is_none(publisher):
    with pytest.raises(Misconfigured, match="feed init"):
        publisher.publish()


def _publish_in_child(home, name):
    from tests.feeds.conftest import Publisher

    Publisher(home).publish(name, f"{name}.example\n")


def test_commands_at_the_same_time_do_not_mix(publisher):
    publisher.init()
    context = multiprocessing.get_context("spawn")
    children = [context.Process(target=_publish_in_child, args=(publisher.home, f"list{n}")) for n in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0, 0, 0]
    assert [publisher.seen(f"list{n}") for n in range(4)] == [(1, f"list{n}.example\n") for n in range(4)]


# Small things -------------------------------------------------------------------------------------------------------------------------


def test_read_passphrase(tmp_path):
    assert driver.read_passphrase(None) is None
    file = tmp_path / "p"
    file.write_bytes(b"correct horse\r\n")
    assert driver.read_passphrase(str(file)) == b"correct horse"
    for bad in (b"", b"\n", b"x" * 2000):
        file.write_bytes(bad)
        with pytest.raises(Misconfigured):
            driver.read_passphrase(str(file))
    with pytest.raises(Misconfigured, match="No such file"):
        driver.read_passphrase(str(tmp_path / "none"))


def test_check_meta():
    driver.check_meta(meta(authority="Example court", canary="canary.example"))
    with pytest.raises(Misconfigured, match="authority"):
        driver.check_meta(meta(authority="two\nlines"))


def test_copy_durable(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    driver.copy_durable(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"x"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]
