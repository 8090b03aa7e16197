from __future__ import annotations

import os
from pathlib import Path

import pytest

from blockd.errors import Corrupt, Misconfigured, Refused, Unavailable
from blockd.feeds import store
from blockd.feeds.store import Store, create_keys, read_blocks, retire_key, sync_folder, write_durable


def test_a_durable_write_is_file_sync_rename_folder_sync(tmp_path, monkeypatch, real_fsync):
    calls = []
    fsync, rename = os.fsync, Path.replace

    def spy_fsync(descriptor):
        calls.append(("fsync", Path(f"/proc/self/fd/{descriptor}").readlink().name.strip(".").split(".")[0]))
        fsync(descriptor)

    def spy_replace(path, target):
        calls.append(("rename", Path(target).name))
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(Path, "replace", spy_replace)
    folder = tmp_path / "folder"
    folder.mkdir()
    write_durable(folder / "name", b"x")
    assert calls == [("fsync", "name"), ("rename", "name"), ("fsync", "folder")]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    write_durable(tmp_path / "name", b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="space"):
        write_durable(tmp_path / "name", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["name"]
    assert (tmp_path / "name").read_bytes() == b"old"


def test_the_timestamp_is_written_last_and_staged_files_go_after_it(publisher, monkeypatch):
    written = []
    replace = store.replace
    monkeypatch.setattr(store, "replace", lambda temporary, path: (written.append(path.name), replace(temporary, path)))
    unlink = Path.unlink
    monkeypatch.setattr(
        Path,
        "unlink",
        lambda path, missing_ok=False: (
            (written.append(f"-{path.name}"), unlink(path, missing_ok)) if path.suffix == ".json" else unlink(path, missing_ok)
        ),
    )
    publisher.init()
    written.clear()
    publisher.publish()
    target = next((publisher.repo / "targets" / "gambling").iterdir()).name
    assert written == [
        target, "targets.json", "gambling.json", "1.gambling.json", "2.targets.json", "2.snapshot.json", "timestamp.json", *written[-2:],
    ]  # fmt: skip
    assert sorted(written[-2:]) == ["-gambling.json", "-targets.json"]


def test_a_lock_that_is_held(publisher, monkeypatch):
    publisher.init()
    monkeypatch.setattr(store, "LOCK_WAIT_S", 0.0)
    with Store(publisher.repo).lock(), pytest.raises(Unavailable, match="another"), Store(publisher.repo).lock():
        pass


def test_a_folder_that_is_no_repository(tmp_path):
    with pytest.raises(Misconfigured), Store(tmp_path).lock():
        pass


def test_a_repository_without_its_metadata(publisher):
    publisher.init()
    (publisher.repo / "metadata" / "timestamp.json").unlink()
    with pytest.raises(Corrupt, match="backup"):
        Store(publisher.repo).load()


@pytest.mark.parametrize(("name", "data"), [("Odd.json", b"{}"), ("gambling.json", b"{}"), ("root.json", b"x")])
def test_a_staged_file_that_is_none(publisher, name, data):
    publisher.init()
    (publisher.repo / "staged").mkdir()
    (publisher.repo / "staged" / name).write_bytes(data)
    with pytest.raises(Corrupt, match="move it away"):
        Store(publisher.repo).load()


def test_what_went_live_is_no_longer_staged(publisher):
    publisher.init().send_away(2, 3)
    publisher.publish()
    staged = {p.name: p.read_bytes() for p in (publisher.repo / "staged").iterdir()}
    publisher.cosign(2)
    for name, data in staged.items():  # the crash came before they were cleared away
        (publisher.repo / "staged" / name).write_bytes(data)
    assert Store(publisher.repo).load().staged == {}


def test_add_target(tmp_path):
    kept = Store(tmp_path)
    length, sha256 = kept.add_target("list/file.txt", [b"ab", b"c"])
    assert length == 3
    assert kept.target_file("list/file.txt", sha256).read_bytes() == b"abc"
    assert [p.name for p in (tmp_path / "targets" / "list").iterdir()] == [f"{sha256}.file.txt"]


def test_keys_are_never_overwritten(tmp_path):
    create_keys(tmp_path / "keys", [("1.pem", b"one")])
    with pytest.raises(Refused):
        create_keys(tmp_path / "keys", [("1.pem", b"two")])
    assert (tmp_path / "keys" / "1.pem").read_bytes() == b"one"


def test_a_retired_key_keeps_its_octets_under_a_free_name(tmp_path):
    assert retire_key(tmp_path, "1") is None
    for number, expected in enumerate(["1.old.pem", "1.old2.pem", "1.old3.pem"]):
        (tmp_path / "1.pem").write_bytes(bytes([number]))
        old = retire_key(tmp_path, "1")
        assert (old.name, old.read_bytes()) == (expected, bytes([number]))


def test_read_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "BLOCK_OCTETS", 4)
    (tmp_path / "x").write_bytes(b"0123456789")
    assert list(read_blocks(tmp_path / "x")) == [b"0123", b"4567", b"89"]


def test_sync_folder_of_none(tmp_path):
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path / "none")
