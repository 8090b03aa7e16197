"""`blockd demo --once` on a clean folder: every step is checked by itself; here, that it says so and leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.system.gateway import BLOCKD, blockd


@pytest.mark.timeout(180)
def test_demo_once(tmp_path):
    done = subprocess.run(
        [*BLOCKD, "demo", "--once", "--dir", str(tmp_path / "demo")], capture_output=True, text=True, timeout=170, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.strip().splitlines()
    assert lines[-1].startswith("all ")
    assert sum(line.startswith("ok ") for line in lines) == int(lines[-1].split()[1])
    assert "Traceback" not in (tmp_path / "demo" / "blockd.log").read_text()


def test_demo_refuses_a_folder_with_something_in_it(tmp_path):
    (tmp_path / "thing").write_text("keep me")
    done = blockd("demo", "--once", "--dir", tmp_path, check=False)
    assert done.returncode in {1, 2}
    assert "not empty" in done.stderr
    assert (tmp_path / "thing").read_text() == "keep me"


def test_the_module_and_the_command_are_the_same():
    assert subprocess.run([sys.executable, "-m", "blockd", "--version"], capture_output=True, text=True, check=True).stdout.startswith(
        "blockd "
    )
