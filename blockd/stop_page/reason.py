"""From the Host of a request to the list that blocks it. Pure; the name goes no further than this file.

The same table and the same decision function as the resolver's: what the DNS blocks, the page explains, and nothing else.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from blockd.names import InvalidName, parse_domain
from blockd.policy.verdict import decide
from blockd.stop_page.page import Reason
from blockd.table.lookup import name_matches
from blockd.terms import Notify

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blockd.control.live import LiveGeneration
    from blockd.names import DomainName
    from blockd.policy.verdict import Policies
    from blockd.terms import ListName

HOST_MAX_CHARACTERS: Final = 1024

_TARGET = re.compile(r"https?://(?:[^/?#@]*@)?([^/?#]*)", re.IGNORECASE).match


def host_of(target: str, hosts: list[str]) -> str | None:
    """The host that a request is for; None when it is not clear: no Host, several, or one that is empty (RFC 9112 §3.2).

    A target in absolute form decides and Host is ignored (RFC 9112 §3.2.2).
    """
    absolute = _TARGET(target)
    if absolute is not None:
        return absolute[1] or None
    return hosts[0].strip() or None if len(hosts) == 1 else None


def name_of(host: str) -> DomainName | None:
    """The domain name in ``name[:port]``; None for an address or text that is no name."""
    name, colon, port = host.rpartition(":")
    if not colon:
        name = port
    elif port and not (port.isascii() and port.isdigit()):
        return None
    if len(name) > HOST_MAX_CHARACTERS:
        return None
    try:
        return parse_domain(name)
    except InvalidName:
        return None


def find(live: LiveGeneration, policies: Policies, notify: Mapping[ListName, Notify], name: DomainName) -> Reason | None:
    """The list that blocks `name`, by the decision that the resolver answers with; None: nothing blocks it."""
    verdict = decide(name_matches(live, name.wire), policies)
    if verdict.action is None or verdict.list is None or verdict.basis is None or verdict.category is None:
        return None
    return Reason(verdict.list, verdict.basis, verdict.category, notify.get(verdict.list, Notify.FULL))
