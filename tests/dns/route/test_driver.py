"""A route: its numbers, its end, what it logs, its probes."""

from __future__ import annotations

import asyncio
import logging

import pytest

from blockd.config.schema import Endpoint, Upstream
from blockd.dns.route import driver as route_file
from blockd.dns.route.driver import Probe, Route
from blockd.dns.upstreams import NUMBERS, SUSPECT_AFTER, Way
from tests.dns.upstream import Upstream as Scripted
from tests.dns.upstream import free_port


def on(*ports):
    return tuple(Upstream("udp", Endpoint("127.0.0.1", port)) for port in ports)


async def test_native_numbers_of_a_new_configuration_are_new():
    loop, upstreams = asyncio.get_running_loop(), on(1, 2)
    first = Route(loop, upstreams, [].append)
    second = Route(loop, upstreams, [].append, None, first)
    assert [number for number, _ in second.upstreams.plain(0)] == [2, 3]
    second.upstreams.first_number = NUMBERS - 3
    assert Route(loop, upstreams, [].append, None, second).upstreams.first_number == 0


async def test_it_is_closed_when_the_last_query_leaves():
    with Scripted(lambda _: ()) as up:
        route = Route(asyncio.get_running_loop(), on(up.port), [].append)
        Probe(asyncio.get_running_loop(), route, 0, Way.UDP, lambda: 0)
        route.users, route.left = 1, True
        route.release()
        assert route.client._datagrams
        route.users = 0
        route.release()
        assert not route.client._datagrams


@pytest.mark.parametrize("alive", [True, False])
async def test_a_suspect_is_probed(alive, monkeypatch):
    monkeypatch.setattr(route_file, "PROBE_TIMEOUT_S", 0.1)
    with Scripted() as up:
        route = Route(asyncio.get_running_loop(), on(up.port if alive else free_port()), [].append)
        for _ in range(SUSPECT_AFTER):
            route.upstreams.silent(0, 0)
        assert not route.upstreams.order()[0].good
        route.probe(lambda: 0)
        async with asyncio.timeout(5):
            while route.client._datagrams:
                await asyncio.sleep(0.005)
        assert route.upstreams.order()[0].good is alive
        route.client.close()


async def test_what_is_wrong_is_logged_once(caplog):
    caplog.set_level(logging.INFO)
    route = Route(asyncio.get_running_loop(), on(9), [].append)
    for _ in range(3):
        route.upstreams.trouble(0, "its certificate has expired")
        route.tell()
    assert [record.message for record in caplog.records] == ["upstream udp://127.0.0.1:9: its certificate has expired"]
