"""No hostile message holds the loop: processor time, measured from inside, against the 5 ms that the project allows.

Two measures. The native core is called directly, for one call is all that a message costs there. And the whole resolver runs with every
callback of its loop timed (hostile_loop.py). What is asserted is the least of several rounds: a cost that an input really has is there in each
of them, while a busy machine's noise is not.
"""

from __future__ import annotations

import gc
import socket
import struct
import time
from typing import TYPE_CHECKING

import pytest

from blockd.dns.garbage import FULL_AFTER
from blockd.native._dns import Reply
from blockd.terms import Transport
from tests.dns import running
from tests.native.dns_tools import Rig, ask_for
from tests.system import hostile
from tests.system.hostile_loop import Metered
from tests.system.hostile_upstream import HostileUpstream
from tests.system.test_hostile_doors import framed, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CALL_MAX_MS = 1.0  # one call into the native core
CALLBACK_MAX_MS = 5.0  # one callback of the loop
ROUNDS = 5
TOLD_BY_THE_DEADLINE = {
    "silence",
    "empty",
    "header-alone",
    "wrong-question",
    "wrong-type",
    "two-questions",
    "a-query",
    "opcode-15",
    "garbage",
}
"""Attacks whose packets are not the answer (RFC 5452 §9): what comes is passed over, and the query waits for a better one."""


def least_ms(call: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.thread_time()
        call()
        best = min(best, 1000 * (time.thread_time() - start))
    return best


# The native core


@pytest.fixture
def rig(tmp_path) -> Rig:
    made = Rig(cache_bytes=8 << 20)
    made.block(tmp_path, "casino.example", "00007.chain.example", "a." * 60 + "deep.example")
    return made


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
def test_no_query_costs_the_core_a_millisecond(rig, transport):
    packets = {name: packet for name, packet, _ in hostile.queries()}
    packets["64-kib"] = hostile.query(tail=bytes(65000))
    packets["64-kib-of-options"] = hostile.query(counts=(1, 0, 0, 1), tail=hostile.opt(b"\xff\xff\0\0" * 16000))
    packets["a-listed-name-60-labels-deep"] = hostile.query(b"\x01a" * 100 + b"\x04deep\x07example\0" + hostile.A_IN)
    took = {name: least_ms(lambda packet=packet: rig.raw(packet, transport)) for name, packet in packets.items()}
    assert {name: ms for name, ms in took.items() if ms > CALL_MAX_MS} == {}


@pytest.mark.parametrize("attack", hostile.ANSWERS)
def test_no_answer_costs_the_core_a_millisecond(rig, attack):
    ask = rig.ask(ask_for(f"{attack}.evil.example", "A"), Transport.TCP)
    made = hostile.ANSWERS[attack](ask.upstream(7))
    for packet in [made] if isinstance(made, bytes) else made[:2]:
        assert len(packet) <= 65535
        assert least_ms(lambda packet=packet: rig.core.walk_reply(ask, packet, 7)) < CALL_MAX_MS
        reply = rig.core.walk_reply(ask, packet, 7)
        if isinstance(reply, Reply):
            assert least_ms(lambda reply=reply: rig.core.finish(ask, reply, rig.now_ms)) < CALL_MAX_MS
            assert least_ms(lambda: rig.raw(ask_for(f"{attack}.evil.example", "A").to_wire(), Transport.TCP)) < CALL_MAX_MS


# The resolver's loop


@pytest.fixture
def metered(monkeypatch) -> Iterator[Metered]:
    with HostileUpstream() as upstream, Metered(monkeypatch, running.configured(upstream.port)) as resolver:
        yield resolver


def least_callback(metered: Metered, attack: Callable[[int], object], rounds: int = ROUNDS) -> None:
    """Run an attack until a round in which no callback took too long; its argument is the round's number, for fresh names."""
    took = []
    for number in range(rounds):
        metered.meter.reset()
        attack(number)
        took.append((round(metered.meter.callback_ms, 2), metered.meter.what))
        if metered.meter.callback_ms < CALLBACK_MAX_MS:
            return
    raise AssertionError(f"the loop was held, each time: {took}")


def name_of(attack: str, number: int) -> bytes:
    labels = [attack.encode(), b"n%d" % number, b"evil", b"example"]
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def settled(metered: Metered) -> None:
    until(lambda: not metered.stats()["in_flight"], "nothing is under way")


def test_malformed_queries(metered):
    packets = [packet for _, packet, _ in hostile.queries()]

    def attack(_: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(metered.door())
            for packet in packets * 5:
                client.send(packet)
        for packet in packets:
            with socket.create_connection(metered.door("tcp")) as client:
                client.sendall(framed(packet))
        settled(metered)

    least_callback(metered, attack)


def test_answers_of_a_hostile_upstream(metered):
    """Each by itself: its longest callback, the least of several rounds."""
    took: dict[str, tuple[float, str]] = {}
    for attack in hostile.ANSWERS.keys() - TOLD_BY_THE_DEADLINE:
        for number in range(ROUNDS):
            metered.meter.reset()
            with socket.create_connection(metered.door("tcp"), timeout=10) as client:
                client.sendall(framed(hostile.query(name_of(attack, number) + hostile.A_IN)))
                client.recv(65535)
            took[attack] = min(took.get(attack, (1000.0, "")), (round(metered.meter.callback_ms, 2), metered.meter.what))
            if took[attack][0] < CALLBACK_MAX_MS:
                break
    assert {attack: worst for attack, worst in took.items() if worst[0] >= CALLBACK_MAX_MS} == {}


def test_answers_that_are_passed_over_until_the_deadline(metered):
    def attack(number: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(metered.door())
            for copy in range(20):
                for lie in TOLD_BY_THE_DEADLINE:
                    client.send(hostile.query(name_of(lie, 100 * number + copy) + hostile.A_IN))
        settled(metered)

    least_callback(metered, attack, rounds=3)


def test_a_flood_of_names_that_do_not_exist(metered):
    """The random-subdomain attack: each query is one for the upstream."""

    def attack(number: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(metered.door())
            for n in range(1000):
                client.send(hostile.query(name_of("good", number * 1000 + n) + hostile.A_IN, identity=n))
        settled(metered)

    least_callback(metered, attack)


def test_a_flood_that_the_upstream_does_not_answer(metered):
    """Thousands under way at once, and the collector of garbage does not walk them."""

    def attack(number: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(metered.door())
            for n in range(4000):
                client.send(hostile.query(name_of("silence", number * 4000 + n) + hostile.A_IN, identity=n))
                if n % 100 == 0:
                    time.sleep(0.01)  # so that the kernel's buffer holds them
        until(lambda: metered.stats()["in_flight"] > 1500, "many are under way")

    assert gc.get_freeze_count() > 0, "what was there at the start is set aside"
    assert gc.get_threshold()[2] == FULL_AFTER
    least_callback(metered, attack, rounds=3)


def test_a_crowd_that_waits_for_one_large_answer(metered):
    """256 clients, 61 KB each, when the answer comes."""

    def attack(number: int) -> None:
        query = name_of("megabyte-text", number) + b"\0\x10\0\1"
        clients = [socket.create_connection(metered.door("tcp"), timeout=10) for _ in range(4)]
        for client in clients:
            client.sendall(framed(*[hostile.query(query, identity=n) for n in range(64)]))
        settled(metered)
        for client in clients:
            client.recv(65535)
            client.close()

    least_callback(metered, attack)


def test_a_burst_of_cached_large_answers_on_one_connection(metered):
    query = name_of("megabyte-text", 0) + b"\0\x10\0\1"

    def attack(_: int) -> None:
        with socket.create_connection(metered.door("tcp"), timeout=10) as client:
            client.sendall(framed(*[hostile.query(query, identity=n) for n in range(60)]))
            left = 40 * 61_000
            while left > 0:
                left -= len(client.recv(1 << 16))

    attack(0)
    least_callback(metered, attack)


def test_a_thousand_idle_connections_that_end_together(metered):
    def attack(_: int) -> None:
        clients = []
        for number in range(1000):
            client = socket.socket()
            client.bind((f"127.0.2.{1 + number // 60}", 0))
            client.connect(metered.door("tcp") if not clients else clients[0].getpeername())
            clients.append(client)
        until(lambda: metered.stats()["tcp_connections"] == 1000, "all are open")
        metered.meter.reset()
        metered.call(metered.resolver._connections.hurry, 0)
        until(lambda: metered.stats()["tcp_connections"] == 0, "all are closed")
        for client in clients:
            client.close()

    least_callback(metered, attack, rounds=3)


def test_streams_that_make_no_sense(metered):
    def attack(_: int) -> None:
        for octets in (b"\0\0" * 4000, b"\xff\xff" + bytes(65535), struct.pack(">H", 4096) + bytes(4096), b"\x00\x01a" * 3000):
            with socket.create_connection(metered.door("tcp"), timeout=10) as client:
                try:
                    client.sendall(octets * 4)
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(65536):
                        pass
                except (ConnectionError, OSError):
                    continue  # closed before it was all said

    least_callback(metered, attack)
