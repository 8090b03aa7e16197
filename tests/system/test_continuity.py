"""The law of continuity, live: a steady stream of queries, each of which must be answered, while everything around the resolver changes."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from typing import Self

import dns.message
import pytest

from tests.system.gateway import Gateway, enforce


class Stream:
    """Asks for blocked, cached and fresh names, a query every two milliseconds, and remembers which ones were answered, and how late."""

    def __init__(self, door: tuple[str, int]) -> None:
        self.sent: dict[int, float] = {}
        self.late: dict[int, float] = {}
        self.wrong: list[str] = []
        self._running = True
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.connect(door)
        self._socket.settimeout(0.2)
        self._threads = [threading.Thread(target=work) for work in (self._ask, self._hear)]

    def _name(self, number: int) -> str:
        return ("casino.example", "www.steady.example", f"n{number}.fresh.example")[number % 3]

    def _ask(self) -> None:
        number = 0
        while self._running and number < 65_000:
            query = dns.message.make_query(self._name(number), "A", use_edns=0, id=number)
            self.sent[number] = time.monotonic()
            self._socket.send(query.to_wire())
            number += 1
            time.sleep(0.002)

    def _hear(self) -> None:
        stopped_at = None  # then the resolver's own deadline is waited for
        while stopped_at is None or (time.monotonic() - stopped_at < 10 and len(self.late) < len(self.sent)):
            if not self._running and stopped_at is None:
                self._threads[0].join()
                stopped_at = time.monotonic()
            try:
                answer = dns.message.from_wire(self._socket.recv(4096))
            except TimeoutError:
                continue
            self.late[answer.id] = time.monotonic() - self.sent[answer.id]
            if answer.id % 3 == 0 and not any(option.otype == 15 for option in answer.options):
                self.wrong.append("a blocked name was resolved")
            elif answer.id % 3 and answer.rcode() != 0:
                self.wrong.append(f"an allowed name got {answer.rcode()}")

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._running = False
        for thread in self._threads:
            thread.join(20)
        self._socket.close()

    def check(self) -> None:
        lost = len(self.sent) - len(self.late)
        assert not lost, f"{lost} of {len(self.sent)} queries were not answered"
        assert not self.wrong, self.wrong[:3]
        assert len(self.sent) > 30


@pytest.fixture(scope="module")
def gw(tmp_path_factory):
    gateway = Gateway(tmp_path_factory.mktemp("continuity"), lists=enforce("gambling"))
    gateway.publisher.init()
    gateway.publisher.publish("gambling", "casino.example\n")
    with gateway:
        gateway.update()
        yield gateway


def rows(count: int) -> str:
    return "casino.example\n" + "".join(f"b{n}.listed.example\n" for n in range(count))


def test_updates_lose_no_query(gw):
    with Stream(gw.door("udp")) as stream:
        for count in (10, 20, 30, 40):
            gw.publisher.publish("gambling", rows(count))
            gw.update()
    stream.check()


def test_reloads_lose_no_query(gw):
    with Stream(gw.door("udp")) as stream:
        for size in ("8MiB", "32MiB", "16MiB"):
            gw.config.write_text(re.sub(r'cache = "\w+"', f'cache = "{size}"', gw.config.read_text()))
            before = gw.log().count("the configuration was read again")
            gw.process.send_signal(signal.SIGHUP)
            end = time.monotonic() + 10
            while gw.log().count("the configuration was read again") == before:
                assert time.monotonic() < end, gw.log()
                time.sleep(0.05)
    stream.check()


def test_a_list_can_be_switched_by_a_reload(gw):
    text = gw.config.read_text()
    gw.config.write_text(text.replace('mode = "enforce"', 'mode = "shadow"'))
    gw.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + 10
    while any(option.otype == 15 for option in gw.ask("casino.example").options):
        assert time.monotonic() < end, gw.log()
        time.sleep(0.05)
    gw.config.write_text(text)
    gw.process.send_signal(signal.SIGHUP)
    while not any(option.otype == 15 for option in gw.ask("casino.example").options):
        assert time.monotonic() < end + 10, gw.log()
        time.sleep(0.05)


def test_a_reload_that_needs_one_more_role_is_refused_and_the_node_stays_ready(gw):
    gw.config.write_text(gw.config.read_text().replace("[dns]\n", '[dns]\nxdp = "generic"\nxdp_interface = "lo"\n', 1))
    gw.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + 10
    while "it needs the role xdp, and a role starts only with blockd: restart it" not in gw.log():
        assert time.monotonic() < end, gw.log()
        time.sleep(0.05)
    assert gw.status()["ready"]


def test_the_death_of_control_loses_no_query(gw):
    with Stream(gw.door("udp")) as stream:
        for _ in range(2):
            pid = next(role["pid"] for role in gw.status()["roles"] if role["name"] == "control")
            os.kill(pid, signal.SIGKILL)
            time.sleep(0.5)
            gw.wait_ready()
    stream.check()


def test_a_drain_answers_what_is_in_flight(gw):
    """The upstream takes its time; SIGTERM comes in between; the answer comes all the same."""
    query = dns.message.make_query("late.drain.example", "A", use_edns=0)
    gw.upstream.delay_s = 0.5
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(5)
        asking.connect(gw.door("udp"))
        asking.send(query.to_wire())
        time.sleep(0.1)
        gw.process.send_signal(signal.SIGTERM)
        answer = dns.message.from_wire(asking.recv(4096))
    assert (answer.id, answer.rcode()) == (query.id, 0)
    assert gw.stop() == 0
