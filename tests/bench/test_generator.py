"""The load generator counts what is there: against responders that answer, lie, drop and pause, and with files that are not what they should be."""

from __future__ import annotations

import json
import random
import signal
import socket
import struct
import subprocess
import threading
import time
from contextlib import contextmanager

import dns.message
import pytest

from bench.programs import Responder, command, load, result
from bench.queries import UNIQUE_LABEL, message, records

BLOCKED, CACHED, MISS = "listed.example", "hot.example", f"{UNIQUE_LABEL}.new.example"


@pytest.fixture(scope="module")
def queries(tmp_path_factory):
    path = tmp_path_factory.mktemp("queries") / "q"
    path.write_bytes(records([("blocked", message(BLOCKED)), ("cached", message(CACHED)), ("miss", message(MISS))]))
    return path


@contextmanager
def responder(answer, family=socket.AF_INET):
    """A socket on loopback whose queries go through `answer(wire) -> list of datagrams`; yields its port."""
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        s.settimeout(0.05)
        over = threading.Event()

        def serve():
            while not over.is_set():
                try:
                    wire, source = s.recvfrom(4096)
                except TimeoutError:
                    continue
                for datagram in answer(wire):
                    s.sendto(datagram, source)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield s.getsockname()[1]
        finally:
            over.set()
            thread.join()


def reply(wire, rcode=0, answers=1):
    return wire[:2] + struct.pack(">BBHH", 0x81, 0x80 | rcode, 1, answers) + wire[8:]


def test_every_query_is_answered_or_lost(programs, queries):
    with Responder(programs["upstream"], core=0) as up:
        seen = load(programs["load"], queries, up.port, core=1, seconds=0.2, mix=(100, 500, 400))
    assert seen.sent == seen.answered + seen.lost
    assert seen.answered > 0
    assert (seen.late, seen.mismatch, seen.refused) == (0, 0, 0)
    assert 0 < seen.p50_us <= seen.p99_us <= seen.max_us * 1.04
    assert 0.15 < seen.seconds < 1
    assert abs(seen.classes["cached"]["sent"] / seen.sent - 0.5) < 0.15
    assert seen.classes["miss"]["rcodes"] == {"0": seen.classes["miss"]["answered"]}
    # the upstream blocks nothing: an address for a listed name is a wrong answer
    assert seen.right() == pytest.approx(1 - seen.classes["blocked"]["answered"] / seen.answered)


def test_rcodes_and_empty_answers_are_counted_by_class(programs, queries):
    def answer(wire):
        return [reply(wire, rcode=3, answers=0) if b"listed" in wire else reply(wire, answers=0 if b"hot" in wire else 1)]

    with responder(answer) as port:
        seen = load(programs["load"], queries, port, count=300, mix=(400, 300, 300), seconds=60)
    classes = seen.classes
    assert classes["blocked"]["rcodes"] == {"3": classes["blocked"]["answered"]}
    assert classes["cached"]["empty"] == classes["cached"]["answered"] > 0
    assert seen.right() == pytest.approx(1 - classes["cached"]["answered"] / seen.answered)


def test_misses_never_come_twice(programs, queries):
    asked = []

    def answer(wire):
        asked.append(wire)
        return [reply(wire)]

    with responder(answer) as port:
        seen = load(programs["load"], queries, port, count=500, mix=(0, 0, 1000), seconds=60, timeout_ms=10_000)
    names = [dns.message.from_wire(wire).question[0].name.to_text() for wire in asked]
    assert seen.sent == len(names) == len(set(names)) == 500
    assert all(len(name.split(".")[0]) == len(UNIQUE_LABEL) and name.endswith(".new.example.") for name in names)
    assert len({wire[:2] for wire in asked}) > 100  # IDs are random enough that few repeat


def test_an_answer_to_another_question_is_none(programs, queries):
    with responder(lambda wire: [reply(wire).replace(b"hot", b"hut")]) as port:
        seen = load(programs["load"], queries, port, count=50, mix=(0, 1000, 0), seconds=60, timeout_ms=100)
    assert (seen.answered, seen.mismatch, seen.lost) == (0, 50, 50)


@pytest.mark.parametrize("cut", [0, 1, 11, 12, 20])
def test_a_cut_answer_is_none(programs, queries, cut):
    with responder(lambda wire: [reply(wire)[:cut]]) as port:
        seen = load(programs["load"], queries, port, count=20, mix=(0, 1000, 0), seconds=60, timeout_ms=100)
    assert (seen.answered, seen.lost) == (0, 20)
    assert seen.late + seen.mismatch == 20


def test_a_repeated_or_forged_answer_counts_once(programs, queries):
    def answer(wire):
        forged = bytes((wire[0] ^ 0x80, wire[1])) + reply(wire)[2:]
        return [forged, reply(wire), reply(wire), wire]

    with responder(answer) as port:
        seen = load(programs["load"], queries, port, count=40, mix=(0, 1000, 0), sockets=1, window=1, seconds=60, timeout_ms=10_000)
    assert (seen.answered, seen.lost) == (40, 0)
    assert seen.late > 0


def test_silence_is_loss(programs, queries):
    with responder(lambda _: []) as port:
        seen = load(programs["load"], queries, port, seconds=0.2, mix=(1000, 0, 0), timeout_ms=50, sockets=2, window=4)
    assert seen.answered == 0
    assert seen.lost == seen.sent >= 16  # the window was freed, and filled again
    assert seen.gap_max_ms >= 200


def test_nobody_there(programs, queries):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    seen = load(programs["load"], queries, port, seconds=0.1, timeout_ms=50)
    assert seen.answered == 0
    assert seen.refused > 0


def test_a_pause_is_the_longest_gap(programs, queries):
    count = 0

    def answer(wire):
        nonlocal count
        count += 1
        if count == 50:
            time.sleep(0.3)
        return [reply(wire)]

    with responder(answer) as port:
        seen = load(programs["load"], queries, port, count=200, mix=(0, 1000, 0), seconds=60, timeout_ms=10_000)
    assert seen.gap_max_ms >= 300
    assert seen.max_us >= 300_000
    assert seen.answered == 200


def test_the_count_is_exact_and_the_rate_a_limit(programs, queries):
    with Responder(programs["upstream"], core=0) as up:
        assert load(programs["load"], queries, up.port, seconds=60, count=777).sent == 777
        seen = load(programs["load"], queries, up.port, seconds=0.5, rate=200)
    assert 50 <= seen.sent <= 102


def test_sigterm_ends_it_with_its_figures(programs, queries):
    with Responder(programs["upstream"], core=0) as up:
        process = subprocess.Popen(command(programs["load"], queries, up.port, seconds=60, rate=1000), stdout=subprocess.PIPE, text=True)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        seen = result(process.communicate(timeout=20)[0])
    assert process.returncode == 0
    assert seen.answered > 0
    assert seen.seconds < 20


def test_ipv6_loopback(programs, queries):
    with responder(lambda wire: [reply(wire)], socket.AF_INET6) as port:
        seen = load(programs["load"], queries, port, address="::1", count=50, seconds=60, timeout_ms=10_000)
    assert seen.answered == 50


def run(programs, *words):
    return subprocess.run([programs["load"], *map(str, words)], capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize(
    "address", ["0.0.0.0", "192.0.2.1", "::", "2001:db8::1", "::ffff:192.0.2.1", "localhost", "126.255.255.255", "128.0.0.1"]
)
def test_it_reaches_no_other_machine(programs, queries, address):
    done = run(programs, "--queries", queries, "--port", 53, "--address", address, "--seconds", "0.1")
    assert done.returncode == 2
    assert "loopback" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("--seconds", "601"), ("--seconds", "0"), ("--seconds", "nan"), ("--seconds", "1x"), ("--sockets", "65"), ("--window", "1025"), ("--window", "0"),
        ("--rate", "0"), ("--rate", "-1"), ("--mix", "1,2,3"), ("--mix", "1000"), ("--mix", "1001,-1,0"), ("--port", "65536"), ("--count", "0"), ("more",),
    ],
)  # fmt: skip
def test_bounds_of_the_command_line(programs, queries, words):
    done = run(programs, "--queries", queries, "--port", 9, *words)
    assert done.returncode == 2, done.stderr
    assert done.stderr


GOOD = records([("blocked", message(BLOCKED)), ("miss", message(MISS))])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"BLQ1",
        b"BLQ2" + GOOD[4:],
        b"BLQ1" + struct.pack("<I", 0),
        b"BLQ1" + struct.pack("<I", 0xFFFFFFFF) + GOOD[8:],
        b"BLQ1" + struct.pack("<I", 3) + GOOD[8:],
        GOOD[:-1],
        GOOD + b"\0",
        GOOD.replace(b"\x06listed", b"\xc0\x0cisted"),
        b"BLQ1" + struct.pack("<I", 1) + struct.pack("<BH", 3, 32) + message(BLOCKED),
        records([("blocked", message(BLOCKED) + b"\0" * 512)]),
        records([("miss", message("short.new.example"))]),
        records([("blocked", reply(message(BLOCKED)))]),
        records([("blocked", message(BLOCKED)[:5] + b"\x02" + message(BLOCKED)[6:])]),
        records([("cached", message(CACHED))]),  # nothing of the class that the mix wants
    ],
    ids=range(15),
)
def test_a_malformed_file_is_refused(programs, tmp_path, data):
    path = tmp_path / "q"
    path.write_bytes(data)
    done = run(programs, "--queries", path, "--port", 9, "--count", 1, "--timeout-ms", 1)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("load: ")


def test_no_file_breaks_it(programs, tmp_path):
    rng = random.Random(7)
    path = tmp_path / "q"
    codes = set()
    for _ in range(60):
        data = bytearray(GOOD)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.choice((0, 1, 63, 64, 192, 255, rng.randrange(256)))
        path.write_bytes(data[: rng.randint(1, len(data))] if rng.random() < 0.2 else data)
        done = run(programs, "--queries", path, "--port", 9, "--count", 4, "--timeout-ms", 1, "--mix", "500,0,500")
        codes.add(done.returncode)
        assert done.returncode in {0, 2}, done.stderr
        if done.returncode == 0:
            json.loads(done.stdout)
    assert codes == {0, 2}
