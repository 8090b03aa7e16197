"""A burst waits in a stopped server's socket, and is timed by when its answers arrive."""

from __future__ import annotations

import json
import subprocess

import pytest

from bench.programs import Responder, build
from bench.queries import message, records


@pytest.fixture(scope="module")
def burst(tmp_path_factory):
    return build(tmp_path_factory.mktemp("burst"), "burst", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@pytest.fixture(scope="module")
def queries(tmp_path_factory):
    path = tmp_path_factory.mktemp("queries") / "q"
    path.write_bytes(records([("blocked", message(f"n{number}.example")) for number in range(50)]))
    return path


def run(burst, *words):
    return subprocess.run([burst, *map(str, words)], capture_output=True, text=True, timeout=60, check=False)


def test_every_answer_of_a_burst_is_counted_and_timed(burst, programs, queries):
    with Responder(programs["ceiling"], core=0) as server:
        words = ("--queries", queries, "--port", server.port, "--pid", server.process.pid, "--count", 640, "--sockets", 64, "--rounds", 3)
        done = run(burst, *words)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert (seen["count"], seen["answered"], seen["short"]) == (640, 1920, 0)
    assert len(seen["rates"]) == 3
    assert all(1000 < rate < 10_000_000 for rate in seen["rates"])


def test_a_round_that_lacks_answers_has_no_rate(burst, programs, queries):
    with Responder(programs["ceiling"], core=0) as server, Responder(programs["ceiling"], core=0) as other:
        # the other one is stopped and goes on; nobody listens where the queries go
        server.process.kill()
        server.process.wait()
        words = ("--queries", queries, "--port", server.port, "--pid", other.process.pid, "--count", 64, "--sockets", 8, "--rounds", 2)
        done = run(burst, *words)
    seen = json.loads(done.stdout)
    assert (seen["rates"], seen["answered"], seen["short"]) == ([], 0, 2)


@pytest.mark.parametrize(
    "words", [(), ("--port", 9, "--pid", 2), ("--pid", 1), ("--sockets", 1025), ("--count", 0), ("--rounds", 0), ("more",)]
)
def test_bounds_of_the_command_line(burst, queries, words):
    done = run(burst, "--queries", queries, "--port", 9, *words) if words != ("--port", 9, "--pid", 2) else run(burst, *words)
    assert done.returncode == 2
    assert done.stderr


def test_a_class_that_the_file_lacks_is_refused(burst, queries):
    done = run(burst, "--queries", queries, "--port", 9, "--pid", 2**30, "--class", "cached")
    assert done.returncode == 2
    assert "class" in done.stderr
