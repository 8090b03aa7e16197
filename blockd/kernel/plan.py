"""What the XDP program is to know of a configuration and of the interface: where blockd answers, to whom, in which mode it may run. Pure.

A service is an address, a port and the VLAN tags that a frame for it carries on this interface:

======================================  ==========================================================================
listener                                services
======================================  ==========================================================================
an address of the interface             without a tag
an address of a VLAN on the interface   with that VLAN's tag or tags
a wildcard                              all of the above, of its family; none of the machine's other interfaces
an address that is elsewhere            without a tag and with each VLAN's: the kernel takes it on every interface
======================================  ==========================================================================

Whatever is not among them passes, so an address that comes later is answered by user space until the plan is made again.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final

from blockd.kernel.forms import PORTS_MAX, PREFIXES_MAX, SERVICES_MAX, Service, prefix

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MODES: Final = {"native": ("native",), "generic": ("generic",), "auto": ("native", "generic")}
"""Ways to attach, best first, by ``[dns] xdp``."""


@dataclass(frozen=True, slots=True)
class Place:
    """Addresses that frames with these VLAN tags are for."""

    vlans: tuple[int, int]
    addresses: frozenset[str]


@dataclass(frozen=True, slots=True)
class Interface:
    """One network interface as the kernel has it, its VLANs with it. The first place is the interface itself."""

    name: str
    index: int
    mac: bytes
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What the program's maps hold. `notes`: lines for the log, of what user space alone will answer."""

    services: frozenset[Service] = frozenset()
    allowed4: frozenset[bytes] = frozenset()
    allowed6: frozenset[bytes] = frozenset()
    ports: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def _services(host: str, port: int, interface: Interface, *, foreign: bool) -> set[Service]:
    address = ip_address(host)
    if address.is_unspecified:
        found = {(a, place.vlans) for place in interface.places for a in map(ip_address, place.addresses) if a.version == address.version}
    else:
        homes = [place for place in interface.places if str(address) in place.addresses]
        found = {(address, place.vlans) for place in homes or interface.places}
    return {Service(a.packed, port, vlans, foreign) for a, vlans in found}


def plan(own: Iterable[tuple[str, int]], foreign: Iterable[tuple[str, int]], allow_from: Sequence[str], interface: Interface) -> Plan:
    """Plan for these listeners, (host, port): blockd's `own`, and `foreign` ones of another resolver on this machine."""
    services: set[Service] = set()
    notes = []
    ports: list[int] = []
    listeners = [(host, port, False) for host, port in own] + [(host, port, True) for host, port in foreign]
    for host, port, other in listeners:
        if port == 0:
            notes.append(f"{host} port 0 is left to user space: XDP needs a fixed port")
            continue
        if port not in ports and len(ports) == PORTS_MAX:
            notes.append(f"port {port} is left to user space: XDP answers on {PORTS_MAX} ports at most")
            continue
        added = {
            s for s in _services(host, port, interface, foreign=other) if Service(s.address, s.port, s.vlans, not other) not in services
        }
        if not added:
            notes.append(f"{interface.name} has no address that {host} port {port} could be reached at")
        services |= added
        if port not in ports:
            ports.append(port)
    if len(services) > SERVICES_MAX:
        notes.append(f"{len(services) - SERVICES_MAX} addresses are left to user space: XDP answers at {SERVICES_MAX} at most")
    networks = [ip_network(text, strict=False) for text in allow_from]
    by_family = {version: [prefix(n.network_address.packed, n.prefixlen) for n in networks if n.version == version] for version in (4, 6)}
    for version, prefixes in by_family.items():
        if len(prefixes) > PREFIXES_MAX:
            notes.append(
                f"IPv{version} clients of {len(prefixes) - PREFIXES_MAX} networks are left to user space: XDP knows {PREFIXES_MAX} at most"
            )
    chosen = sorted(services, key=lambda s: (s.vlans, s.port, s.address))[:SERVICES_MAX]
    allowed4, allowed6 = (frozenset(by_family[version][:PREFIXES_MAX]) for version in (4, 6))
    return Plan(frozenset(chosen), allowed4, allowed6, tuple(ports), tuple(notes))
