from __future__ import annotations

import os
import stat

import pytest

from blockd.cli import init
from blockd.cli.main import main
from blockd.config.load import examine, load


@pytest.fixture(autouse=True)
def no_resolv_conf(monkeypatch, tmp_path):
    monkeypatch.setattr(init, "RESOLV_CONF", tmp_path / "resolv.conf")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_what_it_writes_can_be_used_at_once(tmp_path, capsys):
    home = tmp_path / "try"
    assert main(["init", str(home)]) == 0
    assert "blockd check -c" in capsys.readouterr().out
    report = examine(home / "blockd.toml")
    assert report.faults == ()
    assert report.config.state_dir == home / "state"
    assert report.config.runtime_dir == home / "run"
    assert (home / "conf.d").is_dir()
    assert (home / "roots").is_dir()
    assert mode(home / "blockd.toml") == 0o640
    assert mode(home / "state") & 0o027 == 0
    for key in ("table.key", "node.pem"):
        assert mode(home / "state" / key) == 0o600
    assert (home / "state" / "table.key").stat().st_size == 16
    assert sorted(p.name for p in home.iterdir()) == ["blockd.toml", "conf.d", "roots", "state"]


def test_it_overwrites_nothing(tmp_path, capsys):
    (tmp_path / "blockd.toml").write_text("mine")
    assert main(["init", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert (tmp_path / "blockd.toml").read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["blockd.toml"]


def test_keys_that_are_there_stay(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "table.key").write_bytes(b"k" * 16)
    assert main(["init", str(tmp_path)]) == 0
    assert (tmp_path / "state" / "table.key").read_bytes() == b"k" * 16


def test_folders_of_ones_own(tmp_path):
    assert main(["init", str(tmp_path / "c"), "--state-dir", str(tmp_path / "s"), "--runtime-dir", str(tmp_path / "r")]) == 0
    config = load(tmp_path / "c" / "blockd.toml")
    assert (config.state_dir, config.runtime_dir) == (tmp_path / "s", tmp_path / "r")


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["init", str(tmp_path / "file" / "x")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_failure_half_way_leaves_no_configuration(tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, os.strerror(28), str(tmp_path / "state" / "table.key"))

    monkeypatch.setattr("blockd.table.store.make_key", full)
    assert main(["init", str(tmp_path)]) == 1
    assert "No space left" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.toml"))
    assert not list(tmp_path.glob(".blockd*"))
    monkeypatch.undo()
    assert main(["init", str(tmp_path)]) == 0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("nameserver 198.51.100.53\nnameserver 2001:db8::53\n", ["udp://198.51.100.53:53", "udp://[2001:db8::53]:53"]),
        ("nameserver 127.0.0.53\noptions edns0\nsearch example\n", []),
        ("# nameserver 198.51.100.1\nnameserver\nnameserver resolver.example\nnameserver fe80::1%eth0\n", []),
        ("".join(f"nameserver 198.51.100.{n}\n" for n in (1, 1, 2, 3, 4)), [f"udp://198.51.100.{n}:53" for n in (1, 2, 3)]),
    ],
)
def test_the_machines_own_resolvers(text, found):
    assert init.resolvers(text) == found


def test_the_machines_own_resolvers_are_written(tmp_path, monkeypatch):
    (tmp_path / "resolv.conf").write_text("nameserver 198.51.100.7\n")
    assert main(["init", str(tmp_path / "x")]) == 0
    assert [str(u) for u in load(tmp_path / "x" / "blockd.toml").dns.upstreams] == ["udp://198.51.100.7:53"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_as_root_the_state_is_given_to_the_daemons_user(tmp_path, monkeypatch):
    monkeypatch.setattr(init, "DAEMON_USER", "nobody")
    assert main(["init", str(tmp_path / "x")]) == 0
    nobody = init.daemon_user()
    state = tmp_path / "x" / "state"
    for path in (state, state / "table.key", state / "node.pem"):
        assert (path.stat().st_uid, path.stat().st_gid) == nobody
    config = (tmp_path / "x" / "blockd.toml").stat()
    assert (config.st_uid, config.st_gid) == (0, nobody[1])  # it may read its configuration, not write it


def test_a_system_wide_folder_uses_the_system_wide_places(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(init, "_make", lambda *args: made.append(args))
    assert main(["init", "/etc/blockd-that-is-not-there"]) == 0
    assert [str(p) for p in made[0][2:]] == ["/var/lib/blockd", "/run/blockd"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a configuration for another user")
def test_where_the_services_user_is_known_the_configuration_names_it(tmp_path, monkeypatch):
    """One run as root would otherwise leave files that the service cannot use."""
    monkeypatch.setattr(init, "DAEMON_USER", "nobody")
    assert main(["init", str(tmp_path / "etc")]) == 0
    assert '\nuser = "nobody"\n' in (tmp_path / "etc" / "blockd.toml").read_text()
