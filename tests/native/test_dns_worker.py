"""The native UDP worker: answers, limits, swaps, doors, ends."""

from __future__ import annotations

import os
import select
import socket
import threading
import time

import dns.message
import dns.rcode
import pytest

from blockd.counts import layout
from blockd.native._dns import Acl, UdpWorker
from blockd.terms import Kind
from tests.native.dns_tools import CELL, NXDOMAIN, Rig, ask_for, ede, raw_query, read
from tests.native.worker_tools import LOOPBACK, Gate, Upstream, made_and_closed, until


@pytest.fixture
def rig() -> Rig:
    return Rig(now_ms=time.monotonic_ns() // 1_000_000)


made = pytest.fixture(made_and_closed)


def test_a_listed_name_is_blocked(rig, made, tmp_path):
    rig.block(tmp_path, "bad.example")
    answer = made(Gate, rig).ask(ask_for("www.BAD.example", use_edns=0))
    assert (answer.rcode(), ede(answer)) == (dns.rcode.NXDOMAIN, 15)
    until(lambda: rig.slab.read()[CELL] == 1)


def test_a_full_ring_answers_servfail_and_says_so(rig, made):
    gate = made(Gate, rig)
    client = gate.client()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
    for number in range(2100):
        client.send(raw_query(f"n{number}.example.com"))
        if number % 50 == 0:
            until(lambda number=number: gate.worker.stats()["packets"] >= number)
    until(lambda: rig.slab.read()[layout.LIMIT + layout.LIMITS.index("ring")] == 2100 - 2048)
    assert client.recv(512)[3] & 15 == dns.rcode.SERVFAIL
    came = 0
    while polled := gate.polled(0):
        came += len(polled)
    assert came == 2048


def test_swaps_under_fire_lose_nothing(rig, made, tmp_path):
    """Every answer is by the one table or by the other, and every query has one."""
    upstream = made(Upstream)
    gate = made(Gate, rig, upstream)
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    rig.block(folders[0], "bad.example")
    stop = threading.Event()

    def swap() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            rig.block(folders[number % 2], "bad.example", *(["worse.example"] if number % 2 else []))

    thread = threading.Thread(target=swap)
    thread.start()
    client = gate.client()
    seen = set()
    for number in range(4000):
        client.send(raw_query("www.bad.example", identity=number))
        client.send(raw_query("www.worse.example", identity=number))
        for _ in range(2):
            answer = client.recv(512)
            assert int.from_bytes(answer[:2]) == number
            seen.add((answer[13:17], answer[3] & 15))
    stop.set()
    thread.join()
    assert {code for name, code in seen if b"bad" in answer} <= {0, 3}
    assert rig.core.epoch > 10


def test_clients_that_may_not_ask(rig, made):
    gate = made(Gate, rig)
    gate.worker.configure(acl=Acl([(bytes((10, 0, 0, 0)), 8)]), rate=0)
    answer = gate.ask(ask_for("www.example.com", use_edns=0))
    assert (answer.rcode(), ede(answer)) == (dns.rcode.REFUSED, 18)


def test_above_the_rate_every_second_answer_is_truncated(rig, made, tmp_path):
    """Reflection: whoever forges addresses gets no flood out of this node."""
    rig.block(tmp_path, "bad.example")
    gate = made(Gate, rig, rate=100)
    client = gate.client()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    client.settimeout(0.3)
    answers = []
    for number in range(400):
        client.send(raw_query("bad.example", identity=number))
    with pytest.raises(TimeoutError):
        while True:
            answers.append(client.recv(512))
    whole = [answer for answer in answers if not answer[2] & 2]
    slips = [answer for answer in answers if answer[2] & 2]
    assert 100 <= len(whole) < 200
    assert (400 - len(whole)) // 2 <= len(slips) < 300
    assert all(len(answer) == len(raw_query("bad.example")) for answer in slips)
    assert rig.slab.read()[layout.LIMIT + layout.LIMITS.index("rate")] == 400 - len(whole)


def test_answers_come_from_the_address_that_was_asked(rig, made, tmp_path):
    rig.block(tmp_path, "bad.example")
    gate = made(Gate, rig, bind="0.0.0.0")
    for address in ("127.0.0.1", "127.77.3.9"):
        assert gate.ask(ask_for("bad.example"), gate.client(address)).rcode() == dns.rcode.NXDOMAIN


def test_ipv6(rig, made, tmp_path):
    rig.block(tmp_path, "bad.example")
    for bind in ("", "::"):
        assert made(Gate, rig, made(Upstream), address="::1", bind=bind).ask(ask_for("bad.example")).rcode() == dns.rcode.NXDOMAIN
    assert made(Gate, rig, made(Upstream), address="::1").ask(ask_for("www.example.com")).answer


def test_drain_takes_what_the_kernel_holds(rig, made, tmp_path):
    rig.block(tmp_path, "bad.example")
    gate = made(Gate, rig)
    gate.worker.stop()
    client = gate.client()
    for number in range(150):
        client.send(raw_query("bad.example", identity=number))
    gate.worker.start()
    gate.worker.drain()
    until(lambda: not gate.worker.stats()["draining"])
    assert [int.from_bytes(client.recv(512)[:2]) for _ in range(150)] == list(range(150))
    client.send(raw_query("bad.example"))
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.recv(512)


def test_a_removed_door_is_not_read_any_more(rig, made, tmp_path):
    rig.block(tmp_path, "bad.example")
    gate = made(Gate, rig)
    gate.worker.remove_door(gate.door)
    gate.client().send(raw_query("bad.example"))
    ready, _, _ = select.select([gate.socket], [], [], 5)
    assert ready
    gate.worker.add_door(gate.socket.fileno(), 4, False)
    assert gate.clients[0].recv(512)[3] & 15 == dns.rcode.NXDOMAIN
    with pytest.raises(ValueError, match="door"):
        gate.worker.remove_door(63)


def test_a_thread_whose_socket_is_gone_ends_and_starts_again(rig, made, tmp_path):
    rig.block(tmp_path, "bad.example")
    gate = made(Gate, rig)
    pipe = os.pipe()
    spare = os.dup(gate.socket.fileno())
    os.dup2(pipe[0], gate.socket.fileno())  # no socket any more
    until(lambda: not gate.worker.stats()["running"])
    assert gate.worker.stats()["error"]
    os.dup2(spare, gate.socket.fileno())
    gate.worker.start()
    assert gate.ask(ask_for("bad.example")).rcode() == dns.rcode.NXDOMAIN
    for descriptor in (*pipe, spare):
        os.close(descriptor)


def test_use_in_the_wrong_order(rig):
    worker = UdpWorker(rig.core, local=[])
    with pytest.raises(ValueError, match="configure"):
        worker.start()
    worker.configure(acl=Acl(LOOPBACK), rate=0)
    worker.start()
    with pytest.raises(OSError):
        worker.start()
    worker.stop()
    worker.stop()
    for wrong in ([(0, b"abc", 53)], [(0, bytes(4), 0)], [(-1, bytes(4), 53)]):
        with pytest.raises(ValueError, match="upstream"):
            worker.follow(wrong)
    with pytest.raises(ValueError, match="local"):
        UdpWorker(rig.core, local=[b"\1a\0"] * 17)
    with pytest.raises(ValueError, match="wire"):
        UdpWorker(rig.core, local=[b"abc"])


def test_stale_answers(rig, tmp_path):
    """RFC 8767: an old answer rather than none; but never one that a list has come to speak about."""
    query = ask_for("www.example.com", use_edns=0)
    rig.resolve(query, "www.example.com 100 CNAME a.bad.example", "a.bad.example 50 A 192.0.2.1")
    rig.now_ms += 51_000
    ask = rig.ask(query)
    answer = read(rig.core.stale(ask, rig.now_ms), query)
    assert ([some.ttl for some in answer.answer], ede(answer)) == ([30, 30], 3)
    rig.core.remember_failure(ask, rig.now_ms)
    assert ede(rig.send(query)) == 3  # while the failure holds
    rig.swap(tmp_path, {"bad.example": [(Kind.SUBTREE, 0)]}, [(NXDOMAIN, 15, CELL, ())], lambda _rules, _full: 0)
    assert rig.core.stale(rig.ask(ask_for("www.example.com", "AAAA")), rig.now_ms) is None
    assert (answer := rig.send(query)).rcode() == dns.rcode.SERVFAIL
    assert ede(answer) == 13
