"""Where `feeds` ends: a list version whose signatures, expiry and version TUF has verified.

Only :func:`blockd.feeds.client.Subscription.download` makes a :class:`Verified`, and :mod:`blockd.control.candidates` once more for a version
that is in force, while the very file is kept (by its digest): its rows run out by their own dates, feed or no feed. Everything behind it (compiling, rails, audit)
takes this type, so unverified bytes cannot reach a table without a type error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from blockd.terms import Action, Basis, Category, Format, Instant, ListName


@dataclass(frozen=True, slots=True)
class ListMeta:
    """What the publisher signed about a list (``custom`` of its TUF target)."""

    format: Format
    basis: Basis
    category: Category
    action: Action  # the publisher's wish; the configuration can override it
    secret: bool
    canary: str | None  # the name that selftest asks, already canonical text
    authority: str | None = None
    reference: str | None = None
    deadline: str | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True)
class Verified:
    """A verified list version, on the local disk."""

    name: ListName
    version: int  # of the delegated targets role: monotonic
    meta: ListMeta
    path: Path  # the target file as published (ciphertext when meta.secret)
    sha256: str  # of the file as published, hex
    length: int  # octets
    expires: Instant  # the earliest expiry among the delegated role's metadata and the top targets
    signatures: int  # valid signatures on the delegated role
