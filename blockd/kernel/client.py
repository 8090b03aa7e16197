"""Asks the kernel about network interfaces, over rtnetlink: the only file that knows pyroute2.

Nothing is changed here. Addresses are read each time: there are few, and a change must not go unnoticed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from blockd.errors import Unavailable
from blockd.kernel.plan import Interface, Place

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_MAC = bytes(6)


def interface(name: str) -> Interface:
    """The interface of that name with its addresses, and those of the VLANs on it. Unavailable: there is none, or it cannot be asked for."""
    try:
        with IPRoute() as netlink:
            links = list(netlink.get_links())
            addresses = list(netlink.get_addr())
    except (OSError, NetlinkError) as error:
        raise Unavailable(f"the kernel does not tell about interface {name}: {error}") from None
    main = next((link for link in links if link.get_attr("IFLA_IFNAME") == name), None)
    if main is None:
        known = ", ".join(sorted(str(link.get_attr("IFLA_IFNAME")) for link in links)) or "none"
        raise Unavailable(f"[dns] xdp_interface: there is no interface {name}; there are: {known}")
    index = int(main["index"])
    places = [Place((0, 0), _of(index, addresses))]
    for outer, outer_tag in _vlans(index, links):
        places.append(Place((outer_tag, 0), _of(outer, addresses)))
        places += [Place((outer_tag, tag), _of(inner, addresses)) for inner, tag in _vlans(outer, links)]
    return Interface(name, index, _mac(main), tuple(places))


def _of(index: int, addresses: Sequence[Any]) -> frozenset[str]:
    mine = (a for a in addresses if a["index"] == index)
    return frozenset(str(a.get_attr("IFA_LOCAL") or a.get_attr("IFA_ADDRESS")) for a in mine)


def _vlans(index: int, links: Sequence[Any]) -> list[tuple[int, int]]:
    """(index, tag) of each VLAN interface that lies on another one."""
    found = []
    for link in links:
        information = link.get_attr("IFLA_LINKINFO")
        if link.get_attr("IFLA_LINK") == index and information is not None and information.get_attr("IFLA_INFO_KIND") == "vlan":
            found.append((int(link["index"]), int(information.get_attr("IFLA_INFO_DATA").get_attr("IFLA_VLAN_ID"))))
    return found


def _mac(link: Any) -> bytes:
    text = link.get_attr("IFLA_ADDRESS")
    return bytes.fromhex(text.replace(":", "")) if text else NO_MAC
