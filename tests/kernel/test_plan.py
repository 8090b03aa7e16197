"""Where XDP answers, to whom."""

from __future__ import annotations

from ipaddress import ip_address

from blockd.kernel.forms import PORTS_MAX, Service
from blockd.kernel.plan import Interface, Place, plan

ETH0 = Interface(
    "eth0",
    2,
    bytes(6),
    (Place((0, 0), frozenset({"192.0.2.1", "2001:db8::1"})), Place((100, 0), frozenset({"198.51.100.1"})), Place((100, 7), frozenset())),
)


def at(address, *vlans, port=53, foreign=False):
    return Service(ip_address(address).packed, port, (*vlans, 0, 0)[:2], foreign)


def test_an_address_is_answered_where_it_lives():
    assert plan([("192.0.2.1", 53)], [], [], ETH0).services == {at("192.0.2.1")}
    assert plan([("198.51.100.1", 53)], [], [], ETH0).services == {at("198.51.100.1", 100)}


def test_a_wildcard_means_the_interfaces_own_addresses_of_its_family():
    assert plan([("0.0.0.0", 53)], [], [], ETH0).services == {at("192.0.2.1"), at("198.51.100.1", 100)}
    assert plan([("::", 53)], [], [], ETH0).services == {at("2001:db8::1")}


def test_an_address_that_is_elsewhere_is_answered_on_every_tag():
    assert plan([("203.0.113.53", 53)], [], [], ETH0).services == {at("203.0.113.53"), at("203.0.113.53", 100), at("203.0.113.53", 100, 7)}


def test_anothers_address_is_marked_and_ours_goes_first():
    assert plan([("192.0.2.1", 53)], [("192.0.2.1", 53), ("192.0.2.1", 54)], [], ETH0).services == {
        at("192.0.2.1"),
        at("192.0.2.1", port=54, foreign=True),
    }


def test_who_may_ask_is_split_by_family_and_cut_to_its_network():
    found = plan([("192.0.2.1", 53)], [], ["198.51.100.9/24", "2001:db8::/32"], ETH0)
    assert [key[4:] for key in found.allowed4] == [ip_address("198.51.100.0").packed]
    assert len(found.allowed6) == 1


def test_what_does_not_fit_is_said():
    assert "fixed port" in plan([("192.0.2.1", 0)], [], [], ETH0).notes[0]
    assert "ports at most" in plan([("192.0.2.1", 53 + n) for n in range(PORTS_MAX + 1)], [], [], ETH0).notes[0]
    assert "no address" in plan([("::", 53)], [], [], Interface("eth0", 2, bytes(6), (Place((0, 0), frozenset()),))).notes[0]
