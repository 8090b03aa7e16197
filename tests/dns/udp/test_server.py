"""Threads and their sockets under a running resolver: every query of a steady sender is answered, whatever comes and goes."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from itertools import count

import dns.message
import pytest

from blockd.config.schema import Endpoint
from blockd.dns.udp import driver as udp_driver
from tests.dns.running import Running, addresses, bind, configured, ede, generation, listed, until
from tests.dns.upstream import ADDRESS, Upstream

FIRST = "udp 127.0.0.1:0"


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    return generation(tmp_path_factory.mktemp("udp"), 1, listed("f/own", ["casino.example"]))


@pytest.fixture
def up():
    with Upstream() as upstream:
        yield upstream


def running(up, live, threads, **more):
    return Running(configured(up.port, lists=["f/own"], threads=threads, listen=(Endpoint("127.0.0.1", 0),), **more), live)


class Steady:
    """Asks from many ports, so that the kernel spreads it over the sockets: blocked, cached and new names, each once; remembers who got no answer."""

    def __init__(self, running, ports=8):
        self.door = running.door()
        self.answered, self.lost, self.wrong = 0, [], []
        self._ports = ports
        self._stop = threading.Event()

    def __enter__(self):
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(self._ports)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def more(self, by=100):
        """Wait for so many more answers."""
        goal = self.answered + by
        until(lambda: self.answered >= goal or self.lost)

    def check(self):
        assert not self.lost
        assert not self.wrong

    def _run(self, port):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.connect(self.door)
            s.settimeout(8)
            for n in count():
                if self._stop.is_set():
                    return
                name = ("x.casino.example", "kept.example", f"n{n}-{port}.example")[n % 3]
                s.send(dns.message.make_query(name, "A", id=n & 0xFFFF, use_edns=0).to_wire())
                try:
                    answer = dns.message.from_wire(s.recv(4096))
                except TimeoutError:
                    self.lost.append((port, n))
                    return
                if answer.id != n & 0xFFFF or (ede(answer) == [15]) != (n % 3 == 0) or (n % 3 and addresses(answer) != [ADDRESS]):
                    self.wrong.append((port, n, answer.rcode()))
                self.answered += 1


@contextlib.contextmanager
def broken(sock):
    """For a while the thread's descriptor is something else than its socket, whose datagrams wait."""
    with sock.dup() as real:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, sock.fileno())
        os.close(null)
        yield
        os.dup2(real.fileno(), sock.fileno())


@pytest.mark.parametrize("threads", ["1", "2", "4"])
def test_every_socket_of_every_thread_answers(up, live, threads):
    with running(up, live, threads) as r:
        assert len([key for key in r.sockets if key.startswith("udp")]) == int(threads)
        assert len(r.health().listen["udp"]) == 1
        with Steady(r, ports=96) as steady:  # by a hash of the port: that one of four gets none has a chance of 10^-11
            steady.more(300)
        steady.check()
        workers = r.call(lambda: r.resolver._workers._workers)
        assert r.health().workers["running"] == int(threads)
        assert all(worker.figures()["packets"] for worker in workers), "the kernel gives to all of them"


def test_a_reload_to_more_and_fewer_threads_loses_nothing(up, live):
    with running(up, live, "1") as r, Steady(r) as steady:
        for threads in ("3", "2", "4", "1"):
            steady.more()
            r.config = configured(up.port, lists=["f/own"], threads=threads, listen=r.config.dns.listen)
            r.sockets.update(bind(r.config, r.sockets))
            r.reload()
            assert r.health().workers["threads"] == int(threads)
            assert r.health().ready
        steady.more()
        until(lambda: not r.call(lambda: r.resolver._workers._retired))
        assert len(r.call(lambda: r.resolver._workers.sockets)) == 4, "none is closed"
        steady.more()
    steady.check()


def test_a_new_cache_means_new_threads_on_the_same_sockets_and_loses_nothing(up, live):
    with running(up, live, "2") as r, Steady(r) as steady:
        for size in (2 << 20, 4 << 20, 1 << 20):
            steady.more()
            r.reload(cache_bytes=size)
        steady.more()
        until(lambda: not r.resolver._retired)
        steady.more()
    steady.check()


def test_swaps_and_reloads_under_fire_with_several_threads(up, tmp_path):
    lives = [generation(tmp_path, n, listed("f/own", ["casino.example", f"g{n}.example"])) for n in range(1, 6)]
    with running(up, lives[0], "4") as r, Steady(r) as steady:
        for live in lives[1:]:
            steady.more(50)
            r.apply(live)
            for _ in range(8):  # from as many ports: whichever thread takes it
                assert ede(r.ask(f"a.g{live.number}.example")) == [15]
                assert ede(r.ask(f"a.g{live.number - 1}.example")) == []
            r.reload(allow_from=("127.0.0.0/8",))
    steady.check()


@pytest.mark.parametrize("threads", ["1", "4"])
def test_a_restart_of_the_role_under_fire_loses_nothing(up, live, threads):
    """Drain, end, and another process on the same sockets: what comes in between waits in the kernel."""
    with running(up, live, threads) as first:
        kept = {key: sock.dup() for key, sock in first.sockets.items()}
        second = Running(first.config, live)
        for sock in second.sockets.values():
            sock.close()
        second.sockets = kept
        with contextlib.ExitStack() as stack:
            steady = Steady(first)
            with steady:
                steady.more()
                first.drain()
                assert first.health().why_not
                stack.enter_context(second)
                steady.more(200)
        steady.check()


def test_a_socket_that_leaves_the_configuration_answers_what_it_has(up, live):
    with running(up, live, "2") as r:
        extra = Endpoint("127.0.0.9", 0)
        r.sockets.update(bind(configured(up.port, threads="2", listen=(extra,))))
        r.reload(listen=(*r.config.dns.listen, extra))
        door = next(a for a in r.health().listen["udp"] if a.startswith("127.0.0.9")).split(":")
        clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(8)]
        for number, client in enumerate(clients):
            client.settimeout(8)
            client.connect((door[0], int(door[1])))
            client.send(dns.message.make_query(f"late{number}.example", "A", id=number).to_wire())
        r.reload(listen=r.config.dns.listen[:1])
        for number, client in enumerate(clients):
            assert client.recv(4096)[:2] == number.to_bytes(2, "big")
            client.close()
        assert len(r.health().listen["udp"]) == 1
        until(lambda: not r.call(lambda: r.resolver._workers._leaving))


def test_a_thread_that_dies_is_started_again_and_counted_and_nothing_is_lost(up, live, monkeypatch):
    monkeypatch.setattr(udp_driver, "DEATHS_MAX", 1000)
    with running(up, live, "2") as r, contextlib.ExitStack() as stack:
        with broken(r.sockets[f"{FIRST} #1"]):
            clients = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(32)]
            for number, client in enumerate(clients):
                client.settimeout(8)
                client.connect(r.door())
                client.send(dns.message.make_query(f"n{number}.example", "A", id=number).to_wire())
            until(lambda: r.health().workers["restarts"])
            assert r.health().ready, "the other thread goes on"
        for number, client in enumerate(clients):
            assert client.recv(4096)[:2] == number.to_bytes(2, "big")
        until(lambda: r.health().workers["running"] == 2)
        assert r.stats()["restarts"] == r.health().workers["restarts"] >= 1


def test_a_thread_that_dies_again_and_again_ends_the_process_which_is_started_again(up, live):
    with running(up, live, "2") as r:
        with broken(r.sockets[f"{FIRST} #1"]):
            assert r.given_up.wait(10)
        until(lambda: r.health().workers["running"] == 2)


def test_figures_go_on_over_new_threads(up, live):
    """Counters that went back would look like a new process."""
    with running(up, live, "2") as r:
        r.resolver._workers._workers[0].restarts = 5
        before = r.stats()
        r.reload(cache_bytes=2 << 20)
        until(lambda: not r.call(lambda: r.resolver._workers._retired))
        assert r.stats()["restarts"] == 5
        assert all(r.stats()[name] >= before[name] for name in udp_driver.EVENTS)


def test_a_socket_too_many_for_a_thread_is_told(up, live, monkeypatch):
    with running(up, live, "1") as r:
        monkeypatch.setattr(udp_driver.Worker, "open", lambda *_: (_ for _ in ()).throw(ValueError("more doors")))
        extra = Endpoint("127.0.0.9", 0)
        r.sockets.update(bind(configured(up.port, listen=(extra,))))
        r.reload(listen=(*r.config.dns.listen, extra))
        assert "a listener of the configuration is not open" in r.health().why_not
        assert addresses(r.ask("a.example")) == [ADDRESS]
