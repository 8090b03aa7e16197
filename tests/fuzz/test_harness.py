"""The fuzz harness must find what is there, save it, and find nothing where there is nothing."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.harness import MUTATORS, mutate, read_corpus, run

HERE = Path(__file__).parent


def test_a_broken_property_is_found_saved_and_made_small(tmp_path):
    def target(data: bytes) -> object:
        assert b"\xc0" not in data, "a pointer"
        return len(data)

    assert run(target, [b"hello, this is an ordinary input"], 20, 1, name="t", saved=tmp_path) == 1
    (saved,) = tmp_path.iterdir()
    assert saved.read_bytes() == b"\xc0"


def test_a_sound_target_passes(tmp_path):
    assert run(len, [b"abc"], 0.2, 1, name="t", saved=tmp_path) == 0
    assert not list(tmp_path.iterdir())


def test_new_behaviour_steers(tmp_path):
    # Three octets in the right order are out of reach for blind mutation, not when each step is kept.
    def target(data: bytes) -> object:
        score = next((i for i, want in enumerate(b"RPZ") if data[i : i + 1] != bytes([want])), 3)
        assert score < 3
        return score

    assert run(target, [b"...."], 60, 7, name="t", saved=tmp_path) == 1
    assert next(tmp_path.iterdir()).read_bytes().startswith(b"RPZ")


def test_the_same_seed_gives_the_same_inputs():
    def inputs(seed):
        rng = random.Random(seed)
        return [mutate(rng, [b"one", b"two"], (b"://",)) for _ in range(200)]

    assert inputs(3) == inputs(3) != inputs(4)


@pytest.mark.parametrize("mutator", MUTATORS, ids=lambda m: m.__name__)
def test_a_mutator_takes_any_input(mutator):
    rng = random.Random(1)
    for length in (0, 1, 2, 3, 300):
        for _ in range(50):
            mutator(rng, bytearray(length))


def test_inputs_stay_below_the_limit():
    rng = random.Random(1)
    assert max(len(mutate(rng, [b"x" * 99], size_max=100)) for _ in range(500)) == 100


def test_corpus_files(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"one\ntwo")
    (tmp_path / "b.txt").write_bytes(b"three\nf\\x00ur\n")
    assert read_corpus(tmp_path) == [b"one\ntwo", b"three", b"f\0ur"]
    assert read_corpus(tmp_path / "missing") == []


def script(tmp_path, body):
    path = tmp_path / "fuzz_t.py"
    path.write_text(f"import sys\nsys.path.insert(0, {str(HERE)!r})\nimport harness\nharness.HANG_S = 1.0\n{body}\n")
    return subprocess.run(
        [sys.executable, path, "--seconds", "5", "--saved", tmp_path / "saved"], capture_output=True, text=True, check=False, timeout=60
    )


def test_death_by_signal_is_saved(tmp_path):
    done = script(tmp_path, "import os\nharness.main('t', lambda data: os.abort() if b'\\x80' in data else 0)")
    assert done.returncode == 1
    assert "signal 6" in done.stdout
    assert b"\x80" in next((tmp_path / "saved").iterdir()).read_bytes()


def test_a_hang_is_saved(tmp_path):
    done = script(tmp_path, "import time\nharness.main('t', lambda data: time.sleep(99) if b'\\x80' in data else 0)")
    assert done.returncode == 1
    assert "no end" in done.stdout
    assert b"\x80" in next((tmp_path / "saved").iterdir()).read_bytes()
