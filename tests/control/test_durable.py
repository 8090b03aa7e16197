from __future__ import annotations

import os
import stat

import pytest

from blockd.control import durable


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "f"
    durable.replace(path, b"one")
    durable.replace(path, b"two", 0o600)
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


@pytest.mark.parametrize("call", ["fsync", "open"])
def test_a_disk_that_refuses_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch, call):
    path = tmp_path / "f"
    durable.replace(path, b"one")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space"):
        durable.replace(path, b"two")
    monkeypatch.undo()
    assert path.read_bytes() == b"one"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_the_order_is_octets_name_directory(tmp_path, monkeypatch):
    seen = []
    fsync, rename = os.fsync, type(tmp_path).rename

    def note_fsync(fd):
        seen.append("directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "octets")
        fsync(fd)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(type(tmp_path), "rename", lambda self, to: (seen.append("name"), rename(self, to))[1])
    durable.replace(tmp_path / "f", b"x")
    assert seen == ["octets", "name", "directory"]


def test_remove_is_for_good_and_twice_is_no_error(tmp_path):
    durable.replace(tmp_path / "f", b"x")
    durable.remove(tmp_path / "f")
    durable.remove(tmp_path / "f")
    assert not list(tmp_path.iterdir())
