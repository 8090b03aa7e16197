"""The native worker's doors over real sockets on loopback: batches, addresses, the access list."""

from __future__ import annotations

import ipaddress
import os
import random
import select
import socket
import time

import dns.message
import dns.rcode
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockd.counts import layout
from blockd.native._dns import Acl, Client, UdpWorker
from blockd.terms import Source
from tests.native.dns_tools import NXDOMAIN, Rig, ask_for, ede, raw_query, read
from tests.native.worker_tools import until

EVERYBODY = [(bytes(4), 0), (bytes(16), 0)]


def packed(prefix: str) -> tuple[bytes, int]:
    network = ipaddress.ip_network(prefix)
    return network.network_address.packed, network.prefixlen


class Loopback:
    """A door on a free port, and clients of it."""

    def __init__(self, rig: Rig, address: str = "127.0.0.1", acl: Acl | None = None, *, dual: bool = False) -> None:
        self.rig = rig
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        if family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual else 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.setblocking(False)
        self.socket.bind((address, 0))
        self.port = self.socket.getsockname()[1]
        self.door = UdpWorker(rig.core, local=[])
        self.door.configure(acl=acl or Acl(EVERYBODY), rate=0)
        self.door.add_door(self.socket.fileno(), 6 if family == socket.AF_INET6 else 4, address in {"0.0.0.0", "::"})
        self.door.start()
        self.clients: list[socket.socket] = []

    def client(self, address: str = "127.0.0.1", source: str | None = None) -> socket.socket:
        made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        made.settimeout(5)
        if source:
            made.bind((source, 0))
        made.connect((address, self.port))
        self.clients.append(made)
        return made

    def poll(self):
        select.select([self.door.fileno()], [], [], 5)
        return self.door.poll()

    def close(self) -> None:
        self.door.stop()
        for client in self.clients:
            client.close()
        self.socket.close()


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.fixture
def opened():
    found: list[Loopback] = []

    def make(*args, **more) -> Loopback:
        found.append(Loopback(*args, **more))
        return found[-1]

    yield make
    for some in found:
        some.close()


def test_nothing_to_take(rig, opened):
    assert opened(rig).door.poll() == []


def test_a_blocked_name_is_answered_at_once(rig, tmp_path, opened):
    rig.block(tmp_path, "bad.example")
    loopback = opened(rig)
    client = loopback.client()
    query = ask_for("www.BAD.example", use_edns=0)
    client.send(query.to_wire())
    answer = read(client.recv(4096), query)
    assert (answer.rcode(), ede(answer)) == (dns.rcode.NXDOMAIN, 15)
    until(lambda: rig.responses("NXDOMAIN", Source.POLICY) == 1)


def test_the_rest_is_returned_and_sent_later(rig, opened):
    loopback = opened(rig)
    clients = [loopback.client() for _ in range(5)]
    queries = [ask_for(f"n{i}.example") for i in range(5)]
    for client, query in zip(clients, queries, strict=True):
        client.send(query.to_wire())
    taken = []
    while len(taken) < 5:
        taken += loopback.poll()
    answers = [(client, rig.core.failure(ask, 2, -1, 0)) for ask, client in reversed(taken)]
    assert loopback.door.send(answers) == 5
    for client, query in zip(clients, queries, strict=True):
        assert read(client.recv(4096), query).rcode() == dns.rcode.SERVFAIL


def test_more_than_a_batch(rig, tmp_path, opened):
    rig.block(tmp_path, "bad.example")
    loopback = opened(rig)
    client = loopback.client()
    for i in range(200):
        client.send(raw_query("bad.example" if i % 2 else f"n{i}.example", identity=i))
    taken = []
    while len(taken) < 100:
        taken += loopback.poll()
    assert loopback.door.poll() == []
    assert loopback.door.send([(some, rig.core.failure(ask, 2, -1, 0)) for ask, some in taken]) == 100
    assert sorted(int.from_bytes(client.recv(4096)[:2], "big") for _ in range(200)) == list(range(200))


def test_silence_for_what_is_no_query(rig, opened):
    loopback = opened(rig)
    client = loopback.client()
    for packet in (b"", b"x", os.urandom(11), b"\0\0\x80\0" + bytes(8)):
        client.send(packet)
    client.send(raw_query("n.example"))
    assert len(loopback.poll()) == 1
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.recv(4096)


def test_a_query_over_the_limit_is_a_format_error_not_a_cut_query(rig, opened):
    """Cut to the buffer it would be well-formed."""
    room = 4096 - len(raw_query("n.example")) - 11 - 4
    whole = (
        bytearray(raw_query("n.example"))
        + b"\0\0\x29\x10\0\0\0\0\0"
        + (room + 4).to_bytes(2, "big")
        + b"\0\x0c"
        + room.to_bytes(2, "big")
        + bytes(room)
    )
    whole[11] = 1
    loopback = opened(rig)
    client = loopback.client()
    client.send(whole)
    assert len(loopback.poll()) == 1
    for tail in (1, 2, 3000, 60000):
        client.send(bytes(whole) + bytes(tail))
        assert client.recv(4096)[3] & 15 == dns.rcode.FORMERR


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("wildcard", [False, True])
def test_answers_come_from_the_address_that_was_asked(rig, opened, address, wildcard):
    loopback = opened(rig, ("::" if ":" in address else "0.0.0.0") if wildcard else address)
    asked = ["127.0.0.1", "127.77.3.9"] if wildcard and ":" not in address else [address]
    for one in asked:
        client = loopback.client(one)  # connected: an answer from elsewhere would not arrive
        client.send(raw_query("n.example"))
        ((ask, handle),) = loopback.poll()
        assert loopback.door.send([(handle, rig.core.failure(ask, 2, -1, 0))]) == 1
        assert client.recv(4096)
        client.send(b"\0\0\x28\0" + bytes(8))
        assert client.recv(4096)
    family = layout.FAMILIES.index("ipv6" if ":" in address else "ipv4")
    until(lambda: rig.count(layout.REQUESTS + family * len(layout.TYPES)) == len(asked))


def test_ipv4_through_a_dual_stack_socket_is_ipv4(rig, opened):
    loopback = opened(rig, "::", Acl([packed("127.0.0.0/8")]), dual=True)
    client = loopback.client("127.0.0.1")
    client.send(raw_query("n.example"))
    ((ask, handle),) = loopback.poll()
    assert loopback.door.send([(handle, rig.core.failure(ask, 2, -1, 0))]) == 1
    assert client.recv(4096)
    until(lambda: rig.count(layout.REQUESTS) == 1)


def test_who_may_not_ask_is_refused(rig, opened):
    loopback = opened(rig, acl=Acl([packed("127.0.0.9/32")]))
    stranger, friend = loopback.client(), loopback.client(source="127.0.0.9")
    query = ask_for("n.example", use_edns=0)
    stranger.send(query.to_wire())
    answer = read(stranger.recv(4096), query)
    assert (answer.rcode(), ede(answer)) == (dns.rcode.REFUSED, 18)
    friend.send(query.to_wire())
    assert len(loopback.poll()) == 1


def test_a_client_shows_nothing(rig, opened):
    loopback = opened(rig)
    loopback.client().send(raw_query("n.example"))
    ((_, handle),) = loopback.poll()
    assert type(handle) is Client
    assert [name for name in dir(handle) if not name.startswith("__")] == []
    assert "127" not in repr(handle)
    with pytest.raises(TypeError):
        Client()
    with pytest.raises(AttributeError):
        handle.address = 1
    with pytest.raises(TypeError):
        bytes(handle)


def test_one_dead_client_does_not_keep_the_others_from_their_answers(rig, opened):
    """An ICMP error for one datagram, or an address that is not reachable, is not the batch's."""
    loopback = opened(rig)
    good, gone = loopback.client(), loopback.client()
    for _ in range(3):
        for client in (gone, good):
            client.send(raw_query("n.example"))
    taken = []
    while len(taken) < 6:
        taken += loopback.poll()
    gone.close()
    for ask, handle in taken:
        loopback.door.send([(handle, rig.core.failure(ask, 2, -1, 0))])
    for _ in range(3):
        assert good.recv(4096)
    assert loopback.door.poll() == []


def test_what_the_kernel_dropped_is_counted(rig, opened):
    loopback = opened(rig)
    loopback.door.stop()
    loopback.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
    client = loopback.client()
    for _ in range(200):
        client.send(raw_query("n.example"))
    loopback.door.start()
    end = time.monotonic() + 10
    while rig.limit("udp_receive") + loopback.door.stats()["packets"] < 200:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert 0 < loopback.door.stats()["packets"] < 200
    assert rig.limit("udp_receive") + loopback.door.stats()["packets"] == 200


def test_arguments_are_checked(rig, opened):
    loopback = opened(rig)
    with pytest.raises(TypeError):
        UdpWorker(None, local=[])
    with pytest.raises(TypeError):
        loopback.door.configure(acl=[], rate=0)
    with pytest.raises(ValueError, match="family"):
        loopback.door.add_door(loopback.socket.fileno(), 5, False)
    with pytest.raises(OSError, match="descriptor"):
        loopback.door.add_door(-1, 4, False)
    loopback.client().send(raw_query("n.example"))
    ((ask, handle),) = loopback.poll()
    for wrong in ([(handle,)], [(ask, b"")], [(handle, "x")], [None], [(handle, None)], None, 3):
        with pytest.raises(TypeError):
            loopback.door.send(wrong)
    assert loopback.door.send([]) == 0
    assert loopback.door.send(iter([])) == 0


# The access list.


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 40))
def test_the_acl_is_what_ipaddress_says(seed, count):
    rng = random.Random(seed)
    networks = []
    for _ in range(count):
        if rng.random() < 0.5:
            networks.append(
                ipaddress.ip_network((rng.choice((rng.getrandbits(32), 10 << 24 | rng.getrandbits(16))), rng.randrange(33)), strict=False)
            )
        else:
            networks.append(
                ipaddress.ip_network((rng.choice((rng.getrandbits(128), 1 << 127 | rng.getrandbits(16))), rng.randrange(129)), strict=False)
            )
    acl = Acl([(network.network_address.packed, network.prefixlen) for network in networks])
    addresses = [
        edge + step
        for network in networks
        for edge in (network[0], network[-1])
        for step in (-1, 0, 1)
        if 0 <= int(edge) + step < 2**edge.max_prefixlen
    ]
    addresses += [ipaddress.ip_address(rng.getrandbits(32)), ipaddress.ip_address(rng.getrandbits(128) | 1 << 126)]
    mapped = ipaddress.ip_network("::ffff:0:0/96")
    for address in addresses:
        if address.version == 6 and address in mapped:
            continue
        expected = any(address.version == network.version and address in network for network in networks)
        wide = address.version == 4 and any(
            network.version == 6 and ipaddress.ip_address(mapped[0] + int(address)) in network for network in networks
        )
        assert acl.allows(address.packed) == (expected or wide)


def test_host_bits_are_ignored_and_mapped_addresses_are_ipv4():
    acl = Acl([(bytes((192, 0, 2, 99)), 24)])
    assert acl.allows(bytes((192, 0, 2, 1)))
    assert acl.allows(bytes(10) + b"\xff\xff" + bytes((192, 0, 2, 1)))
    assert not acl.allows(bytes((192, 0, 3, 1)))
    assert not acl.allows(bytes(16))
    assert not Acl([]).allows(bytes(4))
    assert Acl(EVERYBODY).allows(bytes(16))


@pytest.mark.parametrize(
    "wrong", [[(b"abc", 8)], [(bytes(4), 33)], [(bytes(4), -1)], [(bytes(16), 129)], [(b"", 0)], [(bytes(4), 8)] * 1025]
)
def test_prefixes_are_checked(wrong):
    with pytest.raises(ValueError, match=r"."):
        Acl(wrong)


@pytest.mark.parametrize("wrong", [None, 3, ["x"], [("127.0.0.1", 8)], [(bytes(4),)], [(bytes(4), "8")]])
def test_prefix_types_are_checked(wrong):
    with pytest.raises(TypeError):
        Acl(wrong)


def test_an_address_is_packed():
    for wrong in (b"", b"abc", bytes(17)):
        with pytest.raises(ValueError, match="packed"):
            Acl([]).allows(wrong)
    with pytest.raises(TypeError):
        Acl([]).allows("127.0.0.1")


def test_a_thousand_prefixes_are_taken():
    acl = Acl([(bytes((10, i // 256, i % 256, 0)), 25) for i in range(1024)])
    assert acl.allows(bytes((10, 3, 255, 127)))
    assert not acl.allows(bytes((10, 3, 255, 128)))


def test_the_verdict_over_udp_is_the_verdict_over_tcp(rig, tmp_path, opened):
    """One matcher for every door."""
    rig.block(tmp_path, "bad.example", action=NXDOMAIN)
    loopback = opened(rig)
    client = loopback.client()
    for name in ("bad.example", "a.bad.example"):
        packet = ask_for(name, "HTTPS", use_edns=0).to_wire()
        client.send(packet)
        assert client.recv(4096) == rig.raw(packet, 1)
    assert dns.message.from_wire(rig.raw(packet, 1)).rcode() == dns.rcode.NXDOMAIN
