"""Keyed fingerprints of names and URLs, by the native core: the same code that the table is built and probed with.

SipHash-1-3 with 128 bits of output under the deployment's key (blockd/native/name.h says what is absorbed). A table holds these and no
names. Without the key a fingerprint says nothing; with it, guesses can be tested.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NewType

from blockd.native import _table

if TYPE_CHECKING:
    from blockd.names.domain import DomainName
    from blockd.names.url import CanonicalURL

KEY_OCTETS = 16
FINGERPRINT_OCTETS = 16

Fingerprint = NewType("Fingerprint", bytes)
"""16 octets: two 64-bit halves, each little-endian."""


def of_domain(key: bytes, domain: DomainName) -> Fingerprint:
    """Return the fingerprint of the whole name. ValueError when `key` is not 16 octets."""
    return Fingerprint(_table.fingerprint(key, domain.wire))


def of_suffixes(key: bytes, domain: DomainName) -> tuple[Fingerprint, ...]:
    """Return the fingerprints of the top-level domain, of the two last labels, and so on to the whole name: one pass."""
    return tuple(Fingerprint(f) for f in _table.suffix_fingerprints(key, domain.wire))


def of_url(key: bytes, url: CanonicalURL) -> Fingerprint:
    """Return the fingerprint of a canonical URL. No URL has that of a name."""
    return Fingerprint(_table.url_fingerprint(key, url.key()))
