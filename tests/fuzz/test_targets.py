"""The short pass: every fuzz target runs for a moment from its committed corpus. `make fuzz` gives them longer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.harness import CORPUS, read_corpus

HERE = Path(__file__).parent
TARGETS = sorted(HERE.glob("fuzz_*.py"))
SECONDS_EACH = "1.5"


@pytest.mark.parametrize("path", TARGETS, ids=lambda path: path.stem)
def test_nothing_is_found(path, tmp_path):
    done = subprocess.run(
        [sys.executable, path, "--seconds", SECONDS_EACH, "--seed", "1", "--saved", tmp_path],
        capture_output=True, text=True, check=False, timeout=100, env={**os.environ, "PYTHONPATH": str(HERE.parents[1])},
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "nothing found" in done.stdout


@pytest.mark.parametrize("path", TARGETS, ids=lambda path: path.stem)
def test_a_committed_corpus_starts_it(path):
    assert read_corpus(CORPUS / path.stem.removeprefix("fuzz_")), "a target begins with inputs that reach it"


def test_there_are_targets():
    assert {"fuzz_names", "fuzz_urls"} <= {path.stem for path in TARGETS}
