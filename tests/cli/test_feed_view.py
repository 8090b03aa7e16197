"""``blockd feed pull``; verify is tried along with the other verbs in test_feed.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from blockd.cli import feed


@pytest.fixture
def home(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    Path("names.txt").write_text("casino.example\n", encoding="utf-8")
    feed.main(["init", "repo", "--unencrypted-keys"])
    publish()
    capsys.readouterr()
    return tmp_path


def publish(text="casino.example\n"):
    Path("names.txt").write_text(text, encoding="utf-8")
    assert (
        feed.main(
            ["publish", "repo", "--list", "gambling", "--format", "domains", "--category", "gambling", "--basis", "operator", "names.txt"]
        )
        == 0
    )


def pull(home, *words):
    return feed.main(["pull", (home / "repo").as_uri(), "--root", "repo/root.json", "-o", "out", *words])


def test_pull_and_pull_again(home, capsys):
    assert pull(home, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["lists"][0]["path"] == "out/gambling/names.txt"
    assert Path("out/gambling/names.txt").read_text(encoding="utf-8") == "casino.example\n"
    publish("more.example\n")
    assert pull(home) == 0
    assert Path("out/gambling/names.txt").read_text(encoding="utf-8") == "more.example\n"


def test_pull_keeps_what_it_trusts(home, capsys):
    import shutil

    shutil.copytree("repo", "old")
    publish("more.example\n")
    assert pull(home) == 0
    shutil.rmtree("repo/metadata")
    shutil.copytree("old/metadata", "repo/metadata")
    capsys.readouterr()
    assert pull(home) == 1
    assert "older" in capsys.readouterr().err
    assert Path("out/gambling/names.txt").read_text(encoding="utf-8") == "more.example\n"


def test_pull_does_not_write_into_a_strangers_folder(home, capsys):
    Path("out").mkdir()
    Path("out/mine").write_text("x", encoding="utf-8")
    assert pull(home) == 1
    assert "not empty" in capsys.readouterr().err
    assert [p.name for p in Path("out").iterdir()] == ["mine"]


def test_pull_says_which_list_is_bad(home, capsys):
    next(Path("repo/targets/gambling").iterdir()).write_bytes(b"newspaper.example\n")
    assert pull(home, "--json") == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["faults"][0]["reason"] in {"signature", "fetch"}
    assert err.count("\n") == 1
    assert not Path("out/gambling").exists()


@pytest.mark.parametrize("url", ["http://192.0.2.1/feed", "ftp://feed.example", "repo"])
def test_pull_from_where_a_feed_is_not_fetched(home, url, capsys):
    assert feed.main(["pull", url, "--root", "repo/root.json", "-o", "out"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_pull_without_a_root(home, capsys):
    assert feed.main(["pull", (home / "repo").as_uri(), "--root", "none.json", "-o", "out"]) == 2
    assert "none.json" in capsys.readouterr().err
