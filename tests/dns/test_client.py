"""Sockets to upstreams: limits, early ends, connections that are used again or die."""

from __future__ import annotations

import asyncio
import errno

import dns.message
import pytest

from blockd.config.schema import Endpoint, Upstream
from blockd.dns import client as client_file
from blockd.dns.client import Client
from blockd.dns.tcp import client as stream_file
from blockd.dns.upstreams import Broken, Way
from tests.dns.upstream import CLOSE, Gate, free_port
from tests.dns.upstream import Upstream as Scripted


class Exchange:
    """Takes every packet whose ID fits, and remembers."""

    def __init__(self, name="a.example"):
        self.query = dns.message.make_query(name, "A").to_wire()[2:]
        self.ids = []
        self.packets = []
        self.done = asyncio.get_running_loop().create_future()

    def make(self, identity):
        self.ids.append(identity)
        return identity.to_bytes(2, "big") + self.query

    def packet(self, identity, packet):
        self.packets.append(packet)
        if int.from_bytes(packet[:2], "big") != identity:
            return False
        self.done.set_result("answer")
        return True

    def failed(self, why):
        self.done.set_result("no room" if why is Broken.OURS else "failed")


class Clients:
    def __init__(self, *ports):
        self.reached = []
        upstreams = [Upstream("udp", Endpoint("127.0.0.1", port)) for port in ports]
        self.client = Client(asyncio.get_running_loop(), upstreams, self.reached.append)

    def send(self, way, upstream=0, **more):
        exchange = Exchange()
        exchange.cancel = self.client.send(upstream, way, exchange, **more)
        return exchange


async def outcome(exchange):
    return await asyncio.wait_for(exchange.done, 8)


@pytest.fixture
async def made():
    every = []

    def make(*ports):
        every.append(Clients(*ports))
        return every[-1]

    yield make
    for clients in every:
        clients.client.close()
    await asyncio.sleep(0)


@pytest.mark.parametrize("way", [Way.UDP, Way.TCP])
async def test_there_and_back(made, way):
    with Scripted() as up:
        assert await outcome(made(up.port).send(way)) == "answer"


@pytest.mark.parametrize("way", [Way.UDP, Way.TCP])
async def test_a_closed_port_fails(made, way):
    assert await outcome(made(free_port()).send(way)) == "failed"


async def test_an_address_without_a_way_to_it_fails(made):
    clients = Client(asyncio.get_running_loop(), [Upstream("udp", Endpoint("255.255.255.255", 53))], [].append)
    exchange = Exchange()
    clients.send(0, Way.UDP, exchange)
    assert not exchange.done.done()  # never called before send returned
    assert await outcome(exchange) == "failed"


async def test_a_node_without_file_descriptors_does_not_blame_the_upstream(made, monkeypatch):
    clients = made(free_port())

    def no_files(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(client_file.socket, "socket", no_files)
    exchange = clients.send(Way.UDP)
    assert await outcome(exchange) == "no room"


@pytest.mark.parametrize("way", [Way.UDP, Way.TCP])
async def test_an_exchange_that_is_ended_early_hears_nothing(made, way):
    gate = Gate()

    def script(query):
        yield gate
        yield query.address()

    with Scripted(script) as up:
        clients = made(up.port)
        early, other = clients.send(way), clients.send(way)
        await asyncio.to_thread(gate.wait_reached)
        early.cancel()
        early.cancel()
        gate.open()
        assert await outcome(other) == "answer"
        assert early.packets == []
        assert not early.done.done()
        assert not clients.client._datagrams


async def test_udp_sockets_have_a_limit(made, monkeypatch):
    monkeypatch.setattr(client_file, "SOCKETS_MAX", 2)
    with Scripted(lambda _: ()) as up:
        clients = made(up.port)
        assert not clients.send(Way.UDP).done.done()
        clients.send(Way.UDP)
        assert await outcome(clients.send(Way.UDP)) == "no room"
        assert clients.reached == ["upstream_sockets"]
        assert not clients.send(Way.UDP, probe=True).done.done()
        assert len(clients.client._datagrams) == 3


async def test_tcp_connections_have_a_limit(made, monkeypatch):
    monkeypatch.setattr(stream_file, "PIPELINE_MAX", 2)
    monkeypatch.setattr(stream_file, "CONNECTIONS_MAX", 2)
    gate = Gate()

    def script(query):
        yield gate
        yield query.address()

    with Scripted(script) as up:
        clients = made(up.port)
        sent = [clients.send(Way.TCP) for _ in range(4)]
        assert await outcome(clients.send(Way.TCP)) == "no room"
        assert clients.reached == ["upstream_sockets"]
        gate.open()
        assert [await outcome(e) for e in sent] == ["answer"] * 4
        assert await outcome(clients.send(Way.TCP)) == "answer"
        assert up.connections == 2


async def test_tcp_queries_under_way_have_different_ids(made):
    gate = Gate()

    def script(query):
        yield gate
        yield query.address()

    with Scripted(script) as up:
        clients = made(up.port)
        sent = [clients.send(Way.TCP) for _ in range(60)]
        gate.open()
        assert {await outcome(e) for e in sent} == {"answer"}
        assert len({e.ids[0] for e in sent}) == 60
        assert up.connections == 1


async def test_an_answer_to_nobody_ends_the_connection(made):
    def script(query):
        yield (query.message.id ^ 1).to_bytes(2, "big") + query.address()[2:]

    with Scripted(script) as up:
        assert await outcome(made(up.port).send(Way.TCP)) == "failed"


async def test_a_query_on_a_connection_that_died_is_sent_once_more_if_it_had_served(made):
    with Scripted(lambda q: [q.address()] if q.number in {1, 3} else [CLOSE]) as up:
        clients = made(up.port)
        assert await outcome(clients.send(Way.TCP)) == "answer"
        second = clients.send(Way.TCP)
        assert await outcome(second) == "answer"
        assert (up.connections, len(second.ids)) == (2, 2)


async def test_a_connection_that_never_served_is_not_tried_again(made):
    with Scripted(lambda _: [CLOSE]) as up:
        exchange = made(up.port).send(Way.TCP)
        assert await outcome(exchange) == "failed"
        assert len(exchange.ids) == 1


async def test_idle_connections_are_closed(made, monkeypatch):
    monkeypatch.setitem(stream_file.IDLE_S, "tcp", 0.02)
    with Scripted() as up:
        clients = made(up.port)
        for number in (1, 2):
            assert await outcome(clients.send(Way.TCP)) == "answer"
            while clients.client._pools[0].connections:
                await asyncio.sleep(0.005)
            assert up.connections == number


async def test_a_connection_with_only_forgotten_queries_is_closed(made, monkeypatch):
    monkeypatch.setitem(stream_file.IDLE_S, "tcp", 0.02)
    with Scripted(lambda _: ()) as up:
        clients = made(up.port)
        clients.send(Way.TCP).cancel()
        while clients.client._pools[0].connections:
            await asyncio.sleep(0.005)


async def test_close_ends_everything_silently(made):
    with Scripted(lambda _: ()) as up:
        clients = made(up.port)
        sent = [clients.send(Way.UDP), clients.send(Way.TCP)]
        clients.client.close()
        await asyncio.sleep(0.01)
        assert not clients.client._datagrams
        assert not clients.client._pools[0].connections
        assert not sent[0].done.done()
