"""What a co-signer looks at before signing: the staged metadata against the live one. Decides; reads no file.

A signature says "I have seen this change and I stand behind it", so a change that the publisher's tool would never stage is refused,
whatever else is right with it: a second target, a delegation for another list or other keys, a lower threshold in passing, a version
that jumps, a life that is too long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockd.errors import Refused
from blockd.feeds import repository, roles
from blockd.feeds.metadata import Root, Targets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockd.feeds.metadata import AnyMetadata
    from blockd.feeds.repository import State
    from blockd.terms import Instant

CLOCK_SLACK_S = 3600
"""So far may the clocks of two signers be apart."""

_LIVES = {"root": roles.ROOT_LIFE_S, "targets": roles.TARGETS_LIFE_S}


def objections(state: State, role: str, now: Instant) -> list[str]:
    """Say everything that speaks against signing what is staged for `role`; nothing when it is as the publisher's tool would make it."""
    metadata = state.staged[role]
    return list(_objections(state, role, metadata, now))


def _objections(state: State, role: str, metadata: AnyMetadata, now: Instant) -> Iterator[str]:
    new = metadata.signed
    if new.version != repository.next_version(state, role):
        yield f"{role} is version {new.version}, which does not follow the live one"
    if new.expires.timestamp() > now + _LIVES.get(role, roles.LIST_LIFE_S) + CLOCK_SLACK_S:
        yield f"{role} would live longer than its role may"
    if new.expires.timestamp() <= now:
        yield f"{role} has expired while it waited: publish it again"
    if role == "root":
        yield from _about_root(new)
    elif role == "targets":
        yield from _about_targets(state, new)
    else:
        if not repository.delegators(state, role):
            yield f"nothing delegates to {role}"
        try:
            repository.list_target(metadata, role)
        except Refused as refused:
            yield str(refused)


def _about_root(new: object) -> Iterator[str]:
    if not isinstance(new, Root) or not new.consistent_snapshot:
        yield "the coming root is not a root with consistent snapshots"
        return
    if (new.roles["root"].keyids, new.roles["root"].threshold) != (new.roles["targets"].keyids, new.roles["targets"].threshold):
        yield "the coming root has other signers for root than for targets"
    if not 1 <= new.roles["root"].threshold <= len(new.roles["root"].keyids) <= roles.SIGNERS_MAX:
        yield "the coming root's threshold makes no sense"


def _about_targets(state: State, new: object) -> Iterator[str]:
    if not isinstance(new, Targets) or new.targets:
        yield "the coming targets role holds targets itself; it may hold delegations only"
        return
    held = new.delegations.roles if new.delegations is not None else None
    if held is None:
        yield "the coming targets role has no delegations"
        return
    live = state.targets.signed.delegations
    lost = sorted(set(live.roles or {}) - set(held)) if live is not None else []
    if lost:
        yield f"the coming targets role drops a list: {', '.join(lost)}"
    root: Root = state.staged.get("root", state.root).signed
    role = root.roles["targets"]
    for name, delegation in held.items():
        same = set(delegation.keyids) == set(role.keyids) and delegation.threshold == role.threshold
        shape = delegation.terminating and delegation.paths == [roles.path_pattern(name)] and roles.is_list_name(name)
        if not same or not shape:
            yield f"the delegation of {name if roles.is_list_name(name) else 'a list'} is not to the signers of the root, or not for its path alone"
    if any(root.keys.get(keyid) != key for keyid, key in (new.delegations.keys.items() if new.delegations is not None else ())):
        yield "the coming targets role names a key that the root does not"
