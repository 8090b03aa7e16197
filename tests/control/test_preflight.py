from __future__ import annotations

import subprocess
import sys

import pytest

from blockd.control.preflight import check_key, check_program, lock_roles
from blockd.errors import Unavailable
from blockd.table.store import make_key


def test_a_role_has_one_place(tmp_path):
    with lock_roles(tmp_path, ["resolver", "web"]):
        with pytest.raises(Unavailable, match="another blockd runs role web"):
            lock_roles(tmp_path, ["control", "web"])
        with lock_roles(tmp_path, ["control"]):  # what it had taken before it failed is free again
            pass
    with lock_roles(tmp_path, ["web"]):
        pass


def test_a_place_is_free_when_its_holder_was_killed(tmp_path):
    code = (
        "import os, sys, pathlib\nfrom blockd.control.preflight import lock_roles\n"
        "lock_roles(pathlib.Path(sys.argv[1]), ['web'])\nos.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -9
    with lock_roles(tmp_path, ["web"]):
        pass


def test_a_directory_that_is_not_there(tmp_path):
    with pytest.raises(Unavailable, match="No such file"):
        lock_roles(tmp_path / "none", ["web"])


def test_the_key(tmp_path):
    check_key(tmp_path)  # none yet
    make_key(tmp_path)
    check_key(tmp_path)
    (tmp_path / "table.key").write_bytes(b"short")
    with pytest.raises(Unavailable, match=r"table\.key does not hold 16 octets"):
        check_key(tmp_path)
    (tmp_path / "table.key").unlink()
    (tmp_path / "table.key").mkdir()
    with pytest.raises(Unavailable, match=r"table\.key: Is a directory"):
        check_key(tmp_path)


def test_a_program_that_cannot_be_run(tmp_path):
    check_program(sys.executable)
    (tmp_path / "python").write_text("")
    for path in (tmp_path / "python", tmp_path / "none"):
        with pytest.raises(Unavailable, match="cannot be run"):
            check_program(str(path))


CONFIG = """
state_dir = "state"
runtime_dir = "run"
[dns]
listen = ["127.0.0.1:0"]
upstreams = ["udp://127.0.0.1:9"]
[stop_page]
listen = []
[admin]
listen = []
"""


def run_daemon(home):
    (home / "blockd.toml").write_text(CONFIG)
    command = [sys.executable, "-m", "blockd", "run", "-c", str(home / "blockd.toml")]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


def test_the_daemon_says_one_line_and_ends(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "run").mkdir()
    with lock_roles(tmp_path / "run", ["control"]):
        done = run_daemon(tmp_path)
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (1, 1, "")
    assert "another blockd" in done.stderr
    (tmp_path / "state" / "table.key").write_bytes(b"x")
    done = run_daemon(tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "table.key" in done.stderr
