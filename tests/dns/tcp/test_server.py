"""TCP clients, well-behaved and hostile (RFC 7766, RFC 9210)."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from ipaddress import ip_address

import dns.message
import dns.rcode
import pytest

from blockd.dns import stream
from blockd.dns.tcp.server import Connections
from tests.dns.running import Running, configured, ede, generation, listed, until
from tests.dns.upstream import ADDRESS, Gate, Upstream


@contextlib.contextmanager
def connected(running, family=4, host=None):
    address, port = running.door("tcp", family)
    with socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET) as s:
        s.settimeout(8)
        if host:
            s.bind((host, 0))
        s.connect((address, port))
        yield s


def framed(*messages):
    return b"".join(struct.pack("!H", len(m)) + m for m in messages)


def query(name="casino.example", rdtype="A", **more):
    return dns.message.make_query(name, rdtype, use_edns=0, **more)


def receive(s):
    """One answer, None at the end of the stream or a reset."""
    data = b""
    try:
        while len(data) < 2 or len(data) < 2 + struct.unpack("!H", data[:2])[0]:
            wanted = 2 - len(data) if len(data) < 2 else 2 + struct.unpack("!H", data[:2])[0] - len(data)
            more = s.recv(wanted)
            if not more:
                assert not data, "the stream ended inside an answer"
                return None
            data += more
    except ConnectionResetError:
        return None
    return dns.message.from_wire(data[2:])


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    return generation(tmp_path_factory.mktemp("tcp"), 1, listed("f/own", ["casino.example"]))


@pytest.fixture
def up():
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def r(up, live):
    with Running(configured(up.port, lists=["f/own"]), live) as running:
        yield running


@pytest.mark.parametrize("family", [4, 6])
def test_pipelined_queries_are_all_answered(r, family):
    asked = [query(id=n + 1) for n in range(100)]
    with connected(r, family) as s:
        s.sendall(framed(*[q.to_wire() for q in asked]))
        answers = [receive(s) for _ in asked]
    assert sorted(a.id for a in answers) == [q.id for q in asked]
    assert all(ede(a) == [15] for a in answers)


def test_answers_come_out_of_order(up, live):
    gate = Gate()

    def script(q):
        if q.name == "slow.example.":
            yield gate
        yield q.address()

    up.script = script
    with Running(configured(up.port, lists=["f/own"]), live) as r, connected(r) as s:
        s.sendall(framed(query("slow.example", id=1).to_wire()))
        gate.wait_reached()
        s.sendall(framed(query("fast.example", id=2).to_wire(), query(id=3).to_wire()))
        assert {receive(s).id, receive(s).id} == {2, 3}
        gate.open()
        assert receive(s).id == 1


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_a_query_in_pieces(r, size):
    data = framed(query(id=7).to_wire())
    with connected(r) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(data), size):
            s.sendall(data[at : at + size])
        assert receive(s).id == 7


def test_a_half_closed_client_is_answered(r):
    with connected(r) as s:
        s.sendall(framed(query(id=1).to_wire(), query("fine.example", id=2).to_wire()))
        s.shutdown(socket.SHUT_WR)
        assert {receive(s).id, receive(s).id} == {1, 2}
        assert receive(s) is None


def test_one_write_a_message(r):
    with connected(r) as s:
        s.sendall(framed(query(id=1).to_wire()))
        first = s.recv(65535)
        assert len(first) == 2 + struct.unpack("!H", first[:2])[0]


def test_an_oversized_query_ends_the_connection_and_harms_nobody(r):
    with connected(r) as s, connected(r) as other:
        s.sendall(struct.pack("!H", stream.QUERY_MAX_BYTES + 1) + b"x" * 100)
        assert receive(s) is None
        other.sendall(framed(query(id=5).to_wire()))
        assert receive(other).id == 5


def test_answers_before_garbage_are_not_overtaken_by_a_reset(r):
    with connected(r) as s:
        s.sendall(framed(*[query(id=n).to_wire() for n in range(20)]) + b"\xff\xff" + b"x" * 50_000)
        assert [receive(s).id for _ in range(20)] == list(range(20))
        assert s.recv(1) == b""  # an end, not a reset
        s.shutdown(socket.SHUT_WR)
    until(lambda: not r.stats()["tcp_connections"])


def test_a_client_that_floods_after_garbage_is_dropped(r):
    with connected(r) as s, pytest.raises(OSError, match=r"reset|Broken"):
        s.sendall(b"\0\0")
        for _ in range(1000):
            s.sendall(b"x" * 65536)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\0\0",
        b"\0\1x",
        b"\0\x0c" + b"\xff" * 12,
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 600,
    ],
)
def test_garbage_is_survived(r, garbage):
    with connected(r) as s:
        s.sendall(garbage)
        s.shutdown(socket.SHUT_WR)
        while receive(s) is not None:
            pass
    assert ede(r.ask("casino.example", tcp=True)) == [15]


def test_idle_clients_are_closed(r, monkeypatch):
    monkeypatch.setattr(stream, "IDLE_MS", 100)
    with connected(r) as s:
        s.sendall(framed(query(id=1).to_wire()))
        assert receive(s).id == 1
        # idle_ms was taken when the connection began, after the patch
        assert receive(s) is None


def test_slow_loris_is_dropped(r, monkeypatch):
    monkeypatch.setattr(stream, "MESSAGE_MS", 100)
    data = framed(query().to_wire())
    with connected(r) as s:
        s.sendall(data[:5])
        assert receive(s) is None


def test_a_client_that_does_not_read_is_dropped(up, live, monkeypatch):
    monkeypatch.setattr(stream, "WRITE_MS", 200)
    up.script = lambda q: [q.reply(*[f"{q.name} 60 A 10.0.{n // 256}.{n % 256}" for n in range(3000)])]
    with Running(configured(up.port, scheme="tcp", cache_bytes=4 << 20), live) as r, connected(r) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        message = framed(query("big.example").to_wire())
        s.settimeout(0.2)
        with pytest.raises(OSError, match=r"timed out|reset|Broken|closed"):
            for _ in range(100_000):
                s.sendall(message * 50)
        until(lambda: not r.stats()["tcp_connections"])
        assert ede(r.ask("big.example", tcp=True)) == []  # others are served


def test_connections_of_one_client_are_limited(up, live, monkeypatch):
    with Running(configured(up.port, lists=["f/own"]), live) as r:
        r.resolver._connections._client_max = 3
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(connected(r)) for _ in range(3)]
            for s in clients:
                s.sendall(framed(query().to_wire()))
                assert receive(s)
            with connected(r) as s:
                assert receive(s) is None
            with connected(r, host="127.0.0.2") as s:  # another client is not the first one's victim
                s.sendall(framed(query().to_wire()))
                assert receive(s)
        assert r.limit("tcp_connections_per_client") == 1
        until(lambda: not r.stats()["tcp_connections"])
        assert not r.resolver._connections._by_client


def test_when_full_the_longest_idle_one_makes_room(up, live):
    gate = Gate()

    def script(q):
        yield gate
        yield q.address()

    up.script = script
    with Running(configured(up.port, lists=["f/own"]), live) as r, contextlib.ExitStack() as stack:
        r.resolver._connections._total_max = 2
        busy, idle = (stack.enter_context(connected(r)) for _ in range(2))
        idle.sendall(framed(query().to_wire()))
        assert receive(idle)
        busy.sendall(framed(query("slow.example", id=9).to_wire()))
        gate.wait_reached()
        fresh = stack.enter_context(connected(r))
        fresh.sendall(framed(query("slow.example", id=10).to_wire()))
        assert receive(idle) is None
        until(lambda: r.stats()["coalesced"] >= 1)
        with connected(r) as refused:  # none is idle now
            assert receive(refused) is None
        gate.open()
        assert receive(busy).id == 9
        assert receive(fresh).id == 10
        assert r.limit("tcp_connections") == 2


def test_queries_in_flight_of_one_client_are_limited_by_back_pressure(up, live):
    gate = Gate()

    def script(q):
        yield gate
        yield q.address()

    up.script = script
    with Running(configured(up.port, lists=["f/own"]), live) as r, connected(r) as s:
        asked = [query(f"n{n}.example", id=n + 1) for n in range(stream.IN_FLIGHT_MAX + 30)]
        s.sendall(framed(*[q.to_wire() for q in asked]))
        until(lambda: r.stats()["in_flight"] >= stream.IN_FLIGHT_MAX)
        assert r.limit("tcp_queries") >= 1
        assert r.stats()["in_flight"] == stream.IN_FLIGHT_MAX
        gate.open()
        assert {receive(s).id for _ in asked} == {q.id for q in asked}


def test_who_may_not_ask_is_told_so_once(up, live):
    with Running(configured(up.port, lists=["f/own"], allow_from=("127.0.0.1/32",)), live) as r:
        with connected(r, host="127.0.0.9") as s:
            s.sendall(framed(query("fine.example").to_wire()))
            response = receive(s)
            assert (response.rcode(), ede(response)) == (dns.rcode.REFUSED, [18])
            assert receive(s) is None
        with connected(r) as s:
            s.sendall(framed(query("fine.example").to_wire()))
            assert receive(s).answer[0][0].address == ADDRESS
    assert up.asked("fine.example.") == 1


def test_a_reset_in_the_middle_of_everything_is_survived(up, live):
    gate = Gate()

    def script(q):
        yield gate
        yield q.address()

    up.script = script
    with Running(configured(up.port, lists=["f/own"]), live) as r:
        with connected(r) as s:
            s.sendall(framed(query("slow.example").to_wire()))
            gate.wait_reached()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close sends a reset
        until(lambda: not r.stats()["tcp_connections"])
        gate.open()
        assert r.ask("slow.example", tcp=True).answer


def test_a_flood_of_connections_is_survived(r):
    def flood():
        for _ in range(100):
            with contextlib.suppress(OSError), connected(r) as s:
                s.sendall(b"\0")

    threads = [threading.Thread(target=flood) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ede(r.ask("casino.example", tcp=True)) == [15]


class Stub:
    """A connection as Connections sees it."""

    conversation = None


@pytest.mark.parametrize(
    ("neighbour", "same_client"),
    [
        ("192.0.2.1", True),
        ("192.0.2.2", False),
        ("2001:db8:0:1ff::9", True),
        ("2001:db8:0:101::1", True),
        ("2001:db8:0:200::1", False),
    ],
    ids=["an IPv4 address", "its neighbour", "another host of a /64", "another /64 of a /56", "another /56"],
)
def test_a_client_is_an_ipv4_address_or_an_ipv6_56(neighbour, same_client):
    """RFC 6177 §2: a household has many /64s, and could otherwise take every connection."""
    counted = []
    connections = Connections(counted.append, total_max=10, client_max=1)
    first = "2001:db8:0:100::1" if ":" in neighbour else "192.0.2.1"
    assert connections.admit(Stub(), ip_address(first).packed)
    assert connections.admit(Stub(), ip_address(neighbour).packed) is not same_client
    assert counted == ["tcp_connections_per_client"] * same_client
