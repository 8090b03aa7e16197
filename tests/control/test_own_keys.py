from __future__ import annotations

import os

import pytest

from blockd.config.schema import Config
from blockd.control.node_key import NodeKey
from blockd.control.own_keys import faults
from blockd.table.store import make_key


@pytest.fixture
def state(tmp_path):
    make_key(tmp_path)
    NodeKey.load(Config(path=tmp_path / "blockd.toml", state_dir=tmp_path, runtime_dir=tmp_path))
    return tmp_path


def test_as_they_are_made(state, tmp_path):
    assert list(faults(state)) == []
    assert list(faults(tmp_path / "none")) == []


@pytest.mark.parametrize("name", ["table.key", "node.pem"])
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_key_that_others_can_read(state, name, mode):
    (state / name).chmod(mode)
    assert list(faults(state)) == [f"{state / name}: others can read it: chmod 600 {state / name}"]


def test_keys_that_are_none(state):
    (state / "node.pem").write_text("x\n")
    (state / "table.key").write_bytes(b"short")
    table, node = faults(state)
    assert "table.key does not hold 16 octets" in table
    assert node.startswith(f"{state / 'node.pem'}: not a private key")
    for name in ("table.key", "node.pem"):
        (state / name).unlink()
        os.mkfifo(state / name)
    assert [line.rpartition(": ")[2] for line in faults(state)] == ["is not a file"] * 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_of_somebody_else(state):
    """As after a restore by root of a state directory that is the daemon's user's."""
    os.chown(state, 65534, 65534)
    os.chown(state / "node.pem", 65534, 65534)
    (line,) = faults(state)
    assert "table.key: belongs to root" in line
    assert f"chown {'nobody'} " in line


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_key_that_we_cannot_read(state):
    state.chmod(0o755)
    pid = os.fork()
    if pid == 0:
        os.setresuid(65534, 65534, 65534)
        said = list(faults(state))
        os._exit(0 if len(said) == 2 and all("Permission denied: give it" in line for line in said) else 1)
    assert os.waitpid(pid, 0)[1] == 0
