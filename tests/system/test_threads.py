"""Threads of the real daemon: a steady stream from many ports, each query answered, while threads, roles and the whole daemon come and go."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import threading
import time
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Self

import dns.message
import pytest

from tests.system.gateway import BLOCKD, Gateway, enforce

PORTS = 16
ANSWER_S = 10.0  # beyond the resolver's own deadline


class Fire:
    """One query under way on each of PORTS ports, blocked, cached and fresh names by turns; remembers what was not answered, or wrongly."""

    def __init__(self, door: tuple[str, int]) -> None:
        self.answered, self.lost, self.wrong = 0, [], []
        self._door = door
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _ask(self, port: int, sock: socket.socket) -> tuple[int, float]:
        number = next(self._numbers)
        name = ("casino.example", "www.steady.example", f"n{number}-{port}.fresh.example")[number % 3]
        sock.send(dns.message.make_query(name, "A", use_edns=0, id=number & 0xFFFF).to_wire())
        return number, time.monotonic()

    def _run(self) -> None:
        self._numbers = count()
        poller = select.epoll()
        socks, asked = {}, {}
        for port in range(PORTS):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.connect(self._door)
            sock.setblocking(False)
            poller.register(sock, select.EPOLLIN)
            socks[sock.fileno()] = sock
            asked[sock.fileno()] = self._ask(port, sock)
        while asked:
            for fd, _ in poller.poll(0.1):
                try:
                    wire = socks[fd].recv(4096)
                except OSError:  # the port was closed for a moment: what was asked is late, or lost
                    continue
                self._take(fd, wire, asked)
                if self._stop.is_set():
                    asked.pop(fd, None)
                elif fd in asked:
                    asked[fd] = self._ask(fd, socks[fd])
                time.sleep(0.0005)
            for fd in [fd for fd, (_, when) in asked.items() if time.monotonic() - when > ANSWER_S]:
                self.lost.append(asked.pop(fd)[0] % 3)
        for sock in socks.values():
            sock.close()
        poller.close()

    def _take(self, fd: int, wire: bytes, asked: dict[int, tuple[int, float]]) -> None:
        answer = dns.message.from_wire(wire)
        number = asked[fd][0]
        blocked = any(option.otype == 15 for option in answer.options)
        if answer.id != number & 0xFFFF or blocked != (number % 3 == 0) or (number % 3 and answer.rcode() != 0):
            self.wrong.append((number % 3, answer.rcode()))
        self.answered += 1

    def more(self, by: int = 200) -> None:
        goal, end = self.answered + by, time.monotonic() + 20
        while self.answered < goal and not self.lost:
            assert time.monotonic() < end, "no answers any more"
            time.sleep(0.01)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def check(self) -> None:
        assert not self.lost, f"{len(self.lost)} queries were not answered"
        assert not self.wrong, self.wrong[:3]
        assert self.answered > 500


@pytest.fixture(scope="module")
def gw(tmp_path_factory):
    gateway = Gateway(tmp_path_factory.mktemp("threads"), lists=enforce("gambling"), dns_extra='threads = "4"')
    gateway.publisher.init()
    gateway.publisher.publish("gambling", "casino.example\n")
    with gateway:
        gateway.update()
        yield gateway


def wait_for(condition, gw) -> None:
    end = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < end, gw.log()
        time.sleep(0.05)


def resolver(gw) -> int:
    return next(role["pid"] for role in gw.status()["roles"] if role["name"] == "resolver")


def native_threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def stands_still(pid: int) -> bool:
    """Tell whether all threads of a process are stopped."""
    return all((task / "stat").read_text().rpartition(")")[2].split()[0] == "T" for task in Path(f"/proc/{pid}/task").iterdir())


def sockets_on(port: int) -> int:
    """How many UDP sockets of this machine are bound to it."""
    lines = Path("/proc/net/udp").read_text(encoding="ascii").splitlines()[1:]
    return sum(int(line.split()[1].rpartition(":")[2], 16) == port for line in lines)


def test_status_tells_one_address_and_the_threads(gw):
    status = gw.status()
    assert len(status["listen"]["udp"]) == 1
    assert status["workers"] == {"threads": 4, "running": 4, "restarts": 0}
    assert sockets_on(gw.door("udp")[1]) == 4
    assert native_threads(resolver(gw)) >= 5
    _, page = gw.get("/metrics")
    assert "blockd_workers_running 4.0" in page
    assert 'blockd_worker_events_total{event="hedged"}' in page
    assert "blockd_worker_restarts_total 0.0" in page


def test_the_death_of_the_resolver_loses_only_what_it_had_in_hand(gw):
    """What the kernel holds waits for the next life. The process is killed while it stands still, so that it has nothing in hand."""
    pid, door = resolver(gw), gw.door("udp")
    gw.ask("www.steady.example")
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: stands_still(pid), gw)
    with ExitStack() as stack:
        socks = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(64)]
        for number, sock in enumerate(socks):
            sock.settimeout(15)
            sock.connect(door)
            sock.send(dns.message.make_query(("casino.example", f"n{number}.held.example")[number % 2], "A", id=number).to_wire())
        os.kill(pid, signal.SIGKILL)
        assert [sock.recv(4096)[:2] for sock in socks] == [number.to_bytes(2, "big") for number in range(64)]
    gw.wait_ready()


def test_updates_and_reloads_of_threads_under_fire_lose_nothing(gw):
    with Fire(gw.door("udp")) as fire:
        fire.more()
        for threads in ("2", "6", "1", "auto", "4"):
            gw.config.write_text(re.sub(r'threads = "\w+"', f'threads = "{threads}"', gw.config.read_text()))
            before = gw.log().count("the configuration was read again")
            gw.process.send_signal(signal.SIGHUP)
            wait_for(lambda before=before: gw.log().count("the configuration was read again") > before, gw)
            fire.more()
        gw.publisher.publish("gambling", "casino.example\nmore.example\n")
        gw.update()
        fire.more()
    fire.check()
    wait_for(lambda: gw.status()["workers"] == {"threads": 4, "running": 4, "restarts": 0}, gw)
    assert sockets_on(gw.door("udp")[1]) == 6, "those too many wait for another day"
    assert "ERROR" not in gw.log().partition("role resolver ended")[2].partition("\n")[2]


def test_a_resolver_that_is_told_to_end_answers_what_it_has_and_the_next_one_the_rest(gw):
    """As a service manager restarts one role, or the resolver itself when a thread keeps ending: the sockets stay, no query is lost."""
    with Fire(gw.door("udp")) as fire:
        for _ in range(2):
            fire.more()
            pid = resolver(gw)
            os.kill(pid, signal.SIGTERM)
            wait_for(lambda pid=pid: any(r["name"] == "resolver" and r["pid"] not in {0, pid} for r in gw.status()["roles"]), gw)
            gw.wait_ready()
        fire.more()
    fire.check()


def test_a_second_daemon_on_the_same_port_is_refused(gw, tmp_path):
    """With SO_REUSEPORT alone it would share the port with the first, and each would answer half."""
    host, port = gw.door("udp")
    other = tmp_path / "other.toml"
    text = re.sub(r'listen = \["127.0.0.1:0"\]', f'listen = ["{host}:{port}"]', gw.config.read_text(), count=1)
    other.write_text(text.replace(f"{gw.home}/state", f"{tmp_path}/state").replace(f"{gw.home}/run", f"{tmp_path}/run"))
    done = subprocess.run([*BLOCKD, "run", "-c", str(other)], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert f"udp {host}:{port} is in use: stop what listens there" in done.stderr
    assert "Traceback" not in done.stderr
