"""The UDP door's manners towards the loop, with a native half that a test controls."""

from __future__ import annotations

import asyncio
import socket

import pytest

from blockd.dns.udp import server as udp_server


class Native:
    """What UdpDoor of the C core does, from a script."""

    def __init__(self, core, fd, family, acl):
        self.batches, self.sent = [], []

    def poll(self, now_ms):
        return self.batches.pop(0) if self.batches else []

    def send(self, answers):
        self.sent.append(list(answers))
        return len(answers)


class Driver:
    core = None
    epoch = 5

    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.submitted, self.ticks = [], []

    def now_ms(self):
        return 0

    def submit(self, ask, deliver, epoch):
        assert epoch == 5
        self.submitted.append(ask)
        deliver(None if ask == "silent" else ask)


@pytest.fixture
async def door(monkeypatch):
    monkeypatch.setattr(udp_server._dns, "UdpDoor", Native)
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    made = udp_server.UdpDoor(sock, Driver(), None)
    yield made
    if sock.fileno() >= 0:
        made.close()


async def turn():
    await asyncio.sleep(0)


async def test_a_burst_is_handed_on_in_portions(door):
    door.open()
    door._native.batches = [[(n, "client") for n in range(udp_server.ASKS_A_TICK * 2 + 5)], [("later", "client")]]
    door._readable()
    assert len(door.driver.submitted) == udp_server.ASKS_A_TICK
    door._readable()  # the kernel has more: not before the rest is handed on
    assert len(door.driver.submitted) == udp_server.ASKS_A_TICK
    while door._asks:
        before = len(door.driver.submitted)
        await turn()
        assert len(door.driver.submitted) - before <= udp_server.ASKS_A_TICK
    assert len(door.driver.submitted) == udp_server.ASKS_A_TICK * 2 + 5


async def test_answers_of_one_turn_go_out_together(door):
    door.open()
    door._native.batches = [[(b"a", 1), ("silent", 2), (b"c", 3)]]
    door._readable()
    assert door._native.sent == []
    await turn()
    assert door._native.sent == [[(1, b"a"), (3, b"c")]]


async def test_close_sends_what_is_ready(door):
    door._native.batches = [[(b"a", 1)]]
    native = door._native
    door._readable()
    door.close()
    assert native.sent == [[(1, b"a")]]
    assert door.socket.fileno() == -1


async def test_drain_takes_what_the_kernel_holds_and_no_more(door):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"x", door.socket.getsockname())
        door._native.batches = [[(b"a", 1)] * 100]
        poll = door._native.poll

        def poll_and_take(now_ms):
            door.socket.recv(10)
            return poll(now_ms)

        door._native.poll = poll_and_take
        door.drain()
    assert len(door.driver.submitted) == 100
    assert not door._asks


async def test_a_change_keeps_the_socket(door):
    native, driver = door._native, Driver()
    door.change(driver, None)
    assert door._native is not native
    door._native.batches = [[(b"a", 1)]]
    door._readable()
    assert driver.submitted == [b"a"]
