"""What no single key can show: the checks across keys.

A finding's path leads to the value to point at. Findings about values that could not be read are dropped by the caller, so the checks
here may take every value at its word.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from blockd.terms import Action, Mode, Notify

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from blockd.config.lines import Path
    from blockd.config.schema import Config, Endpoint

SOCKET_PATH_MAX_OCTETS = 107  # sun_path of unix(7), without its final zero
ROLES_SOCKET = "roles.sock"
DOCUMENTATION = tuple(map(ip_network, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")))  # RFC 5737, RFC 3849
OPEN_PREFIX_MAX_BITS = 7  # a network this wide is everybody


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to tell. `fatal`: the configuration can't be used. `about`: other paths that it depends on."""

    path: Path
    message: str
    fatal: bool = True
    about: tuple[Path, ...] = ()


LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
"""Where a feed may be fetched without TLS."""


def cross_check(config: Config) -> Iterator[Finding]:
    """Find every fault and warning of a configuration whose single values are right."""
    yield from _listeners(config)
    yield from _upstreams(config)
    yield from _open_resolver(config)
    yield from _xdp(config)
    yield from _feeds(config)
    yield from _lists(config)
    yield from _stop_page(config)
    yield from _places(config)


def _overlap(one: Endpoint, other: Endpoint) -> bool:
    """Whether two sockets of one protocol can't both be bound: IPv6 ones take IPv6 alone (IPV6_V6ONLY)."""
    a, b = ip_address(one.host), ip_address(other.host)
    return one.port == other.port != 0 and a.version == b.version and (a == b or a.is_unspecified or b.is_unspecified)


def _listeners(config: Config) -> Iterator[Finding]:
    doors: list[tuple[Path, Endpoint]] = [
        *_at(("dns", "listen"), config.dns.listen),
        *_at(("stop_page", "listen"), config.stop_page.listen),
        *_at(("admin", "listen"), config.admin.listen),
    ]
    for number, (path, door) in enumerate(doors):
        for other_path, other in doors[:number]:
            if _overlap(door, other):
                where = "" if other_path[:2] == path[:2] else f" of {other_path[0]}.listen"
                yield Finding(path, f"{door} meets {other}{where}: give each listener a port of its own", about=(other_path,))
                break


def _at(path: Path, items: Sequence[Endpoint]) -> list[tuple[Path, Endpoint]]:
    return [((*path, at), item) for at, item in enumerate(items)]


def _upstreams(config: Config) -> Iterator[Finding]:
    if not config.dns.upstreams and (config.dns.listen or not config.dns.xdp_listen):
        yield Finding(("dns", "upstreams"), 'is empty: name the resolvers that answer what is not blocked, ["udp://192.0.2.53:53"]')
    for at, upstream in enumerate(config.dns.upstreams):
        target = ip_address(upstream.endpoint.host)
        path: Path = ("dns", "upstreams", at)
        for door in config.dns.listen:
            own = ip_address(door.host)
            here = own == target or (own.is_unspecified and own.version == target.version and target.is_loopback)
            if door.port == upstream.endpoint.port and here:
                yield Finding(
                    path, f"{upstream} is this gateway's own listener {door}: queries would go in a circle", about=(("dns", "listen"),)
                )
                break
        if any(target in network for network in DOCUMENTATION):
            yield Finding(path, f"{upstream} is an address for documentation: name your resolver", fatal=False)


def _open_resolver(config: Config) -> Iterator[Finding]:
    for at, allowed in enumerate(config.dns.allow_from):
        if ip_network(allowed).prefixlen <= OPEN_PREFIX_MAX_BITS:
            yield Finding(
                ("dns", "allow_from", at),
                f"{allowed} makes this an open resolver, which can be used to flood others: name your own networks",
                fatal=False,
            )
    if not config.dns.allow_from and config.dns.listen:
        yield Finding(("dns", "allow_from"), "is empty: every query is refused", fatal=False)


def _xdp(config: Config) -> Iterator[Finding]:
    dns = config.dns
    if dns.xdp == "off":
        if dns.xdp_listen:
            yield Finding(("dns", "xdp_listen"), 'does nothing while dns.xdp is "off": set dns.xdp = "auto"', about=(("dns", "xdp"),))
        return
    if not dns.xdp_interface:
        yield Finding(
            ("dns", "xdp_interface"), 'is empty: name the interface that queries come in at, such as "eth0"', about=(("dns", "xdp"),)
        )
    if not dns.listen and not dns.xdp_listen:
        yield Finding(("dns", "xdp"), "has nothing to answer at: give dns.listen, or dns.xdp_listen for another resolver's addresses")
    for at, door in enumerate(dns.listen):
        if door.port == 0:
            yield Finding(("dns", "listen", at), "XDP passes what comes to a port that the kernel chooses: name the port", fatal=False)
    for at, door in enumerate(dns.xdp_listen):
        path: Path = ("dns", "xdp_listen", at)
        if door.port == 0:
            yield Finding(path, "is another resolver's address: name its port")
        if any(_overlap(door, own) for own in dns.listen):
            yield Finding(path, f"{door} is this gateway's own listener: xdp_listen is for another resolver", about=(("dns", "listen"),))


def _host(url: str) -> str:
    authority = url.partition("://")[2].partition("/")[0].rpartition("@")[2]
    return authority.partition("]")[0].lstrip("[") if authority.startswith("[") else authority.partition(":")[0]


def _feeds(config: Config) -> Iterator[Finding]:
    first: dict[str, int] = {}
    used = {item.name.partition("/")[0] for item in config.lists}
    for at, feed in enumerate(config.feeds):
        path: Path = ("feeds", at)
        if feed.name in first:
            yield Finding((*path, "name"), f'"{feed.name}" is also feed {first[feed.name] + 1}: give each feed a name of its own')
        first.setdefault(feed.name, at)
        if (feed.client_certificate is None) != (feed.client_key is None):
            there, missing = (
                ("client_key", "client_certificate") if feed.client_certificate is None else ("client_certificate", "client_key")
            )
            yield Finding((*path, there), f"needs {missing} too")
        if feed.token_file and not feed.url.startswith("https:"):
            yield Finding((*path, "token_file"), "a token would travel readable: use an https:// url", about=((*path, "url"),))
        if feed.url.startswith("http:") and _host(feed.url) not in LOOPBACK:
            yield Finding((*path, "url"), "plain http is fetched on loopback only, since it shows who fetches what: use https://")
        if feed.name and feed.name not in used:
            yield Finding((*path, "name"), f'no list of "{feed.name}" is configured: it is not fetched', fatal=False, about=(("lists",),))


def _lists(config: Config) -> Iterator[Finding]:
    if not config.lists:
        yield Finding(("lists",), "no lists are configured: nothing will be blocked", fatal=False)
    feeds = [feed.name for feed in config.feeds]
    first: dict[str, int] = {}
    for at, item in enumerate(config.lists):
        path: Path = ("lists", at)
        feed = item.name.partition("/")[0]
        if item.name in first:
            yield Finding((*path, "name"), f'"{item.name}" is also list {first[item.name] + 1}: keep one of them')
        first.setdefault(item.name, at)
        if feed not in feeds:
            known = f"; configured: {', '.join(feeds)}" if feeds else "; no feeds are configured"
            yield Finding((*path, "name"), f'"{item.name}" is of a feed "{feed}" that is not configured{known}', about=(("feeds",),))
        if item.notify is Notify.NONE and not item.notify_basis:
            yield Finding((*path, "notify"), '"none" needs notify_basis: the citation of the law that forbids telling')
        if item.notify is not Notify.NONE and item.notify_basis:
            yield Finding((*path, "notify_basis"), 'says nothing without notify = "none"', fatal=False)
        if item.action is Action.STOP_PAGE and item.mode is not Mode.OFF and not config.stop_page.addresses:
            yield Finding((*path, "action"), "stop_page.addresses is empty: names get NXDOMAIN instead", fatal=False)


def _stop_page(config: Config) -> Iterator[Finding]:
    page = config.stop_page
    for at, helpline in enumerate(page.helplines):
        if not helpline.phone and not helpline.url:
            yield Finding(("stop_page", "helplines", at), "needs phone or url")
    for at, address in enumerate(page.addresses):
        if ip_address(address) in DOCUMENTATION[0] or ip_address(address) in DOCUMENTATION[3]:
            yield Finding(("stop_page", "addresses", at), f"{address} is an address for documentation: name your own", fatal=False)


def _places(config: Config) -> Iterator[Finding]:
    if config.state_dir == config.runtime_dir:
        yield Finding(
            ("runtime_dir",), "is state_dir too: what is made at every start must not lie where state is kept", about=(("state_dir",),)
        )
    for path, socket in ((("admin", "socket"), config.admin.socket), (("runtime_dir",), config.runtime_dir / ROLES_SOCKET)):
        if socket is not None and len(str(socket).encode()) > SOCKET_PATH_MAX_OCTETS:
            yield Finding(
                path,
                f"{socket} is longer than the {SOCKET_PATH_MAX_OCTETS} octets that a socket's path may have",
                about=(("runtime_dir",),),
            )
