"""Metadata: whatever a server sends, a subscriber takes it or refuses it, with one of two errors; and what it holds stays whole.

The first octet chooses a file, the second what is done to it: replaced by the rest; octets of it changed; or octets of its signed part
changed and signed again by the right keys, so that a publisher's own nonsense reaches the checks behind the signatures.
The rest of an input is then (16-bit place, octet) for each change.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from harness import main
from securesystemslib.formats import encode_canonical

from blockd.errors import Refused, Unavailable
from blockd.feeds.metadata import MetaFile
from blockd.feeds.verified import Verified
from tests.feeds.simulator import Simulator

os.fsync = lambda descriptor: None  # type: ignore[assignment]  # nobody pulls the plug

SIM = Simulator()
SIM.publish("gambling", b"casino.example\n", canary="casino.example", authority="Example court")
GOOD = dict(SIM.files)
FOLDER = Path(tempfile.mkdtemp(prefix="blockd-fuzz-"))
SIM.subscribe(FOLDER).refresh(SIM.now)
ROLES = ("root", "timestamp", "snapshot", "targets", "gambling")
FILES = {
    "root": "metadata/2.root.json",
    **{role: f"metadata/{SIM.state.live(role).signed.version}.{role}.json" for role in ("snapshot", "targets", "gambling")},
    "timestamp": "metadata/timestamp.json",
}
SIGNERS = {"root": SIM.signers, "targets": SIM.signers, "gambling": SIM.signers, "snapshot": SIM.online, "timestamp": SIM.online}
REASONS = {"fetch", "signature", "rollback", "expired", "shape"}
DICTIONARY = tuple(
    word.encode()
    for word in (
        '"',
        "{}",
        "[]",
        "null",
        "true",
        "-1",
        "0",
        "1e9",
        '"_type":',
        '"targets"',
        '"version":',
        '"custom":',
        '"hashes":',
        '"sha256"',
        '"sha512"',
        '"expires":',
        '"9999-12-31T23:59:59Z"',
        '"keyids":',
        '"paths":',
        '"gambling/*"',
        "../",
    )
)


def changed(data: bytes, changes: bytes) -> bytes:
    """Apply (place, octet) pairs."""
    out = bytearray(data)
    for at in range(0, len(changes) - 2, 3):
        out[int.from_bytes(changes[at : at + 2], "big") % len(out)] = changes[at + 2]
    return bytes(out)


def resigned(role: str, data: bytes, changes: bytes) -> bytes | None:
    """Change the signed part and sign it again; None when it is no JSON any more."""
    part = encode_canonical(json.loads(data)["signed"]).encode()
    try:
        value = json.loads(changed(part, changes))
        payload = encode_canonical(value).encode()
    except Exception:  # the canonical form has its own limits; what it cannot write cannot be signed
        return None
    signatures = [{"keyid": s.public_key.keyid, "sig": s.sign(payload).signature} for s in SIGNERS[role]]
    return json.dumps({"signed": value, "signatures": signatures}).encode()


def follow(role: str) -> None:
    """Let snapshot and timestamp speak of the changed file, signed by the online key."""
    if role in {"targets", "gambling"}:
        SIM.state.snapshot.signed.meta[f"{role}.json"] = MetaFile.from_data(
            SIM.state.live(role).signed.version, SIM.files[FILES[role]], ["sha256"]
        )
        SIM.state.snapshot.signatures.clear()
        SIM.state.snapshot.sign(SIM.online[0])
        SIM.files[FILES["snapshot"]] = SIM.state.snapshot.to_bytes()
    if role != "timestamp":
        version = SIM.state.snapshot.signed.version
        SIM.state.timestamp.signed.snapshot_meta = MetaFile.from_data(version, SIM.files[FILES["snapshot"]], ["sha256"])
        SIM.state.timestamp.signatures.clear()
        SIM.state.timestamp.sign(SIM.online[0])
        SIM.files["metadata/timestamp.json"] = SIM.state.timestamp.to_bytes()


def target(data: bytes) -> object:
    """Any octets from the server give a Verified, Refused or Unavailable."""
    if len(data) < 3:
        return None
    role, mode, rest = ROLES[data[0] % len(ROLES)], data[1] % 3, data[2:]
    SIM.files = dict(GOOD)
    good = GOOD[FILES[role]] if role != "root" else SIM.root
    if mode == 0:
        SIM.files[FILES[role]] = rest
    elif mode == 1:
        SIM.files[FILES[role]] = changed(good, rest)
    else:
        made = resigned(role, good, rest)
        if made is None:
            return "unsignable"
        SIM.files[FILES[role]] = made
        if role != "root":
            follow(role)
    return role, mode, subscribe()


def subscribe() -> object:
    """A new gateway looks at the feed."""
    shutil.rmtree(FOLDER / "state", ignore_errors=True)
    subscription = SIM.subscribe(FOLDER)
    try:
        subscription.refresh(SIM.now)
        verified = subscription.download("gambling")
    except Refused as refused:
        assert refused.reason in REASONS
        assert "\n" not in str(refused)
        return refused.reason
    except Unavailable:
        return "unavailable"
    assert isinstance(verified, Verified)
    assert verified.path.read_bytes() == b"casino.example\n"
    assert verified.signatures >= 2
    return "verified", verified.meta.canary is None


if __name__ == "__main__":
    try:
        main("metadata", target, dictionary=DICTIONARY, size_max=8192)
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
