"""One native thread from the loop's side: real sockets and a real core, a driver that a test controls; the thread's death and its next life."""

from __future__ import annotations

import asyncio
import os
import socket

import dns.message
import pytest

from blockd.counts.layout import NATIVE
from blockd.counts.slab import Slab
from blockd.dns.udp import driver as udp_driver
from blockd.dns.udp.driver import EVENTS, Worker
from blockd.native._dns import Acl, Core

TIMEOUT_S = 10.0


class Driver:
    """Takes what comes up; a test answers."""

    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.slab = Slab.in_memory()
        self.core = Core(cache_bytes=1 << 20, slab=self.slab.buffer, layout=NATIVE)
        self.core.configure(addresses4=[], addresses6=[], ttl_s=30, udp_max=1232, not_ready=False)
        self.turns = []  # how many were submitted in each turn of the loop
        self.waiting = []

    def submit(self, ask, deliver, epoch):
        assert epoch == self.core.epoch
        if not self.turns or self.turns[-1] == 0:
            self.loop.call_soon(self.turns.append, 0)
            self.turns.append(0)
        self.turns[-1] += 1
        self.waiting.append((ask, deliver))

    def answer(self):
        """With SERVFAIL, whoever waits."""
        waiting, self.waiting = self.waiting, []
        for ask, deliver in waiting:
            deliver(self.core.failure(ask, 2, -1, 0))


def bound(host="127.0.0.1"):
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    return sock


@pytest.fixture
async def driver():
    return Driver()


@pytest.fixture
async def door():
    sock = bound()
    yield sock
    if sock.fileno() >= 0:
        sock.close()


@pytest.fixture
async def made(driver, door):
    worker = Worker(driver, Acl([(bytes(4), 0), (bytes(16), 0)]), 0, 0)
    worker.open("udp 127.0.0.1:0", door)
    yield worker
    worker.close()


@pytest.fixture
def client(door):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(door.getsockname())
        sock.setblocking(False)
        yield sock


def query(number):
    return dns.message.make_query(f"n{number}.example", "A", id=number).to_wire()


async def until(condition):
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():
            await asyncio.sleep(0.002)


async def received(client):
    return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 4096), TIMEOUT_S)


async def test_what_the_thread_leaves_is_answered_through_its_own_socket(made, driver, client):
    made.start()
    client.send(query(7))
    await until(lambda: driver.waiting)
    assert not made.idle
    driver.answer()
    answer = dns.message.from_wire(await received(client))
    assert (answer.id, answer.rcode()) == (7, 2)
    assert made.idle
    assert not set(EVENTS) - made.figures().keys()


async def test_a_burst_is_handed_on_in_portions(made, driver, client):
    for number in range(udp_driver.ASKS_A_TICK * 2 + 5):
        client.send(query(number))
    made.start()
    await until(lambda: len(driver.waiting) == udp_driver.ASKS_A_TICK * 2 + 5)
    assert max(driver.turns) <= udp_driver.ASKS_A_TICK


async def test_answers_of_one_turn_go_out_together(made, driver, client, monkeypatch):
    made.start()
    for number in range(5):
        client.send(query(number))
    await until(lambda: len(driver.waiting) == 5)
    flushes = []
    flush = made._flush
    monkeypatch.setattr(made, "_flush", lambda: (flushes.append(len(made._answers)), flush()))
    silent = driver.waiting.pop()
    driver.answer()
    silent[1](None)
    assert {(await received(client))[:2] for _ in range(4)} == {n.to_bytes(2, "big") for n in range(4)}
    assert flushes == [4]
    assert made.idle, "silence is an answer too"


async def test_close_sends_what_is_ready(made, driver, client, door):
    made.start()
    client.send(query(1))
    await until(lambda: driver.waiting)
    driver.answer()
    made.close()
    assert (await received(client))[:2] == b"\0\1"
    assert door.fileno() >= 0, "sockets are the caller's"
    made._native = udp_driver.UdpWorker(driver.core, local=())  # for the fixture's close


async def test_a_socket_that_is_left_is_drained_and_answers_until_it_is_let_go(made, driver, client, door):
    for number in range(100):
        client.send(query(number))
    made.start()
    made.leave("udp 127.0.0.1:0")
    await until(lambda: len(driver.waiting) == 100)
    assert made.left
    assert made.holds(door)
    assert not made.keys
    await until(lambda: not made._native.stats()["draining"])
    client.send(query(200))
    driver.answer()
    assert not made.idle, "answers that are not sent yet would be lost with the socket"
    assert len({(await received(client))[:2] for _ in range(100)}) == 100
    assert made.idle
    made.let_go()
    assert not made.holds(door)
    assert door.recv(100)[:2] == (200).to_bytes(2, "big"), "what came later is the next reader's"


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
async def test_answers_leave_from_the_address_that_was_asked(driver, host):
    worker = Worker(driver, Acl([(bytes(4), 0), (bytes(16), 0)]), 0, 0)
    with bound(host) as sock, socket.socket(sock.family, socket.SOCK_DGRAM) as client:
        worker.open("udp", sock)
        worker.start()
        asked = "127.0.0.77" if host == "0.0.0.0" else "::1"
        client.connect((asked, sock.getsockname()[1]))  # takes nothing from elsewhere
        client.setblocking(False)
        client.send(query(3))
        await until(lambda: driver.waiting)
        driver.answer()
        assert (await received(client))[:2] == b"\0\3"
        worker.close()


# Death


def broken(sock):
    """Take the socket away under the thread: its descriptor is something else now. Returns a copy of the real one."""
    copy = sock.dup()
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, sock.fileno())
    os.close(null)
    return copy


async def test_a_thread_whose_socket_fails_dies_and_lives_again_with_what_waits(made, driver, client, door, caplog):
    made.start()
    client.send(query(1))
    await until(lambda: driver.waiting)
    with broken(door) as real:
        client.send(query(2))
        await until(lambda: not made.running)
        os.dup2(real.fileno(), door.fileno())
    driver.answer()  # of a question from before its death: Python sends it without the thread
    assert (await received(client))[:2] == b"\0\1"
    assert made.check(100.0)
    assert (made.running, made.restarts, made.figures()["restarts"]) == (True, 1, 1)
    await until(lambda: driver.waiting)
    driver.answer()
    assert (await received(client))[:2] == b"\0\2"
    assert caplog.text.count("is started again") == 1
    assert "Socket operation on non-socket" in caplog.text


async def test_one_that_dies_again_and_again_is_told_apart_from_one_that_dies_now_and_then(made, door, client):
    made.start()
    with broken(door) as real:
        client.send(query(1))
        lives = []
        for number in range(udp_driver.DEATHS_MAX):
            await until(lambda: not made.running)
            lives.append(made.check(100.0 + number))
        assert lives == [True] * (udp_driver.DEATHS_MAX - 1) + [False]
        await until(lambda: not made.running)
        assert made.check(100.0 + udp_driver.DEATHS_MAX + udp_driver.STEADY_S), "that was another time"
        os.dup2(real.fileno(), door.fileno())


async def test_a_living_thread_is_left_alone(made):
    made.start()
    assert made.check(1.0)
    assert made.restarts == 0


async def test_a_thread_that_the_system_does_not_give_is_tried_again(made, driver, client, door, monkeypatch):
    made.start()
    with broken(door) as real:
        client.send(query(1))
        await until(lambda: not made.running)
        os.dup2(real.fileno(), door.fileno())

    class Refusing:
        def __init__(self, native):
            self.native = native

        def __getattr__(self, name):
            return getattr(self.native, name)

        def start(self):
            raise OSError(11, "Resource temporarily unavailable")

    native = made._native
    made._native = Refusing(native)
    assert made.check(100.0)
    made._native = native
    assert made.check(101.0)
    assert made.running
    assert made.restarts == 2
