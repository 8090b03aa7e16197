"""Which roles a configuration gives work to, and which privileges each one keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockd.control.sockets import ROLES
from blockd.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockd.config.schema import Config

CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF = 12, 38, 39  # linux/capability.h
CAPABILITIES = {"xdp": frozenset({CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF})}
"""What a role may do beside what every process may. A role that is not here: nothing."""


def roles_of(config: Config, asked: str) -> tuple[str, ...]:
    """The roles of ``--role``, all of them for ``all``. Misconfigured: one that the configuration gives no work to.

    XDP runs where the configuration names it. As a sidecar there is no resolver of ours: `listen` is empty, `xdp_listen` is not.
    """
    xdp, sidecar = config.dns.xdp != "off", not config.dns.listen and bool(config.dns.xdp_listen)
    if asked == "xdp" and not xdp:
        raise Misconfigured(f'{config.path}: dns.xdp is "off": set it to "auto", and dns.xdp_interface, for the role xdp')
    if asked != "all":
        return (asked,)
    own: Sequence[str] = [role for role in ROLES if role != "resolver" or not sidecar]
    return (*own, "xdp") if xdp else tuple(own)


def capabilities(roles: Sequence[str]) -> frozenset[int]:
    """What these roles need together."""
    return frozenset().union(*(CAPABILITIES.get(role, frozenset()) for role in roles))
