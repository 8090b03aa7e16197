"""The subscriber: what it keeps, when it says that something changed, and what a kill at any write leaves."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import shutil
from types import SimpleNamespace

import pytest

import blockd.feeds
from blockd.errors import Misconfigured, Refused, Unavailable
from blockd.feeds import client, repository
from blockd.feeds.client import Subscription
from blockd.feeds.own_disk import DiskRefuses
from tests.feeds.simulator import BASE, NOW, Simulator, signer


@pytest.fixture
def sim():
    made = Simulator()
    made.publish("gambling", b"casino.example\n")
    return made


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_folder(sim, tmp_path):
    subscription = sim.subscribe(tmp_path)
    subscription.refresh(NOW)
    verified = subscription.download("hotline/gambling")
    assert set(files(tmp_path / "state")) == {
        "feeds/hotline/.lock", "feeds/hotline/seen.json", f"feeds/hotline/targets/gambling/{verified.sha256}", "feeds/hotline/metadata/root_history/1.root.json",
        *(f"feeds/hotline/metadata/{role}.json" for role in ("root", "timestamp", "snapshot", "targets", "gambling")),
    }  # fmt: skip


def test_changed(sim, tmp_path):
    subscription = sim.subscribe(tmp_path)
    assert subscription.refresh(NOW)
    subscription.download("gambling")
    assert not subscription.refresh(NOW)
    sim.refresh()
    assert not subscription.refresh(NOW)
    sim.publish("court", b"ordered.example\n")
    assert subscription.refresh(NOW)
    assert not subscription.refresh(NOW)
    assert sim.subscribe(tmp_path).refresh(NOW), "a new process does not know what the last one did with it"


def test_changed_stays_until_a_download_that_failed_succeeds(sim, tmp_path):
    subscription = sim.subscribe(tmp_path)
    subscription.refresh(NOW)
    path = next(p for p in sim.files if p.startswith("targets/"))
    data = sim.files.pop(path)
    for _ in range(2):
        with pytest.raises(Refused):
            subscription.download("gambling")
        assert subscription.refresh(NOW)
    sim.files[path] = data
    subscription.download("gambling")
    assert not subscription.refresh(NOW)


def test_an_unchanged_feed_costs_two_requests_and_an_unchanged_list_none(sim, tmp_path):
    subscription = sim.subscribe(tmp_path)
    subscription.refresh(NOW)
    subscription.download("gambling")
    sim.fetched.clear()
    subscription.refresh(NOW)
    subscription.download("gambling")
    assert sim.fetched == ["metadata/2.root.json", "metadata/timestamp.json"]


def test_a_file_that_was_damaged_on_our_disk_is_fetched_again(sim, tmp_path):
    subscription = sim.subscribe(tmp_path)
    subscription.refresh(NOW)
    path = subscription.download("gambling").path
    path.write_bytes(b"x")
    assert subscription.download("gambling").path.read_bytes() == b"casino.example\n"


def test_metadata_that_was_damaged_on_our_disk_is_fetched_again(sim, tmp_path):
    subscription = sim.subscribe(tmp_path)
    subscription.refresh(NOW)
    for path in (subscription.folder / "metadata").glob("*.json"):
        if not path.is_symlink():
            path.write_bytes(b"{")
    assert sim.subscribe(tmp_path).refresh(NOW)


def test_a_damaged_record_of_versions_is_not_thrown_away(sim, tmp_path):
    subscription = sim.subscribe(tmp_path)
    subscription.refresh(NOW)
    subscription.download("gambling")
    (subscription.folder / "seen.json").write_bytes(b"{")
    with pytest.raises(Unavailable, match=r"seen\.json"):
        subscription.download("gambling")


def test_old_files_of_a_list_are_removed(sim, tmp_path):
    subscription = sim.subscribe(tmp_path)
    for number in range(5):
        sim.publish("gambling", b"casino.example\n" * number)
        subscription.refresh(NOW)
        newest = subscription.download("gambling").path
    kept = list((subscription.folder / "targets" / "gambling").iterdir())
    assert len(kept) == client.KEPT_TARGETS
    assert newest in kept


def test_what_the_last_good_refresh_verified_can_still_be_downloaded(sim, tmp_path):
    subscription = sim.subscribe(tmp_path)
    subscription.refresh(NOW)
    sim.files["metadata/timestamp.json"], good = b"{}", sim.files["metadata/timestamp.json"]
    with pytest.raises(Refused):
        subscription.refresh(NOW)
    assert subscription.download("gambling").version == 1
    sim.files["metadata/timestamp.json"] = good
    assert not subscription.refresh(NOW)


def test_a_list_that_is_not_there(sim, tmp_path):
    subscription = sim.subscribe(tmp_path)
    subscription.refresh(NOW)
    with pytest.raises(Refused, match="hotline/gambling") as caught:
        subscription.download("hotline/none")
    assert caught.value.reason == "fetch"


def test_a_list_that_is_delegated_and_not_published_yet(sim, tmp_path):
    repository.stage_targets(sim.state, ["coming"], NOW)
    sim.go_live()
    subscription = sim.subscribe(tmp_path)
    subscription.refresh(NOW)
    assert subscription.lists() == ("hotline/gambling",)


def test_before_the_first_refresh(sim, tmp_path):
    subscription = sim.subscribe(tmp_path)
    assert subscription.lists() == ()
    with pytest.raises(Refused):
        subscription.download("gambling")


def test_the_pinned_root_is_missing(sim, tmp_path):
    feed = SimpleNamespace(name="hotline", url=BASE, root=tmp_path / "none.json")
    with pytest.raises(Misconfigured, match="hotline"):
        Subscription(feed, tmp_path, fetcher=sim).refresh(NOW)


@pytest.mark.parametrize("root", [b"", b"{}", b"x" * 200_000])
def test_the_pinned_root_is_none(sim, tmp_path, root):
    (tmp_path / "root.json").write_bytes(root)
    with pytest.raises(Refused) as caught:
        sim.subscribe(tmp_path).refresh(NOW)
    assert caught.value.reason == "shape"


def test_another_process_at_work(sim, tmp_path):
    subscription = sim.subscribe(tmp_path)
    subscription.refresh(NOW)
    with (subscription.folder / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(Unavailable, match="another process"):
            subscription.refresh(NOW)


def test_a_disk_that_is_full(sim, tmp_path, monkeypatch):
    subscription = sim.subscribe(tmp_path)

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(client, "write_durable", full)
    with pytest.raises(DiskRefuses, match="No space left"):
        subscription.refresh(NOW)


def test_a_disk_that_is_full_while_a_folder_is_copied(sim, tmp_path, monkeypatch):
    """What shutil.copytree raises has no errno, and the errors of its files as text."""
    subscription = sim.subscribe(tmp_path)
    subscription.refresh(NOW)

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    monkeypatch.setattr("shutil.copy2", full)
    with pytest.raises(DiskRefuses, match=r"\(No space left on device\)"):
        subscription.refresh(NOW)


def test_the_instant_is_the_callers(sim, tmp_path):
    # The library reads its own clock in the constructor; blockd replaces what it read. If that breaks with another release, this fails.
    subscription = sim.subscribe(tmp_path)
    subscription.refresh(NOW)
    with pytest.raises(Refused, match="expired"):
        subscription.refresh(NOW + 400 * 86400)


def test_the_newer_pinned_root_counts(sim, tmp_path):
    subscription = sim.subscribe(tmp_path)
    subscription.refresh(NOW)
    fresh = signer()
    repository.stage_root(sim.state, NOW, online=fresh.public_key)
    sim.online.append(fresh)
    sim.go_live()
    (tmp_path / "root.json").write_bytes(sim.state.root.to_bytes())
    sim.publish("gambling", b"more.example\n")
    assert subscription.refresh(NOW)
    assert subscription.download("gambling").version == 2


# Killed at every write ------------------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    pass


def test_a_refresh_killed_at_every_write_is_finished_by_the_next_and_forgets_nothing(sim, tmp_path, monkeypatch):
    template = tmp_path / "template"
    template.mkdir()
    first = sim.subscribe(template)
    first.refresh(NOW)
    first.download("gambling")
    old_server = dict(sim.files)
    repository.stage_root(sim.state, NOW)
    sim.go_live()
    sim.publish("gambling", b"more.example\n")
    new_server = dict(sim.files)
    write = client.write_durable
    for after in itertools.count():
        home = tmp_path / str(after)
        shutil.copytree(template, home, symlinks=True)
        left = [after]

        def dying(path, data, mode=0o644, left=left):
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            write(path, data, mode)

        died = False
        sim.files = dict(new_server)
        with monkeypatch.context() as patch:
            patch.setattr(client, "write_durable", dying)
            subscription = sim.subscribe(home)
            with contextlib.suppress(Killed):
                died = True
                subscription.refresh(NOW)
                subscription.download("gambling")
                died = False
        # The old server once more: refused as soon as the new timestamp was durable, harmless before.
        sim.files = dict(old_server)
        timestamp = json.loads((home / "state/feeds/hotline/metadata/timestamp.json").read_bytes())["signed"]["version"]
        again = sim.subscribe(home)
        with contextlib.suppress(Refused):
            again.refresh(NOW)
            assert timestamp == 2
            assert again.download("gambling").version == 1
        sim.files = dict(new_server)
        again = sim.subscribe(home)
        assert again.refresh(NOW)
        assert again.download("gambling").path.read_bytes() == b"more.example\n"
        if not died:
            assert after >= 5
            break


# The client by itself -------------------------------------------------------------------------------------------------------------------


def test_the_contracts_words(publisher):
    publisher.init()
    publisher.publish()
    made = blockd.feeds.client(publisher.home / "trusted", f"{publisher.repo.as_uri()}/metadata")
    made.init((publisher.repo / "root.json").read_bytes())
    made.refresh(NOW)
    target = made.target(next(iter(json.loads((publisher.repo / "metadata" / "1.gambling.json").read_bytes())["signed"]["targets"])))
    made.download(target, publisher.home / "list", f"{publisher.repo.as_uri()}/targets")
    assert (publisher.home / "list").read_bytes() == b"casino.example\n"
    assert made.target("gambling/none") is None


def test_the_module_and_the_function_share_a_name():
    assert blockd.feeds.client is client
    with pytest.raises(AttributeError):
        blockd.feeds.nothing  # noqa: B018


def test_using_the_client_before_a_refresh_is_our_bug(tmp_path):
    made = client.Client(tmp_path / "m", "https://feed.example/metadata", Simulator())
    with pytest.raises(AssertionError):
        made.target("a/b")


def test_what_a_killed_download_left_is_written_over(sim, tmp_path, monkeypatch):
    """Up to a gigabyte each time, if every process left its own."""
    subscription = sim.subscribe(tmp_path)
    subscription.refresh(NOW)
    with monkeypatch.context() as killed:
        killed.setattr("blockd.feeds.client.Path.unlink", lambda *_, **__: None)
        killed.setattr("blockd.feeds.client.Path.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            subscription.download("hotline/gambling")
    folder = subscription.folder / "targets" / "gambling"
    assert len(list(folder.iterdir())) == 1
    monkeypatch.setattr("blockd.feeds.client.os.getpid", lambda: 1)
    assert subscription.download("hotline/gambling").path in folder.iterdir()
    assert len(list(folder.iterdir())) == 1
