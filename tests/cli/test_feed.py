"""``blockd feed`` as a person and a script use it: in this process, through the command's own parser."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import pyrage
import pytest

from blockd.cli import feed


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    monkeypatch.delenv("BLOCKD_FEED_PASSPHRASE_FILE", raising=False)
    Path("names.txt").write_text("casino.example\npoker.example\n", encoding="utf-8")

    def run_(*words, code=0):
        try:
            found = feed.main([str(w) for w in words])
        except SystemExit as end:
            found = end.code
        out, err = capsys.readouterr()
        assert found == code, (found, out, err)
        if code:
            assert err.count("\n") == 1, err
            assert "Traceback" not in err
        return json.loads(out) if "--json" in words else (out, err)

    return run_


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


PUBLISH = ("publish", "repo", "--list", "gambling", "--format", "domains", "--category", "gambling", "--basis", "operator")


def test_the_way_of_the_contract(run):
    run("init", "repo", "--keys", 3, "--threshold", 2, "--unencrypted-keys")
    assert names("repo.keys") == ["1.pem", "2.pem", "3.pem", "online.pem"]
    assert stat.S_IMODE(Path("repo.keys").stat().st_mode) == 0o700
    assert {"root.json", "metadata", "targets"} <= set(names("repo"))
    Path("away").mkdir()
    for number in (2, 3):
        Path(f"repo.keys/{number}.pem").rename(f"away/{number}.pem")
    assert run(*PUBLISH, "--json", "names.txt") == {"version": 1, "live": False, "signatures": 1, "threshold": 2}
    out, _ = run("verify", "repo")
    assert "no list is published" in out
    said = run("cosign", "repo", "--key", "away/2.pem", "--json")
    assert {key: said[key] for key in ("version", "live", "signatures", "threshold")} == {
        "version": 1,
        "live": True,
        "signatures": 2,
        "threshold": 2,
    }
    assert names("repo/targets/gambling")[0].endswith(".names.txt")
    listed = run("verify", "repo", "--json")
    assert (listed["valid"], listed["lists"][0]["list"], listed["lists"][0]["signatures"], listed["lists"][0]["action"]) == (
        True,
        "gambling",
        2,
        "stop_page",
    )
    assert set(run("refresh", "repo", "--json")) == {"timestamp", "snapshot"}


def test_init_without_a_passphrase_is_used_wrongly(run):
    _, err = run("init", "repo", code=2)
    assert "BLOCKD_FEED_PASSPHRASE_FILE" in err
    assert "--unencrypted-keys" in err
    assert not Path("repo").exists()


def test_init_with_a_passphrase(run, monkeypatch):
    Path("phrase").write_text("correct horse battery staple\n", encoding="ascii")
    monkeypatch.setenv("BLOCKD_FEED_PASSPHRASE_FILE", "phrase")
    out, _ = run("init", "repo")
    assert "encrypted" in out
    assert Path("repo.keys/1.pem").read_text(encoding="ascii").startswith("-----BEGIN ENCRYPTED")
    assert run(*PUBLISH, "--json", "names.txt")["signatures"] == 3
    monkeypatch.delenv("BLOCKD_FEED_PASSPHRASE_FILE")
    _, err = run(*PUBLISH, "names.txt")
    assert "BLOCKD_FEED_PASSPHRASE_FILE is not set" in err
    assert "none of the 4 keys" in err


def test_a_short_passphrase_is_warned_of(run, monkeypatch):
    Path("phrase").write_text("short\n", encoding="ascii")
    monkeypatch.setenv("BLOCKD_FEED_PASSPHRASE_FILE", "phrase")
    _, err = run("init", "repo")
    assert "openssl rand" in err


def test_init_refuses_to_overwrite(run):
    run("init", "repo", "--unencrypted-keys")
    _, err = run("init", "repo", "--unencrypted-keys", code=1)
    assert "not empty" in err


def test_keys_dir(run):
    run("init", "repo", "--keys-dir", "elsewhere", "--unencrypted-keys")
    assert run(*PUBLISH, "--keys-dir", "elsewhere", "--json", "names.txt")["live"]
    assert not Path("repo.keys").exists()


def test_bad_rows_are_warned_of(run):
    run("init", "repo", "--unencrypted-keys")
    Path("bad.txt").write_text("good.example\nsecret name\n192.0.2.1\n", encoding="utf-8")
    _, err = run(*PUBLISH, "bad.txt")
    assert "1 bad row: character, a character that a name cannot have (line 2)" in err
    assert "1 bad row: address, an IP address, not a name (line 3)" in err
    assert "more than 1 %" in err
    assert "secret" not in err


def test_a_file_without_a_good_row_is_warned_of(run):
    run("init", "repo", "--unencrypted-keys")
    Path("none.txt").write_text("<html>\n", encoding="ascii")
    _, err = run(*PUBLISH, "none.txt")
    assert "no row of this file" in err


@pytest.mark.parametrize(
    "words",
    [
        ("init", "repo", "--keys", 1, "--threshold", 2, "--unencrypted-keys"),
        ("init", "repo", "--keys-dir", "repo/keys", "--unencrypted-keys"),
        (*PUBLISH, "names.txt"),
        ("verify", "repo"),
        ("publish", "repo", "--list", "a", "--format", "domain", "--category", "gambling", "--basis", "operator", "names.txt"),
        ("rotate", "repo", "--role", "signers"),
        ("rotate", "repo", "--role", "online", "--add", 1),
        (),
        ("nothing",),
    ],
)
def test_used_wrongly(run, words):
    run(*words, code=2)


@pytest.mark.parametrize(
    "words",
    [
        ("--canary", "a b", "names.txt"),
        ("none.txt",),
        ("--recipient", "age1x", "names.txt"),
        ("--secret", "names.txt"),
        ("--authority", "two\nlines", "names.txt"),
    ],
)
def test_publish_used_wrongly(run, words):
    run("init", "repo", "--unencrypted-keys")
    run(*PUBLISH, *words, code=2)


def test_errors_of_the_other_kind(run):
    run("init", "repo", "--unencrypted-keys")
    run("cosign", "repo", "--key", "repo.keys/1.pem", code=1)
    run("cosign", "repo", "--key", "none.pem", code=1)
    Path("repo.keys/online.pem").rename("online.pem")
    run("refresh", "repo", code=1)


def test_the_order_register_is_signed(run):
    run("init", "repo", "--unencrypted-keys")
    run(
        *PUBLISH,
        "--authority",
        "Example court",
        "--reference",
        "1/2026",
        "--deadline",
        "2026-12-01",
        "--until",
        "2027-12-01",
        "--canary",
        "Casino.example",
        "names.txt",
    )
    listed = run("verify", "repo", "--json")["lists"][0]
    assert [listed[key] for key in ("authority", "reference", "deadline", "until", "canary")] == [
        "Example court",
        "1/2026",
        "2026-12-01",
        "2027-12-01",
        "casino.example",
    ]


def test_a_secret_list(run):
    run("init", "repo", "--unencrypted-keys")
    identity = pyrage.x25519.Identity.generate()
    run(*PUBLISH, "--secret", "--recipient", identity.to_public(), "names.txt")
    assert run("verify", "repo", "--json")["lists"][0]["secret"]
    assert not any(b"casino" in p.read_bytes() for p in Path("repo").rglob("*") if p.is_file())


def test_verify_finds_a_changed_file(run):
    run("init", "repo", "--unencrypted-keys")
    run(*PUBLISH, "names.txt")
    next(Path("repo/targets/gambling").iterdir()).write_bytes(b"newspaper.example\n")
    _, err = run("verify", "repo", code=1)
    assert "gambling" in err


def test_verify_finds_an_expired_timestamp(run, monkeypatch):
    run("init", "repo", "--unencrypted-keys")
    import time

    later = time.time() + 2 * 86400
    monkeypatch.setattr("blockd.cli.feed_view.time.time", lambda: later)
    _, err = run("verify", "repo", code=1)
    assert "timestamp has expired" in err


def test_rotate(run):
    run("init", "repo", "--unencrypted-keys")
    run(*PUBLISH, "names.txt")
    run("rotate", "repo", "--role", "online", code=2)  # a new key, and no word on how to keep it
    assert run("rotate", "repo", "--role", "online", "--unencrypted-keys", "--json")["live"]
    assert run("rotate", "repo", "--role", "root", "--json")["version"] == 3
    said = run("rotate", "repo", "--role", "signers", "--replace", 3, "--threshold", 3, "--unencrypted-keys", "--json")
    assert (said["live"], said["threshold"]) == (True, 3)
    assert run("verify", "repo", "--json")["lists"][0]["threshold"] == 3


def test_help_of_every_verb(run):
    for verb in ("init", "publish", "cosign", "refresh", "rotate", "verify", "pull"):
        out, _ = run(verb, "--help")
        assert out.startswith(f"usage: blockd feed {verb}")


def test_the_module_runs_by_itself(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "blockd.cli.feed", "init", str(tmp_path / "r")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
