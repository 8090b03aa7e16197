"""The units: systemd's own verifier finds nothing wrong, and their exposure stays low."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.house.sources import ROOT
from tests.system.gateway import need

UNITS = sorted(p.name for p in (ROOT / "systemd").iterdir() if p.suffix in {".service", ".timer"})
EXPOSURE_MAX = 2.0  # of 10; systemd calls anything below 3 "OK"


@pytest.fixture
def units(tmp_path):
    # The verifier wants the program and the instances to exist: a stand-in path for the one, named copies for the other.
    program = tmp_path / "blockd"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    made = []
    for name in UNITS:
        text = (ROOT / "systemd" / name).read_text().replace("/usr/bin/blockd", str(program))
        text = re.sub(r"^Documentation=.*\n", "", text, flags=re.MULTILINE)  # man pages are not installed here
        copy = tmp_path / name.replace("@.", "@resolver.")
        copy.write_text(text)
        made.append(copy)
    return made


def test_systemd_analyze_verify(units):
    done = subprocess.run([need("systemd-analyze"), "verify", *map(str, units)], capture_output=True, text=True, timeout=60, check=False)
    said = [line for line in done.stderr.splitlines() if any(u.name in line for u in units)]
    assert not said, done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize("unit", ["blockd.service", "blockd@resolver.service", "blockd-feed-refresh@resolver.service"])
def test_systemd_analyze_security(units, unit):
    path = next(u for u in units if u.name == unit)
    done = subprocess.run(
        [need("systemd-analyze"), "security", "--offline=yes", "--no-pager", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    level = re.search(r"exposure level for \S+ (\d+\.\d+)|exposure level for .*?: (\d+\.\d+)", done.stdout)
    assert level, done.stdout + done.stderr
    assert float(level.group(1) or level.group(2)) <= EXPOSURE_MAX, done.stdout
