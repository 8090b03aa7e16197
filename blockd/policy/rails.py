"""The rails: names that no list may block, as the records that the native row parser compares.

=============================  ================================================================  ====================================
rail                           covers                                                            why
=============================  ================================================================  ====================================
root and single labels         built into the parser                                             one row would take the Internet away
public suffixes                each rule of the shipped list, ICANN and private; ``*.ck`` covers  a suffix is other people's names
                               every name one label under ``ck``, ``!www.ck`` is an exception
parents of public suffixes     every name above a rule                                           they hold the suffixes
protected names                lists/protected-names.txt, and all of their parents               others depend on them: shared platforms,
                                                                                                 updates, time, certificates, helplines
own names                      feed hosts, the audit origin, contact and upstream hosts, and     blockd must not cut itself off
                               their parents
=============================  ================================================================  ====================================

A rail protects the name itself and what would cover it from above, not the names under it. Only blocking entries are compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockd.errors import Refused
from blockd.names.domain import DomainName, parse_domain
from blockd.names.fingerprint import of_domain
from blockd.names.protected import protected_names
from blockd.names.suffix import RuleKind, shipped

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blockd.config.schema import Config

RECORD_BYTES = 24


def rails(key: bytes, protected: Iterable[DomainName]) -> bytes:
    """The records for ``ListBuilder``: fingerprint (16 octets) and flags (8, little-endian), sorted, each name once.

    `protected`: names beside the public suffixes. Flags as in `names.suffix.RuleKind`: 1 the name itself, 2 every name one label under
    it, 4 an exception to 2.
    """
    flags: dict[bytes, int] = {}
    for rule in shipped():
        flags[rule.name.wire] = flags.get(rule.name.wire, 0) | int(rule.kind)
        _protect(flags, list(rule.name.suffixes())[1:])
    for name in protected:
        _protect(flags, name.suffixes())
    return b"".join(sorted(of_domain(key, DomainName(wire)) + value.to_bytes(8, "little") for wire, value in flags.items()))


def _protect(flags: dict[bytes, int], wires: Iterable[bytes]) -> None:
    for wire in wires:
        flags[wire] = flags.get(wire, 0) | int(RuleKind.EXACT)


def all_protected(config: Config) -> tuple[DomainName, ...]:
    """The shipped names and blockd's own, from the configuration. Texts that are no names (addresses, empty) protect nothing."""
    found = list(protected_names())
    for text in own_names(config):
        try:
            found.append(parse_domain(text))
        except Refused:
            continue  # an address or nothing: there is no name to protect
    return tuple(found)


def own_names(config: Config) -> tuple[str, ...]:
    """Hosts that blockd itself or its operator depends on, as the configuration writes them."""
    hosts = [_host(feed.url) for feed in config.feeds]
    hosts += [upstream.server_name for upstream in config.dns.upstreams]
    hosts.append(config.audit.origin.split("/", 1)[0])
    for contact in config.stop_page.contact:
        scheme, _, rest = contact.partition(":")
        hosts.append(rest.rpartition("@")[2].partition("?")[0] if scheme == "mailto" else _host(contact))
    return tuple(sorted({host for host in hosts if host}))


def _host(url: str) -> str:
    rest = url.partition("://")[2]
    authority = rest.partition("/")[0].rpartition("@")[2]
    return "" if authority.startswith("[") else authority.partition(":")[0]
