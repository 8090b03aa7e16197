"""What the configuration means to the resolver."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from blockd.config.schema import Config, Dns, Endpoint, ListPolicy, StopPage, Upstream
from blockd.dns import settings
from blockd.errors import Misconfigured
from blockd.terms import ListName


def config(*upstreams, lists=(), before="servfail"):
    dns = Dns(
        listen=(Endpoint("127.0.0.1", 53), Endpoint("::1", 53)), upstreams=tuple(Upstream("udp", u) for u in upstreams), before_lists=before
    )
    return Config(path=Path("blockd.toml"), dns=dns, lists=lists, stop_page=StopPage(addresses=("192.0.2.80", "2001:db8::80")))


def test_prefixes():
    assert settings.prefixes(["127.0.0.0/8", "192.0.2.1", "2001:db8::/32", "10.1.2.3/8"]) == [
        (bytes([127, 0, 0, 0]), 8),
        (bytes([192, 0, 2, 1]), 32),
        (bytes.fromhex("20010db8") + bytes(12), 32),
        (bytes([10, 0, 0, 0]), 8),
    ]


def test_stop_page_addresses_by_family():
    four, six = settings.stop_page_addresses(config())
    assert four == [bytes([192, 0, 2, 80])]
    assert [a.hex() for a in six] == ["20010db8000000000000000000000080"]


@pytest.mark.parametrize(
    ("lists", "live", "before", "expected"),
    [
        ((), None, "servfail", False),
        (("f/a",), None, "servfail", True),
        (("f/a",), None, "answer", False),
        (("f/a",), SimpleNamespace(), "servfail", False),
    ],
)
def test_not_ready_before_a_list_was_verified(lists, live, before, expected):
    cfg = config(lists=tuple(ListPolicy(ListName(n)) for n in lists), before=before)
    assert settings.not_ready(cfg, live) is expected


def test_door_keys():
    assert [k for k, _ in settings.door_keys(config())] == ["udp 127.0.0.1:53", "tcp 127.0.0.1:53", "udp [::1]:53", "tcp [::1]:53"]


def test_every_socket_of_an_address_that_was_handed_over_is_served():
    handed = {
        "udp 127.0.0.1:53",
        "tcp 127.0.0.1:53",
        "udp 127.0.0.1:53 #1",
        "udp 127.0.0.1:53 #2",
        "udp [::1]:53 #2",
        "udp 192.0.2.1:53 #1",
    }
    found = settings.door_keys(config(), handed)
    assert [key for key, door in found if door == "udp"] == [
        "udp 127.0.0.1:53",
        "udp 127.0.0.1:53 #1",
        "udp 127.0.0.1:53 #2",
        "udp [::1]:53",
    ]
    assert [key for key, _ in found if settings.is_first(key)] == [key for key, _ in settings.door_keys(config())]


ANY4, ANY6 = Endpoint("0.0.0.0", 53), Endpoint("::", 53)


@pytest.mark.parametrize(
    ("upstream", "listening"),
    [
        (Endpoint("127.0.0.1", 53), [Endpoint("127.0.0.1", 53)]),
        (Endpoint("0:0::1", 53), [Endpoint("::1", 53)]),
        (Endpoint("192.0.2.7", 53), [ANY4]),
        (Endpoint("2001:db8::7", 53), [ANY4, ANY6]),
    ],
)
def test_forwarding_loop_to_an_own_listener_is_refused(upstream, listening):
    with pytest.raises(Misconfigured) as refused:
        settings.check_loops(config(Endpoint("198.51.100.1", 53), upstream), listening, lambda host: host != "198.51.100.1")
    assert len(refused.value.faults) == 1
    assert refused.value.faults[0].startswith("blockd.toml: dns.upstreams: udp://")


@pytest.mark.parametrize(
    ("upstream", "listening"),
    [
        (Endpoint("127.0.0.1", 5353), [Endpoint("127.0.0.1", 53)]),
        (Endpoint("127.0.0.2", 53), [Endpoint("127.0.0.1", 53)]),
        (Endpoint("198.51.100.1", 53), [ANY4, ANY6]),
        (Endpoint("2001:db8::7", 53), [ANY4]),
    ],
)
def test_other_resolvers_are_not_a_loop(upstream, listening):
    settings.check_loops(config(upstream), listening, lambda host: host != "198.51.100.1")
