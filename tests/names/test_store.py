"""The shipped data is found in a checkout and in an installed package."""

from __future__ import annotations

import pytest

from blockd.names import store


def test_files_and_folders():
    assert store.read("protected-names.txt").startswith(b"#")
    assert store.shipped("examples").is_dir()


def test_a_broken_installation_says_so():
    with pytest.raises(FileNotFoundError, match="reinstall"):
        store.read("no-such-file")


def test_an_installed_package_comes_first(tmp_path, monkeypatch):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "protected-names.txt").write_bytes(b"installed")
    monkeypatch.setattr(store.resources, "files", lambda _package: tmp_path)
    assert store.read("protected-names.txt") == b"installed"
    assert store.read("public-suffixes.dat")  # not there: the checkout's
