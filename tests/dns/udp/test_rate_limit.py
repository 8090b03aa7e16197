"""The rate limit over real sockets: IPv4 on loopback, IPv6 in a network namespace, where a client can have any address."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import dns.message
import pytest

from blockd.config.schema import Endpoint
from tests.dns.running import Running, configured, ede, generation, listed
from tests.dns.upstream import Upstream
from tests.system.gateway import need

QUERY = dns.message.make_query("x.casino.example", "A", use_edns=0).to_wire()
QUIET_S = 0.3


def burst(door, count, *hosts):
    """Ask `count` times at once, by turns from each of these addresses; every answer that comes."""
    found = []
    with contextlib.ExitStack() as stack:
        clients = []
        for host in hosts:
            client = stack.enter_context(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM))
            client.bind((host, 0))
            client.connect(door)
            clients.append(client)
        for number in range(count):
            clients[number % len(clients)].send(QUERY)
        for client in clients:
            client.settimeout(QUIET_S)
            with contextlib.suppress(TimeoutError):
                while True:
                    found.append(client.recv(4096))
    return found


def whole(answers):
    return sum(not wire[2] & 0x02 for wire in answers)


@contextlib.contextmanager
def limited(rate, *, threads="1", host="127.0.0.1", **more):
    with tempfile.TemporaryDirectory() as folder, Upstream() as up:
        live = generation(Path(folder), 1, listed("f/own", ["casino.example"]))
        config = configured(up.port, lists=["f/own"], threads=threads, rate_limit=rate, listen=(Endpoint(host, 0),), **more)
        with Running(config, live) as r:
            yield r


def test_a_flood_from_a_forged_address_is_not_reflected():
    """Above the rate the victim gets a trickle of truncated answers, no larger than the queries; a real client asks over TCP."""
    with limited(20) as r:
        answers = burst(r.door(), 100, "127.0.0.1")
        truncated = [wire for wire in answers if wire[2] & 0x02]
        assert 20 <= whole(answers) < 40
        assert 30 <= len(truncated) <= 40, "every second one"
        assert all(len(wire) <= len(QUERY) and wire[6:10] == bytes(4) for wire in truncated)
        assert r.limit("rate") == 100 - whole(answers) == r.stats()["rate_limited"]
        assert ede(r.ask("x.casino.example", tcp=True)) == [15]


def test_a_network_is_a_24_and_its_neighbours_are_not_its_victims():
    with limited(40) as r:
        assert whole(burst(r.door(), 100, "127.0.0.1", "127.0.0.200")) < 60
        assert whole(burst(r.door(), 100, "127.0.1.1", "127.0.2.1")) >= 80


def test_the_limit_is_over_the_names_that_are_not_listed_too_and_off_by_default():
    with limited(0) as r:
        assert whole(burst(r.door(), 200, "127.0.0.1")) == 200
        r.reload(rate_limit=20)
        assert whole(burst(r.door(), 200, "127.0.0.1")) < 40
        r.reload(rate_limit=0)
        assert whole(burst(r.door(), 200, "127.0.0.1")) == 200


def test_threads_share_the_rate():
    """With one port a client is one thread's; each gives it its part."""
    with limited(40, threads="4") as r:
        assert 10 <= whole(burst(r.door(), 100, "127.0.0.1")) < 25


ADDRESSES = ("2001:db8:0:100::1", "2001:db8:0:1ff::1", "2001:db8:0:200::1", "2001:db8:0:300::1")


@pytest.fixture(scope="module")
def in_namespace():
    """What a resolver in a network namespace of its own answered to clients of four networks."""
    ip = need("ip")
    add = "".join(f"{ip} address add {address}/128 dev lo nodad && " for address in ADDRESSES)
    command = f"{ip} link set lo up && {add}exec {sys.executable} -m tests.dns.udp.test_rate_limit"
    done = subprocess.run([need("unshare"), "-n", "sh", "-c", command], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_network_is_a_56_over_ipv6(in_namespace):
    """RFC 6177 §2: who has a /56 could otherwise ask from any number of /64s."""
    assert in_namespace["one /56"] < 60
    assert in_namespace["two /56"] >= 80


def test_a_real_client_over_its_rate_has_tcp(in_namespace):
    assert in_namespace["tcp"] == [15]


def _main() -> None:
    with limited(40, host=ADDRESSES[0], allow_from=("::/0",)) as r:
        found = {"one /56": whole(burst(r.door(family=6), 100, *ADDRESSES[:2]))}
        found["tcp"] = ede(r.ask("x.casino.example", tcp=True, family=6))
        found["two /56"] = whole(burst(r.door(family=6), 100, *ADDRESSES[2:]))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    _main()
