"""A publisher's repository as a value: what is live, what waits for signatures, and what is to be written next. No files, no clock.

The rules that this file keeps:

- *Live* is what ``timestamp.json`` leads to. Everything else is invisible to subscribers, so the timestamp is written last.
- A new version is *staged*: put aside, under the number that follows the live one, until enough signers have signed it. Staging again
  replaces what was staged; nobody has seen it.
- What is staged must satisfy every role that will ever check it: the root in force and, in a rotation, the coming one (*make before
  break*). So a subscriber who reads at any moment, with the old root or the new one, finds enough signatures.
- A list waits for itself alone; the top targets role, which holds the delegations, goes along when a list is new. In a rotation
  everything that is staged waits for everything else.
- A co-signer signs only what :func:`objections` has nothing to say about.

:func:`promote` gives the files to write, in their order; each is either new to its name or the same octets again, until the timestamp
replaces the old one. Whoever crashes in between and calls it again finishes the same work.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from blockd.errors import Corrupt, Refused
from blockd.feeds import roles
from blockd.feeds.metadata import DelegatedRole, Delegations, Metadata, MetaFile, Role, Root, Snapshot, Targets, Timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from blockd.feeds.keys import CryptoSigner, Key
    from blockd.feeds.metadata import AnyMetadata, TargetFile
    from blockd.feeds.verified import ListMeta
    from blockd.terms import Instant

RENEW_TARGETS_S = 60 * roles.DAY_S
"""The top targets role is signed anew, along with a list, when it expires sooner than this."""


@dataclass(slots=True)
class State:
    """A repository. `staged`: role -> metadata that waits. `lists`: LIST -> live metadata."""

    root: Metadata[Root]
    targets: Metadata[Targets]
    snapshot: Metadata[Snapshot]
    timestamp: Metadata[Timestamp]
    lists: dict[str, Metadata[Targets]] = field(default_factory=dict)
    staged: dict[str, AnyMetadata] = field(default_factory=dict)

    def live(self, role: str) -> AnyMetadata | None:
        """The live metadata of a role, None for a list that never was."""
        if role in roles.TOP_ROLES:
            return cast("AnyMetadata", getattr(self, role))
        return self.lists.get(role)


@dataclass(frozen=True, slots=True)
class Signed:
    """How many signers of a role have signed what is staged (or live), out of how many that must."""

    signatures: int
    threshold: int

    @property
    def enough(self) -> bool:
        """Whether it can go live."""
        return self.signatures >= self.threshold


def when(now: Instant, life_s: float) -> datetime:
    """An expiry: whole seconds, UTC."""
    return datetime.fromtimestamp(int(now + life_s), tz=UTC)


def first(signers: Sequence[Key], threshold: int, online: Key, now: Instant) -> State:
    """Make the first version of everything, unsigned."""
    root = Root(expires=when(now, roles.ROOT_LIFE_S), consistent_snapshot=True)
    for role in ("root", "targets"):
        for key in signers:
            root.add_key(key, role)
        root.roles[role].threshold = threshold
    for role in ("snapshot", "timestamp"):
        root.add_key(online, role)
    targets = Targets(expires=when(now, roles.TARGETS_LIFE_S), delegations=Delegations({}, {}))
    snapshot = Snapshot(expires=when(now, roles.SNAPSHOT_LIFE_S))
    timestamp = Timestamp(expires=when(now, roles.TIMESTAMP_LIFE_S))
    return State(Metadata(root), Metadata(targets), Metadata(snapshot), Metadata(timestamp))


def delegators(state: State, role: str) -> list[tuple[Root | Targets, str]]:
    """Find everything that says whose signatures `role` needs: (who delegates, a word for people)."""
    found: list[tuple[Root | Targets, str]] = []
    coming_root = state.staged.get("root")
    if role in roles.TOP_ROLES:
        found.append((state.root.signed, "the root in force"))
        if coming_root is not None:
            found.append((coming_root.signed, "the coming root"))
        return found
    coming = state.staged.get("targets")
    for metadata, word in ((state.targets, "the delegation in force"), (coming, "the coming delegation")):
        if metadata is not None and _delegation(metadata.signed, role) is not None:
            found.append((metadata.signed, word))
    return found


def _delegation(targets: Targets, name: str) -> DelegatedRole | None:
    held = targets.delegations.roles if targets.delegations is not None else None
    return held.get(name) if held is not None else None


def signed(state: State, role: str, metadata: AnyMetadata | None = None) -> Signed:
    """Count the valid signatures on what is staged for `role` (or on `metadata`), against the delegator that is furthest from content."""
    subject = metadata if metadata is not None else state.staged[role]
    counts = []
    for delegator, _ in delegators(state, role):
        result = delegator.get_verification_result(role, subject.signed_bytes, subject.signatures)
        counts.append(Signed(len(result.signed), result.threshold))
    if not counts:
        raise Refused("shape", f"nothing says who may sign {role}: stage it with `blockd feed publish`")
    return min(counts, key=lambda c: (c.signatures - c.threshold, c.signatures))


def together(state: State, role: str) -> list[str]:
    """Which staged roles go live in one step with `role`."""
    if _other_signers(state):
        return sorted(state.staged)
    if role in {"root", "targets"} or _delegation(state.targets.signed, role) is not None or "targets" not in state.staged:
        return [role]
    return [role, "targets"]


def _other_signers(state: State) -> bool:
    """Tell whether a root is staged that changes who signs lists, or how many must."""
    coming = state.staged.get("root")
    if coming is None:
        return False
    old, new = state.root.signed.roles["targets"], coming.signed.roles["targets"]
    return (set(old.keyids), old.threshold) != (set(new.keyids), new.threshold)


def progress(state: State, role: str) -> Signed:
    """How far the step that makes `role` live has come: the count of its least signed part."""
    return min((signed(state, r) for r in together(state, role)), key=lambda c: (c.signatures - c.threshold, c.signatures))


def ready(state: State) -> list[str]:
    """Which staged roles can go live now, in the order in which they are written."""
    go: set[str] = set()
    for role in state.staged:
        parts = together(state, role)
        if all(signed(state, part).enough for part in parts):
            go.update(parts)
    return sorted(go, key=_order)


def _order(role: str) -> tuple[int, str]:
    """A list before the targets that delegate to it, and the root that tells subscribers about new keys after all."""
    return ({"targets": 1, "root": 2}.get(role, 0), role)


def sign(state: State, signers: Iterable[CryptoSigner]) -> list[str]:
    """Let each signer sign everything staged that it has a say in. Returns the roles that gained a signature."""
    gained = []
    for signer in signers:
        keyid = signer.public_key.keyid
        for role, metadata in state.staged.items():
            wanted = any(keyid in d.get_delegated_role(role).keyids for d, _ in delegators(state, role))
            if wanted and keyid not in metadata.signatures:
                metadata.sign(signer, append=True)
                gained.append(role)
    return sorted(set(gained), key=_order)


# Staging ----------------------------------------------------------------------------------------------------------------------------


def next_version(state: State, role: str) -> int:
    """The number that follows the live one."""
    live = state.live(role)
    return live.signed.version + 1 if live is not None else 1


def stage_list(state: State, name: str, target: TargetFile, now: Instant) -> None:
    """Stage a version of a list, and of the targets role when the list is new or that role is near its end."""
    if not roles.is_list_name(name):
        raise Refused("shape", "a list's name has lower-case letters, digits, - _ . and at most 63 characters, and is none of TUF's roles")
    renew = state.targets.signed.expires.timestamp() - now < RENEW_TARGETS_S
    if _delegation(state.targets.signed, name) is None or (renew and "targets" not in state.staged):
        stage_targets(state, [name], now)
    new = Targets(next_version(state, name), expires=when(now, roles.LIST_LIFE_S), targets={target.path: target})
    state.staged[name] = Metadata(new)


def stage_targets(state: State, names: Iterable[str], now: Instant) -> None:
    """Stage the top targets role with delegations for `names` beside those it has; what was staged of it loses its signatures if it changes."""
    coming = state.staged.get("targets")
    before = coming if coming is not None else state.targets
    new: Targets = copy.deepcopy(before.signed)
    root = state.staged.get("root", state.root).signed
    role = root.roles["targets"]
    if new.delegations is None or new.delegations.roles is None:
        new.delegations = Delegations({}, {})
    held = cast("dict[str, DelegatedRole]", new.delegations.roles)
    if len(set(held) | set(names)) > roles.LISTS_MAX:
        raise Refused("shape", f"a feed has at most {roles.LISTS_MAX} lists: make another repository")
    for name in sorted({*held, *names}):
        held[name] = DelegatedRole(name, list(role.keyids), role.threshold, terminating=True, paths=[roles.path_pattern(name)])
    new.delegations.keys = {keyid: root.keys[keyid] for keyid in role.keyids} if held else {}
    if coming is not None and new == coming.signed:
        return
    new.version = next_version(state, "targets")
    new.expires = when(now, roles.TARGETS_LIFE_S)
    state.staged["targets"] = Metadata(new)


def stage_root(
    state: State, now: Instant, *, signers: Mapping[str, Key] | None = None, threshold: int | None = None, online: Key | None = None
) -> None:
    """Stage a new root: other signers (keyid -> key; None: the same), another threshold, another online key, or only a later expiry.

    With other signers or another threshold, every delegation and list is staged anew, so that the new signers stand behind it; what was
    staged before is dropped then.
    """
    new: Root = copy.deepcopy(state.root.signed)
    new.version += 1
    new.expires = when(now, roles.ROOT_LIFE_S)
    keys = dict(signers) if signers is not None else {keyid: new.keys[keyid] for keyid in new.roles["root"].keyids}
    threshold = threshold if threshold is not None else new.roles["root"].threshold
    online_keys = [online] if online is not None else [new.keys[keyid] for keyid in new.roles["snapshot"].keyids]
    check_signers(len(keys), threshold)
    new.keys = {**keys, **{key.keyid: key for key in online_keys}}
    for role in ("root", "targets"):
        new.roles[role] = Role(list(keys), threshold)
    for role in ("snapshot", "timestamp"):
        new.roles[role] = Role([key.keyid for key in online_keys], 1)
    state.staged["root"] = Metadata(new)
    if not _other_signers(state):
        return
    state.staged = {"root": state.staged["root"]}
    stage_targets(state, [], now)
    for name, live in state.lists.items():
        renewed: Targets = copy.deepcopy(live.signed)
        renewed.version += 1
        renewed.expires = when(now, roles.LIST_LIFE_S)
        state.staged[name] = Metadata(renewed)


def check_signers(count: int, threshold: int) -> None:
    """Refused("shape") when so many keys and such a threshold make no sense."""
    if not 1 <= threshold <= count <= roles.SIGNERS_MAX:
        raise Refused(
            "shape", f"the threshold must be at least 1 and at most the number of keys, of which there can be {roles.SIGNERS_MAX}"
        )


# Going live -------------------------------------------------------------------------------------------------------------------------


def promote(state: State, online: Sequence[CryptoSigner], now: Instant) -> list[tuple[str, bytes]]:
    """Make everything that is ready live. Returns (file under metadata/, octets) in the order of writing; nothing when nothing is ready.

    `state` is changed to what will be so after the last write. The timestamp comes last but for a new root, which the rest already satisfies.
    """
    go = ready(state)
    if not go:
        return []
    written: list[tuple[str, bytes]] = []
    new_root = state.staged.get("root") if "root" in go else None
    for role in go:
        metadata = state.staged.pop(role)
        if role == "root":
            continue
        if role == "targets":
            state.targets = metadata
        else:
            state.lists[role] = metadata
        written.append((f"{metadata.signed.version}.{role}.json", metadata.to_bytes()))
    written += _resign_snapshot(state, online, now, new_root)
    written += _resign_timestamp(state, online, now, new_root)
    if new_root is not None:
        # The old online key may be lost. Then there is a moment, whatever comes first, in which subscribers refuse and keep what they have;
        # with the root first, it ends as soon as the timestamp follows.
        at = len(written) if _verifies(state, "timestamp", state.root) else 0
        written.insert(at, (f"{new_root.signed.version}.root.json", new_root.to_bytes()))
        state.root = new_root
    return written


def _verifies(state: State, role: str, root: Metadata[Root]) -> bool:
    metadata = cast("AnyMetadata", state.live(role))
    return bool(root.signed.get_verification_result(role, metadata.signed_bytes, metadata.signatures))


def sign_first(state: State, online: CryptoSigner) -> None:
    """Finish what :func:`first` began: the snapshot and the timestamp of the first version."""
    targets = state.targets
    state.snapshot.signed.meta["targets.json"] = MetaFile.from_data(targets.signed.version, targets.to_bytes(), ["sha256"])
    state.snapshot.sign(online)
    state.timestamp.signed.snapshot_meta = MetaFile.from_data(state.snapshot.signed.version, state.snapshot.to_bytes(), ["sha256"])
    state.timestamp.sign(online)


def refresh(state: State, online: Sequence[CryptoSigner], now: Instant, *, snapshot: bool = False) -> list[tuple[str, bytes]]:
    """Sign the timestamp anew, and the snapshot when asked or when half of its life is over."""
    written = []
    if snapshot or state.snapshot.signed.expires.timestamp() - now < roles.SNAPSHOT_LIFE_S / 2:
        written += _resign_snapshot(state, online, now, None)
    return written + _resign_timestamp(state, online, now, None)


def _online_sign(state: State, role: str, metadata: AnyMetadata, online: Sequence[CryptoSigner], new_root: Metadata[Root] | None) -> None:
    """Sign with every online key that the root in force or the coming one names. Refused("key") when the coming (or only) one lacks."""
    metadata.signatures.clear()
    wanted = {keyid for root in (state.root, new_root) if root is not None for keyid in root.signed.roles[role].keyids}
    for signer in online:
        if signer.public_key.keyid in wanted:
            metadata.sign(signer, append=True)
    judge = (new_root or state.root).signed
    if not judge.get_verification_result(role, metadata.signed_bytes, metadata.signatures):
        raise Refused(
            "key",
            f"the online key that signs {role} is not there, or the passphrase does not open it: run `blockd feed refresh` where online.pem is",
        )


def _resign_snapshot(
    state: State, online: Sequence[CryptoSigner], now: Instant, new_root: Metadata[Root] | None
) -> list[tuple[str, bytes]]:
    snapshot = state.snapshot.signed
    snapshot.version += 1
    snapshot.expires = when(now, roles.SNAPSHOT_LIFE_S)
    for name, metadata in {"targets": state.targets, **state.lists}.items():
        snapshot.meta[f"{name}.json"] = MetaFile.from_data(metadata.signed.version, metadata.to_bytes(), ["sha256"])
    _online_sign(state, "snapshot", state.snapshot, online, new_root)
    return [(f"{snapshot.version}.snapshot.json", state.snapshot.to_bytes())]


def _resign_timestamp(
    state: State, online: Sequence[CryptoSigner], now: Instant, new_root: Metadata[Root] | None
) -> list[tuple[str, bytes]]:
    timestamp = state.timestamp.signed
    timestamp.version += 1
    timestamp.expires = when(now, roles.TIMESTAMP_LIFE_S)
    timestamp.snapshot_meta = MetaFile.from_data(state.snapshot.signed.version, state.snapshot.to_bytes(), ["sha256"])
    _online_sign(state, "timestamp", state.timestamp, online, new_root)
    return [("timestamp.json", state.timestamp.to_bytes())]


def needs_online(state: State) -> bool:
    """Tell whether snapshot or timestamp lack a signature that the root in force asks for: a rotation was interrupted after its root."""
    return not (_verifies(state, "snapshot", state.root) and _verifies(state, "timestamp", state.root))


def check_live(state: State, previous_root: Metadata[Root] | None = None) -> None:
    """Corrupt when the live metadata does not verify: someone changed it, and it must not be signed over.

    Snapshot and timestamp may also stand under the root before this one, when a rotation was interrupted.
    """
    for role in ("root", "targets", *state.lists):
        metadata = cast("AnyMetadata", state.live(role))
        delegator = state.root.signed if role in roles.TOP_ROLES else state.targets.signed
        result = delegator.get_verification_result(role, metadata.signed_bytes, metadata.signatures)
        interrupted = role != "root" and role in state.staged and previous_root is not None
        if not result and not interrupted:
            raise Corrupt(f"the repository's live {role} metadata does not verify: restore metadata/ from a backup")
    roots = [r for r in (state.root, previous_root, state.staged.get("root")) if r is not None]
    for role in ("snapshot", "timestamp"):
        if not any(_verifies(state, role, root) for root in roots):
            raise Corrupt(f"the repository's live {role} metadata does not verify: restore metadata/ from a backup")


_SHA256 = re.compile(r"[0-9a-f]{64}").fullmatch


def list_target(metadata: Metadata[Targets], name: str) -> tuple[TargetFile, ListMeta]:
    """Return the one target of a list's role and what is signed about it. Refused("shape") when there is not just one, at LIST/FILE."""
    found = list(metadata.signed.targets.values())
    if len(found) != 1 or metadata.signed.delegations is not None or not roles.is_target_path(found[0].path, name):
        raise Refused("shape", f"the role of list {name} must hold one target, {name}/FILE, and no delegation")
    if set(found[0].hashes) != {"sha256"} or _SHA256(found[0].hashes["sha256"]) is None:  # it names the file on a gateway's disk
        raise Refused("shape", f"the target of list {name} must carry a SHA-256 hash and no other")
    return found[0], roles.from_custom(found[0].custom)
