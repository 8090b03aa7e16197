"""The shape of a blocklist feed: TUF metadata that is valid and also says what a gateway can take. Decides; the signatures are verified before.

One delegated role for each list, terminating, for its own path; in it one target, whose ``custom`` says how to read it in words that this
release knows (:mod:`blockd.feeds.roles`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blockd.errors import Refused
from blockd.feeds import roles
from blockd.feeds.repository import list_target
from blockd.terms import Instant

if TYPE_CHECKING:
    from blockd.feeds.metadata import Metadata, TargetFile, Targets
    from blockd.feeds.verified import ListMeta

TARGET_MAX_OCTETS = 1 << 30


@dataclass(frozen=True, slots=True)
class Current:
    """A list as the last refresh verified it."""

    version: int
    target: TargetFile
    meta: ListMeta
    expires: Instant
    signatures: int
    threshold: int
    signers: str  # digest of who may sign it


def delegated(targets: Metadata[Targets]) -> list[str]:
    """Name the lists that the top targets role delegates. Refused("shape") when a delegation is not one list's."""
    delegations = targets.signed.delegations
    held = delegations.roles if delegations is not None else None
    if targets.signed.targets or (delegations is not None and held is None):
        raise Refused("shape", "the feed's top role must hold one delegation for each list and nothing else: is this a blocklist feed?")
    held = held or {}
    if len(held) > roles.LISTS_MAX:
        raise Refused("shape", f"the feed has more than {roles.LISTS_MAX} lists")
    for name, role in held.items():
        if not roles.is_list_name(name) or not role.terminating or role.paths != [roles.path_pattern(name)]:
            raise Refused("shape", "a delegation of the feed is not terminating and for one list's path")
    return list(held)


def judge(top: Metadata[Targets], metadata: Metadata[Targets], name: str) -> Current:
    """Read a list's role, verified under `top`. Refused("shape")."""
    target, meta = list_target(metadata, name)
    if target.length > TARGET_MAX_OCTETS:
        raise Refused("shape", f"the list is larger than {TARGET_MAX_OCTETS} octets")
    result = top.signed.get_verification_result(name, metadata.signed_bytes, metadata.signatures)
    if not result:
        raise AssertionError("the Updater has verified it")
    role = top.signed.get_delegated_role(name)
    return Current(
        version=metadata.signed.version,
        target=target,
        meta=meta,
        expires=Instant(min(metadata.signed.expires.timestamp(), top.signed.expires.timestamp())),
        signatures=len(result.signed),
        threshold=result.threshold,
        signers=hashlib.sha256(" ".join([str(role.threshold), *sorted(role.keyids)]).encode()).hexdigest(),
    )
