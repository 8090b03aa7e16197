"""`blockd demo --once` on a clean folder: every step is checked by itself; here, that it says so and leaves nothing behind."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import time

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


@pytest.mark.timeout(120)
def test_what_the_demo_prints_works_and_sigterm_leaves_nothing(tmp_path):
    home = tmp_path / "demo"
    with (tmp_path / "out").open("w") as out:
        demo = subprocess.Popen([*BLOCKD, "demo", "--dir", str(home)], stdout=out, stderr=subprocess.STDOUT)
        end = time.monotonic() + 60
        while "Ctrl-C stops it" not in (text := (tmp_path / "out").read_text()):
            assert demo.poll() is None, text
            assert time.monotonic() < end, text
            time.sleep(0.1)
        second = blockd("demo", check=False)
        assert second.returncode == 1
        assert "another demo" in second.stderr
        with (home / "gambling.domains").open("a") as rows:
            rows.write("printed.example\n")
        printed = [line.strip() for line in text.splitlines() if re.match(r"\s+\S*blockd (feed publish|lists update)", line)]
        assert len(printed) == 2
        for line in printed:
            blockd(*shlex.split(line)[1:])
        assert json.loads(blockd("lookup", "printed.example", "-c", home / "blockd.toml", "--json").stdout)["verdict"] == "block"
        assert "2 of 2" in blockd("selftest", "-c", home / "blockd.toml").stdout
        demo.terminate()
        assert demo.wait(30) == 0
    assert blockd("status", "-c", home / "blockd.toml", check=False).returncode == 1


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
