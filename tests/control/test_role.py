"""What a role does before and beside its service. The whole of it runs in tests/control/test_supervisor.py and tests/system."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest

from blockd.control.role import handed_sockets, newest_good, service_for
from blockd.errors import Misconfigured
from blockd.table.store import make_key


def test_sockets_are_taken_by_key():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        taken = handed_sockets({"BLOCKD_SOCKETS": json.dumps({"tcp x": listener.fileno()})})
        assert taken["tcp x"].getsockname() == listener.getsockname()
        assert taken["tcp x"].getblocking() is False
        taken["tcp x"].detach()


def test_without_a_generation_there_is_none(tmp_path):
    assert newest_good(tmp_path) is None


def test_a_damaged_current_is_not_used(tmp_path, caplog):
    make_key(tmp_path)
    (tmp_path / "generations" / "3").mkdir(parents=True)
    (tmp_path / "generations" / "3" / "table.blkt").write_bytes(b"damaged")
    (tmp_path / "current").symlink_to("generations/3")
    assert newest_good(tmp_path) is None
    assert "is not used" in caplog.text


def test_an_unknown_role():
    with pytest.raises(Misconfigured, match="roles are control, resolver, web"):
        service_for("dancer")


def test_a_role_does_not_start_by_itself():
    done = subprocess.run(
        [sys.executable, "-m", "blockd.control.role", "web", "x.toml"],
        env={"BLOCKD_SUPERVISOR": "1", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
