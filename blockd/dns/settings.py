"""What the configuration means to the resolver, as values: prefixes, addresses, doors, and when it may answer."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from itertools import count, takewhile
from typing import TYPE_CHECKING

from blockd.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from blockd.config.schema import Config, Endpoint
    from blockd.control.live import LiveGeneration

BLOCKED_TTL_S = 30  # a name that is unlisted works again within this time
UDP_MAX_BYTES = 1232  # no answer over UDP is larger, whatever the client can take (RFC 9715 §3.1)
DOORS = ("udp", "tcp")
CLOSE_DOOR_S = 10.0  # a door that left the configuration is closed at the latest after this


def prefixes(allow_from: Iterable[str]) -> list[tuple[bytes, int]]:
    """``allow_from`` as (packed address, prefix length)."""
    networks = (ip_network(text, strict=False) for text in allow_from)
    return [(network.network_address.packed, network.prefixlen) for network in networks]


def stop_page_addresses(config: Config) -> tuple[list[bytes], list[bytes]]:
    """Packed IPv4 and IPv6 addresses of the stop page."""
    parsed = [ip_address(text) for text in config.stop_page.addresses]
    return [a.packed for a in parsed if a.version == 4], [a.packed for a in parsed if a.version == 6]


def not_ready(config: Config, live: LiveGeneration | None) -> bool:
    """Tell whether to answer SERVFAIL to everything: lists are configured, and none was ever verified (``before_lists``)."""
    return live is None and bool(config.lists) and config.dns.before_lists == "servfail"


def door_keys(config: Config, handed: Container[str] = ()) -> list[tuple[str, str]]:
    """Give (key, door) of each socket to serve; keys as in control/sockets.py.

    One a door and address must be there; of UDP, also those for more threads that are in `handed`, all of them: the kernel sends to each.
    """
    found = []
    for endpoint in config.dns.listen:
        for door in DOORS:
            key = f"{door} {endpoint}"
            found.append((key, door))
            others = takewhile(handed.__contains__, (f"{key} #{number}" for number in count(1)))
            found += [(other, door) for other in others if door == "udp"]
    return found


def number_of(key: str) -> int:
    """Which of the sockets of its address this is, from 0."""
    return int(key.partition(" #")[2] or 0)


def is_first(key: str) -> bool:
    """Tell whether a socket is the first of its address, which stands for all of them where people read."""
    return " #" not in key


def check_loops(config: Config, listening: Iterable[Endpoint], is_local: Callable[[str], bool]) -> None:
    """Refuse an upstream that is this resolver itself. Misconfigured, with every such upstream.

    `listening`: real addresses; `is_local`: whether the machine has an address. A wildcard listener is reached by all of those.
    """
    ours = list(listening)
    faults = []
    for upstream in config.dns.upstreams:
        host, port = ip_address(upstream.endpoint.host), upstream.endpoint.port
        for endpoint in ours:
            mine = ip_address(endpoint.host)
            same = mine == host or (mine.is_unspecified and mine.version == host.version and is_local(upstream.endpoint.host))
            if same and endpoint.port == port:
                faults.append(
                    f"{config.path}: dns.upstreams: {upstream} is blockd's own listener: name the resolver that it shall forward to"
                )
                break
    if faults:
        raise Misconfigured(*faults)
