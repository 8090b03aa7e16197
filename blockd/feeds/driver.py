"""The publisher's verbs: init, publish, cosign, refresh, rotate. Files and keys around what :mod:`blockd.feeds.repository` decides.

Each verb takes the lock, reads the repository, *settles* it (a step that an earlier command was stopped in is finished first), changes
it, and makes it durable in this order: target file, staged metadata, live metadata with the timestamp last, staged metadata cleared.
So a command that is killed at any point leaves a repository that subscribers read as before or as after, and that the next one finishes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from blockd.errors import Misconfigured, Refused
from blockd.feeds import cosign as cosigning
from blockd.feeds import keys, repository, roles, secret
from blockd.feeds.formats import tally
from blockd.feeds.metadata import TargetFile
from blockd.feeds.store import Store, create, create_keys, read_blocks, retire_key, write_durable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockd.feeds.formats import Tally
    from blockd.feeds.keys import CryptoSigner, Key
    from blockd.feeds.repository import State
    from blockd.feeds.verified import ListMeta
    from blockd.terms import Instant

PASSPHRASE_VARIABLE = "BLOCKD_FEED_PASSPHRASE_FILE"  # noqa: S105 -- the variable's name
PASSPHRASE_MAX_OCTETS = 1024
ONLINE = "online"


@dataclass(frozen=True, slots=True)
class RoleStatus:
    """Where a role stands after a verb."""

    role: str
    version: int
    live: bool
    signatures: int
    threshold: int


@dataclass(slots=True)
class Outcome:
    """What a verb did. `notes` are for a person: keys that did not open, what is still to be done."""

    roles: list[RoleStatus] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rows: Tally | None = None
    signed: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys of a folder that open, and why others did not."""

    signers: tuple[CryptoSigner, ...]
    notes: tuple[str, ...]


def read_passphrase(file: str | None) -> bytes | None:
    """Read the passphrase from the file that the environment names; None when it names none. The last line feed does not count."""
    if not file:
        return None
    try:
        with Path(file).open("rb") as source:
            text = source.read(PASSPHRASE_MAX_OCTETS + 1).rstrip(b"\r\n")
    except OSError as error:
        raise Misconfigured(f"{PASSPHRASE_VARIABLE}: {file}: {error.strerror}") from error
    if not text or len(text) > PASSPHRASE_MAX_OCTETS:
        raise Misconfigured(f"{PASSPHRASE_VARIABLE}: {file} must hold a passphrase of at most {PASSPHRASE_MAX_OCTETS} octets")
    return text


def open_key(path: Path, passphrase: bytes | None) -> CryptoSigner:
    """Open one key file. Refused("key") with its path and why."""
    try:
        with path.open("rb") as source:
            pem = source.read(keys.PEM_MAX_OCTETS + 1)
        return keys.open_pem(pem, passphrase)
    except OSError as error:
        raise Refused("key", f"{path}: {error.strerror}") from error
    except Refused as refused:
        raise Refused("key", f"{path}: {refused}") from None


def open_keys(folder: Path, passphrase: bytes | None) -> KeyRing:
    """Open every ``*.pem`` in a folder that opens; a folder that is not there holds none."""
    signers, notes = [], []
    for path in sorted(folder.glob("*.pem")):
        try:
            signers.append(open_key(path, passphrase))
        except Refused as refused:
            notes.append(str(refused))
    return KeyRing(tuple(signers), tuple(notes))


def init(repo: Path, keys_dir: Path, count: int, threshold: int, passphrase: bytes | None, now: Instant) -> None:
    """Make keys and an empty, signed repository."""
    repository.check_signers(count, threshold)
    if keys_dir.resolve().is_relative_to(repo.resolve()):
        raise Misconfigured(f"--keys-dir {keys_dir} is inside {repo}, which is served to subscribers: choose a place outside")
    if repo.exists() and (not repo.is_dir() or any(repo.iterdir())):
        raise Refused("exists", f"{repo} exists and is not empty: choose another place, or move it away")
    private = [keys.generate() for _ in range(count)]
    online = keys.generate()
    signers = [keys.signer_of(key) for key in private]
    state = repository.first([signer.public_key for signer in signers], threshold, keys.signer_of(online).public_key, now)
    for signer in signers:
        state.root.sign(signer, append=True)
        state.targets.sign(signer, append=True)
    repository.sign_first(state, keys.signer_of(online))
    named = [(f"{number}.pem", keys.to_pem(key, passphrase)) for number, key in enumerate(private, 1)]
    create_keys(keys_dir, [*named, (f"{ONLINE}.pem", keys.to_pem(online, passphrase))])
    # A crash here leaves keys that no repository knows: init says that they exist, and a person moves them away.
    create(repo, state, state.root.to_bytes())


def check_meta(meta: ListMeta) -> None:
    """Misconfigured when a gateway would refuse what is to be signed about a list."""
    try:
        roles.from_custom(roles.to_custom(meta))
    except Refused as refused:
        raise Misconfigured(str(refused)) from None


def copy_durable(source: Path, place: Path) -> None:
    """Copy a file so that it is whole or as before."""
    write_durable(place, source.read_bytes())


def publish(  # noqa: PLR0913, PLR0917 -- the verb's arguments
    repo: Path, keys_dir: Path, passphrase: bytes | None, name: str, meta: ListMeta, source: Path, recipients: Sequence[str], now: Instant
) -> Outcome:
    """Stage a version of a list from a file, sign with every key at hand, and make it live when that is enough."""
    if not roles.is_list_name(name):
        raise Misconfigured(
            "--list takes lower-case letters, digits, - _ and ., at most 63, and none of root, targets, snapshot, timestamp"
        )
    if not source.is_file():
        raise Misconfigured(f"{source} is not a file that can be read")
    outcome = Outcome()
    try:
        outcome.rows = tally(meta.format, read_blocks(source))
    except Refused as refused:
        outcome.notes.append(f"gateways will refuse it: {refused}")
    store, ring = Store(repo), open_keys(keys_dir, passphrase)
    if ring.notes and not ring.signers:
        outcome.notes.append(f"none of the {len(ring.notes)} keys in {keys_dir} opens: this version has no signature yet")
    with store.lock():
        state = _settled(store, ring, now)
        path = roles.target_path(name, source.name, meta)
        blocks = (secret.encrypt(source.read_bytes(), recipients),) if meta.secret else read_blocks(source)
        length, sha256 = store.add_target(path, blocks)
        target = TargetFile(length, {"sha256": sha256}, path, {"custom": roles.to_custom(meta)})
        repository.stage_list(state, name, target, now)
        outcome.signed = repository.sign(state, ring.signers)
        _finish(store, state, ring, [name], outcome, now)
    if not outcome.roles[0].live:
        outcome.notes += ring.notes
    return outcome


def cosign(repo: Path, key: Path, keys_dir: Path, passphrase: bytes | None, now: Instant) -> Outcome:
    """Check what is staged, sign it with one key, and make live what has enough signatures now."""
    signer = open_key(key, passphrase)
    store, ring, outcome = Store(repo), open_keys(keys_dir, passphrase), Outcome()
    with store.lock():
        state = _settled(store, ring, now)
        if not state.staged:
            raise Refused("nothing", "nothing waits for a signature: publish first")
        keyid = signer.public_key.keyid
        mine = [
            role for role in state.staged if any(keyid in d.get_delegated_role(role).keyids for d, _ in repository.delegators(state, role))
        ]
        if not mine:
            raise Refused("key", f"{key} is none of the keys that may sign what waits here")
        for role in mine:
            _check(store, state, role, now)
        outcome.signed = repository.sign(state, [signer])
        if not outcome.signed:
            outcome.notes.append("this key had signed already")
        _finish(store, state, ring, sorted(mine), outcome, now)
    return outcome


def _check(store: Store, state: State, role: str, now: Instant) -> None:
    """Look at what is about to be signed, the octets of the list included."""
    objections = cosigning.objections(state, role, now)
    if objections:
        raise Refused("shape", f"not signed: {'; '.join(objections)}")
    if role in roles.TOP_ROLES:
        return
    target, _ = repository.list_target(state.staged[role], role)
    file, digest, length = store.target_file(target.path, target.hashes["sha256"]), hashlib.sha256(), 0
    try:
        for block in read_blocks(file):
            digest.update(block)
            length += len(block)
    except OSError as error:
        raise Refused(
            "shape", f"not signed: the file of list {role} is not there ({error.strerror}): copy targets/ along with staged/"
        ) from error
    if (length, digest.hexdigest()) != (target.length, target.hashes["sha256"]):
        raise Refused("signature", f"not signed: the file of list {role} is not the one that its publisher signed")


def refresh(repo: Path, keys_dir: Path, passphrase: bytes | None, now: Instant) -> Outcome:
    """Finish what waits and can be finished, then sign the timestamp anew (and the snapshot when half of its life is over)."""
    store, ring, outcome = Store(repo), open_keys(keys_dir, passphrase), Outcome()
    with store.lock():
        state = _settled(store, ring, now, must=True)
        store.write_live(repository.refresh(state, ring.signers, now))
        outcome.roles = [_status(state, role, live=True) for role in ("timestamp", "snapshot")]
        outcome.notes += _due(state, now)
    return outcome


def rotate(  # noqa: PLR0913 -- the verb's options
    repo: Path,
    keys_dir: Path,
    passphrase: bytes | None,
    now: Instant,
    *,
    what: str,
    replace: Sequence[str] = (),
    remove: Sequence[str] = (),
    add: int = 0,
    threshold: int | None = None,
    encrypt: bool = True,
) -> Outcome:
    """Stage a new root and what hangs on it; live once the old and the new threshold have signed. `what`: root, online or signers."""
    store, outcome = Store(repo), Outcome()
    with store.lock():
        state = _settled(store, open_keys(keys_dir, passphrase), now)
        if "root" in state.staged:
            raise Refused("exists", "a rotation waits for signatures already: cosign it, or remove staged/ to give it up")
        protect = passphrase if encrypt else None
        waiting = [role for role in state.staged if role not in roles.TOP_ROLES]
        if what == ONLINE:
            old = retire_key(keys_dir, ONLINE)
            repository.stage_root(state, now, online=_new_key(keys_dir, ONLINE, protect))
            outcome.notes += [f"{old} is the old online key: destroy it once the rotation is live"] if old else []
        elif what == "signers":
            signers = _new_signers(state, keys_dir, passphrase, protect, replace, remove, add)
            repository.stage_root(state, now, signers=signers, threshold=threshold)
            outcome.notes += [f"what waited for list {role} is dropped: publish it again" for role in waiting]
        else:
            repository.stage_root(state, now)
        ring = open_keys(keys_dir, passphrase)
        outcome.signed = repository.sign(state, ring.signers)
        shown = sorted(state.staged) if what == "signers" else ["root"]
        _finish(store, state, ring, shown, outcome, now)
        if not all(status.live for status in outcome.roles):
            outcome.notes += ring.notes
    return outcome


def _new_key(folder: Path, name: str, passphrase: bytes | None) -> Key:
    private = keys.generate()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_durable(folder / f"{name}.pem", keys.to_pem(private, passphrase), 0o600)
    return keys.signer_of(private).public_key


def _new_signers(
    state: State, keys_dir: Path, passphrase: bytes | None, protect: bytes | None, replace: Sequence[str], remove: Sequence[str], add: int
) -> dict[str, Key]:
    """Work out who signs from now on; the new keys are written before anything names them."""
    root = state.root.signed
    signers: dict[str, Key] = {keyid: root.keys[keyid] for keyid in root.roles["root"].keyids}
    gone = {word: _find(word, signers, keys_dir, passphrase) for word in (*replace, *remove)}
    repository.check_signers(len(signers) - len(set(remove)) + add, 1)
    for keyid in gone.values():
        signers.pop(keyid, None)
    for word in replace:
        retire_key(keys_dir, word)
    for name in [w for w in replace if w.isdigit() and len(w) < _KEYID_MIN] + [""] * (add + sum(len(w) >= _KEYID_MIN for w in replace)):
        key = _new_key(keys_dir, name or _free(keys_dir), protect)
        signers[key.keyid] = key
    return signers


_KEYID_MIN = 8


def _find(word: str, signers: dict[str, Key], keys_dir: Path, passphrase: bytes | None) -> str:
    """Find the signer that N (its file N.pem in the keys' folder) or the beginning of a key's id means."""
    if len(word) >= _KEYID_MIN:
        found = [keyid for keyid in signers if keyid.startswith(word)]
    else:
        keyid = open_key(keys_dir / f"{word}.pem", passphrase).public_key.keyid
        found = [keyid] if keyid in signers else []
    if len(found) != 1:
        raise Misconfigured(f"{word} is not one of the signers: `blockd feed verify` shows their key ids")
    return found[0]


def _free(folder: Path) -> str:
    number = 1
    while any(folder.glob(f"{number}.*pem")):
        number += 1
    return str(number)


def _settled(store: Store, ring: KeyRing, now: Instant, *, must: bool = False) -> State:
    """Read the repository, and finish a step that was stopped half-way. `must`: it is an error when the online key is not at hand."""
    state = store.load()
    try:
        files = repository.promote(state, ring.signers, now)
        if not files and repository.needs_online(state):
            files = repository.refresh(state, ring.signers, now, snapshot=True)
    except Refused:
        if must:
            raise
        return store.load()  # promote had begun to change it
    if files:
        store.write_live(files)
    store.save_staged(state)
    return state


def _finish(store: Store, state: State, ring: KeyRing, shown: Sequence[str], outcome: Outcome, now: Instant) -> None:
    """Make what is staged durable, then live when it can be."""
    store.save_staged(state)
    # A crash here: staged, with all signatures so far. The next command's _settled makes it live.
    before = {role: _status(state, role, live=False) for role in shown if role in state.staged}
    try:
        files = repository.promote(state, ring.signers, now)
    except Refused as refused:
        outcome.notes.append(str(refused))
        files, state = [], store.load()
    store.write_live(files)
    # A crash here: live; what is still staged has the live version's number, and load() leaves it out.
    store.save_staged(state)
    for role in shown:
        if role in state.staged or role not in before:
            outcome.roles.append(_status(state, role, live=role not in state.staged))
        else:
            was = before[role]
            outcome.roles.append(RoleStatus(role, was.version, live=True, signatures=was.signatures, threshold=was.threshold))
    outcome.notes += _due(state, now)


def _status(state: State, role: str, *, live: bool) -> RoleStatus:
    if live:
        metadata = state.live(role)
        if metadata is None:
            raise AssertionError(role)
        count = repository.signed(state, role, metadata)
        return RoleStatus(role, metadata.signed.version, live=True, signatures=count.signatures, threshold=count.threshold)
    count = repository.progress(state, role)
    return RoleStatus(
        role, cast("int", state.staged[role].signed.version), live=False, signatures=count.signatures, threshold=count.threshold
    )


def _due(state: State, now: Instant) -> list[str]:
    """What a person should do soon."""
    notes = []
    if state.root.signed.expires.timestamp() - now < repository.RENEW_TARGETS_S:
        notes.append(f"the root expires {state.root.signed.expires:%Y-%m-%d}: sign the next one with `blockd feed rotate --role root`")
    for name, metadata in state.lists.items():
        left_s = metadata.signed.expires.timestamp() - now
        if left_s < roles.LIST_LIFE_S / 4 and name not in state.staged:
            when = f"expires {metadata.signed.expires:%Y-%m-%d %H:%M}" if left_s > 0 else "has expired"
            notes.append(f"list {name} {when}: publish it again, changed or not")
    return notes
