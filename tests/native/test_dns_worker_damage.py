"""The native UDP worker where something breaks: a thread that dies at once, a name that is judged anew on its way, counts of lost datagrams."""

from __future__ import annotations

import socket
import threading
import time

import dns.rcode
import pytest

from blockd.counts import layout
from blockd.native._dns import Acl, UdpWorker
from blockd.terms import Kind
from tests.native.dns_tools import CELL, NXDOMAIN, Rig, raw_query
from tests.native.worker_tools import LOOPBACK, Gate, Upstream, made_and_closed, reply, until

HTTPS = 65
STARTS = 1000  # the unfixed race showed once in several hundred


@pytest.fixture
def rig() -> Rig:
    return Rig(now_ms=time.monotonic_ns() // 1_000_000)


made = pytest.fixture(made_and_closed)


def test_a_thread_that_dies_at_once_is_not_taken_for_alive(rig):
    """Its death may come before start() has returned: it must stand."""
    worker = UdpWorker(rig.core, local=[])
    worker.configure(acl=Acl(LOOPBACK), rate=0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        worker.add_door(door.fileno(), 4, False)
    for _ in range(STARTS):  # the socket is closed: no epoll set takes it
        worker.start()
        until(lambda: not worker.stats()["running"])
        assert worker.stats()["error"]


def test_a_swap_makes_a_url_host_while_its_question_is_under_way(rig, made, tmp_path):
    """Its HTTPS record could take a client past the look at the URL: NODATA from then on, for the one on its way too."""
    go = threading.Event()
    gate = made(Gate, rig, made(Upstream, lambda query: go.wait(5) and reply(query)))
    client = gate.client()
    client.send(raw_query("www.example.com", HTTPS))
    until(lambda: gate.worker.stats()["in_flight"] == 1)
    entries = {"www.example.com": [(Kind.URL_HOST, 1)]}
    rig.swap(tmp_path, entries, [(NXDOMAIN, 15, CELL, ())], lambda _rules, _full: 0, lambda _rules: True)
    go.set()
    answer = client.recv(512)
    assert (answer[3] & 15, answer[6:8]) == (dns.rcode.NOERROR, b"\0\0")


def overfill(client: socket.socket) -> None:
    for _ in range(200):
        client.send(raw_query("filler.bad.example"))


def empty(door: socket.socket, most: int) -> int:
    """How many datagrams were there, at most `most`."""
    for count in range(most):
        try:
            door.recv(512)
        except BlockingIOError:
            return count
    return most


def lost_between(door: socket.socket, client: socket.socket, *names: str) -> None:
    """Leave in `door`'s queue a query for each name, with datagrams between them that found it full. All fit one batch."""
    overfill(client)
    third = empty(door, 200) // 3 + 1
    assert 3 < third < 20
    overfill(client)
    for name in names:
        empty(door, third)
        client.send(raw_query(name))
        overfill(client)


def test_lost_datagrams_are_counted_once_whatever_becomes_of_their_neighbours(rig, made, tmp_path):
    """Those of one batch with answers and misses in any order: once the figure read four thousand million."""
    rig.block(tmp_path, "bad.example")
    gate = made(Gate, rig)
    gate.worker.stop()
    gate.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 13)
    client = gate.client()
    lost_between(gate.socket, client, "a.free.example", "b.bad.example")
    gate.worker.start()
    until(lambda: gate.polled(0.2))  # the end of the thread is told first
    cell = layout.LIMIT + layout.LIMITS.index("udp_receive")
    until(lambda: rig.slab.read()[cell] > 0)
    assert rig.slab.read()[cell] < 1000
