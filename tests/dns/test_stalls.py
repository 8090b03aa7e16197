"""No message holds the loop: the processor time of one callback, for the worst that clients and upstreams send.

Processor time of the thread, not the clock: the machine that runs this may be busy with other things.
"""

from __future__ import annotations

import struct
import time

import dns.message
import pytest

from blockd.dns import stream
from blockd.dns.tcp import server as tcp_server
from tests.dns.running import Running, configured, generation, listed
from tests.dns.upstream import Upstream

LIMIT_S = 0.005
ROUNDS = 5


def question(*, qdcount=1, ancount=0, arcount=0, flags=0x0100):
    return struct.pack("!6H", 7, flags, qdcount, ancount, 0, arcount)


def label_flood(size):
    """Names that other parsers walk for tens of milliseconds: a question, then records that point back and back."""
    name = b"\x01a" * 120 + b"\0"
    records = b"".join(struct.pack("!HHHIH", 0xC00C + 2 * (n % 100), 1, 1, 0, 0) for n in range(size // 12))
    return question(ancount=size // 12, arcount=1) + name + b"\0\1\0\1" + records


def pointer_chain(size):
    pairs = (size - 12) // 2
    return question() + b"".join(struct.pack("!H", 0xC000 | (14 + 2 * n) & 0x3FFF) for n in range(pairs))


def options(size):
    return dns.message.make_query("a.example", "A", use_edns=0, options=[dns.edns.GenericOption(9, b"")] * (size // 4)).to_wire(
        max_size=65535
    )


NASTY = {
    "labels": label_flood(4000),
    "labels-1229": label_flood(1200),
    "pointers": pointer_chain(4096),
    "options": options(4000),
    "zeros": question(qdcount=65535, ancount=65535, arcount=65535) + b"\0" * 4000,
    "ones": b"\xff" * 4096,
    "long-name": question() + (b"\x3f" + b"a" * 63) * 60,
}


@pytest.fixture(scope="module")
def r(tmp_path_factory):
    live = generation(tmp_path_factory.mktemp("stalls"), 1, listed("f/own", ["casino.example"]))
    with Upstream() as up, Running(configured(up.port, lists=["f/own"]), live) as running:
        yield running


def least(work):
    """The least of some rounds: interruptions only add."""
    found = []
    for _ in range(ROUNDS):
        start = time.thread_time()
        work()
        found.append(time.thread_time() - start)
    return min(found)


@pytest.mark.parametrize("transport", [0, 1])
@pytest.mark.parametrize("kind", NASTY)
def test_a_nasty_query_is_refused_at_once(r, kind, transport):
    core = r.resolver._driver.core
    assert r.call(least, lambda: core.handle(NASTY[kind], transport, 4, 0)) < LIMIT_S / 10


def reply_of(query, body, counts):
    return query[:2] + struct.pack("!5H", 0x8180, 1, *counts) + query[12 : query.index(b"\0", 12) + 5] + body


@pytest.mark.parametrize("size", [1200, 4000, 65000])
def test_a_nasty_answer_is_walked_within_its_budget(r, size):
    core = r.resolver._driver.core
    ask = r.call(core.handle, dns.message.make_query("nasty.example", "A").to_wire(), 1, 4, 0)
    query = ask.upstream(9)
    records = b"".join(struct.pack("!HHHIHH", 0xC00C, 5, 1, 60, 2, 0xC00C) for _ in range(size // 14))
    packet = reply_of(query, records, (size // 14, 0, 0))
    assert r.call(least, lambda: core.walk_reply(ask, packet, 9)) < LIMIT_S


class Transport:
    """What a connection asks of its transport."""

    def __init__(self):
        self.sent = 0

    def get_extra_info(self, _):
        return ("127.0.0.1", 1)

    def write(self, data):
        self.sent += 1

    def is_closing(self):
        return False

    def get_write_buffer_size(self):
        return 0

    def set_write_buffer_limits(self, _):
        pass

    pause_reading = resume_reading = close = abort = lambda self: None


def test_a_full_buffer_of_the_smallest_queries_is_handled_in_portions(r):
    smallest = struct.pack("!H", 17) + question() + b"\0\0\1\0\1"
    data = smallest * (tcp_server.READ_BYTES // len(smallest))
    door = next(d for d in r.resolver._doors.values() if isinstance(d, tcp_server.TcpDoor))
    times = []

    def burst():
        connection, transport = tcp_server.TcpConnection(door), Transport()
        connection.connection_made(transport)
        connection.get_buffer(0)[: len(data)] = data
        start = time.thread_time()
        connection.buffer_updated(len(data))
        times.append(time.thread_time() - start)
        handled = connection.conversation.in_flight + transport.sent
        connection.connection_lost(None)
        return handled

    for _ in range(ROUNDS):
        assert r.call(burst) <= tcp_server.MESSAGES_A_TICK
    assert min(times) < LIMIT_S
    assert tcp_server.MESSAGES_A_TICK <= stream.IN_FLIGHT_MAX
