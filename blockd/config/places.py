"""Kinds for where things are: addresses to listen on, resolvers, networks, contacts, paths, URLs.

Names of hosts are never looked up: an address in the configuration is a number. Text is normalised by `ipaddress`, so that the same
address in two spellings is one value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING

from blockd.config.values import BadValue, Kind, expect_text, nearest, quoted, several

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

PORT_DNS = 53
PORT_TLS = 853  # RFC 7858 §3.1
NAME_MAX_CHARACTERS = 253


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An IP address and a port; port 0 lets the kernel choose."""

    host: str
    port: int

    def __str__(self) -> str:
        """``127.0.0.1:53`` or ``[::1]:53``."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Upstream:
    """A resolver to forward to: ``udp://192.0.2.53:53``, ``tcp://...``, ``tls://resolver.example@192.0.2.53:853`` (https:// comes with its part)."""

    scheme: str
    endpoint: Endpoint
    server_name: str = ""  # of tls: the name that its certificate must have

    def __str__(self) -> str:
        """As written in the configuration, with the port."""
        return f"{self.scheme}://{self.server_name}@{self.endpoint}" if self.server_name else f"{self.scheme}://{self.endpoint}"


def _ip(said: str) -> IPv4Address | IPv6Address:
    try:
        address = ip_address(said)
    except ValueError:
        raise BadValue(f"{quoted(said)} is not an IP address (names are not looked up here)") from None
    if getattr(address, "scope_id", None):
        raise BadValue(f"{quoted(said)} has a zone: write the address alone")
    return address


_HOST_PORT = re.compile(r"(?:\[([^\]]*)\]|([^:\[\]]*))(?::([0-9]{1,5}))?").fullmatch


def endpoint(said: str, default_port: int | None = None) -> Endpoint:
    """Read ``192.0.2.1:53`` or ``[2001:db8::1]:53``."""
    found = _HOST_PORT(said)
    if not found:
        with_port = "[2001:db8::1]:53" if said.count(":") > 1 else "192.0.2.1:53"
        raise BadValue(f"{quoted(said)} is not an address and port, such as {quoted(with_port)}")
    address = _ip(found[1] if found[1] is not None else found[2])
    if (found[1] is not None) != (address.version == 6):
        raise BadValue(f"{quoted(said)}: an IPv6 address stands in square brackets, an IPv4 address does not")
    if found[3] is None and default_port is None:
        raise BadValue(f"{quoted(said)} has no port: write {quoted(f'{said}:PORT')}")
    port = int(found[3]) if found[3] is not None else default_port or 0
    if port > 65535:
        raise BadValue(f"{quoted(said)}: {port} is not a port, the largest is 65535")
    return Endpoint(str(address), port)


_SCHEME = re.compile(r"([a-z]+)://([^/]*)(/.*)?").fullmatch
_SERVER_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?").fullmatch
_SCHEMES = {"udp": PORT_DNS, "tcp": PORT_DNS, "tls": PORT_TLS}


def upstream(said: str) -> Upstream:
    """Read ``udp://192.0.2.53:53`` or ``tls://resolver.example@192.0.2.53``; the port may be left out."""
    found = _SCHEME(said)
    if not found:
        raise BadValue(f'{quoted(said)} is not an upstream, such as "udp://192.0.2.53:53" or "tls://resolver.example@192.0.2.53"')
    scheme = found[1]
    if scheme in {"https", "quic"}:
        raise BadValue(f"{scheme}:// upstreams are not built yet: use udp://, tcp:// or tls://")
    if scheme not in _SCHEMES:
        raise BadValue(f"{quoted(scheme)} is not one of udp, tcp, tls{nearest(scheme, tuple(_SCHEMES))}")
    if found[3]:
        raise BadValue(f"{quoted(said)}: nothing stands behind the port")
    name, at, where = found[2].rpartition("@")
    target = endpoint(where, _SCHEMES[scheme])
    if target.port == 0 or ip_address(target.host).is_unspecified or ip_address(target.host).is_multicast:
        raise BadValue(f"{quoted(said)} is not an address and port that can be asked")
    if scheme != "tls":
        if at:
            raise BadValue(
                f"{quoted(said)}: {scheme}:// has no certificate to check a name with: leave {quoted(name + at)} out, or use tls://"
            )
        return Upstream(scheme, target)
    name = name.removesuffix(".").lower()
    if not at:
        raise BadValue(f"{quoted(said)} lacks the name that the certificate must have: {quoted(f'tls://resolver.example@{target}')}")
    if not _SERVER_NAME(name) or len(name) > NAME_MAX_CHARACTERS:
        raise BadValue(f"{quoted(said)}: {quoted(name)} is not the name of a host in a certificate, in ASCII")
    return Upstream(scheme, target, name)


def network(said: str) -> str:
    """Read ``192.0.2.0/24``; an address alone is itself."""
    try:
        return str(ip_network(said))
    except ValueError:
        try:
            near = ip_network(said, strict=False)
        except ValueError:
            raise BadValue(f'{quoted(said)} is not a network, such as "192.0.2.0/24" or "2001:db8::/32"') from None
        raise BadValue(f"{quoted(said)} has bits set behind its prefix: write {quoted(near)}") from None


def page_address(said: str) -> str:
    """Read an address that a browser can be sent to."""
    address = _ip(said)
    if address.is_unspecified or address.is_multicast or str(address) == "255.255.255.255":
        raise BadValue(f"{quoted(said)} is not the address of a host")
    return str(address)


_CONTACT = re.compile(r"mailto:[^\s@<>\"]+@[^\s@<>\"]+|tel:\+?[0-9][0-9.()-]*").fullmatch


def contact(said: str) -> str:
    """Read ``mailto:`` or ``tel:``, the two schemes that a structured DNS error may carry."""
    if not _CONTACT(said):
        raise BadValue(f'{quoted(said)} is not a contact, such as "mailto:abuse@example.net" or "tel:+49-30-123456"')
    return said


_ACCOUNT = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?").fullmatch


def account(said: str) -> str:
    """Read the name of a user or group."""
    if not _ACCOUNT(said):
        raise BadValue(f"{quoted(said)} is not the name of a user or group")
    return said


def _path(value: object, base: Path) -> Path:
    said = expect_text(value)
    if not said:
        raise BadValue("is empty: expected a path")
    return base / said


PATH: Kind[Path] = Kind("path", '"/etc/blockd/roots/hotline.json"', _path, quoted, Path())


def _optional_path(value: object, base: Path) -> Path | None:
    return _path(value, base) if value != "" else None


OPTIONAL_PATH: Kind[Path | None] = Kind("path", '"" or a path', _optional_path, lambda path: quoted(path or ""))

_URL = re.compile(r"(https?|file)://([^/?#@\s]*)(/[^?#\s]*)?").fullmatch
_URL_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::[0-9]{1,5})?").fullmatch


def url(*schemes: str) -> Kind[str]:
    """Make a kind for an absolute URL with one of these schemes; no user, query or fragment."""
    example = f"{schemes[0]}://feeds.example/tuf"

    def read(value: object, _base: Path) -> str:
        said = expect_text(value)
        found = _URL(said)
        if not found or found[1] not in schemes:
            start = " or ".join(f"{scheme}://" for scheme in schemes)
            raise BadValue(f"{quoted(said)} is not a URL with {start} and without user, query and fragment: {quoted(example)}")
        if found[1] == "file":
            if found[2] or not found[3]:
                raise BadValue(f'{quoted(said)}: a file URL has three slashes and an absolute path, "file:///srv/feed"')
        elif not _URL_HOST(found[2]):
            raise BadValue(f"{quoted(said)} does not name a host")
        return said if said == "file:///" else said.rstrip("/")

    return Kind("URL", quoted(example), read, quoted)


def optional(kind: Kind[str]) -> Kind[str]:
    """Make a kind that takes ``""`` too."""

    def read(value: object, base: Path) -> str:
        return kind.read(value, base) if value != "" else ""

    return Kind(kind.name, f'"" or {kind.form}', read, kind.write)


ENDPOINTS = several("addresses", '["192.0.2.1:53", "[2001:db8::1]:53"]', endpoint)
UPSTREAMS = several("upstreams", '["udp://192.0.2.53:53", "tls://resolver.example@192.0.2.54"]', upstream)
NETWORKS = several("networks", '["192.0.2.0/24"]', network)
ADDRESSES = several("addresses", '["192.0.2.80", "2001:db8::80"]', page_address)
CONTACTS = several("contacts", '["mailto:abuse@example.net"]', contact)
ACCOUNTS = several("names", '["root"]', account)
