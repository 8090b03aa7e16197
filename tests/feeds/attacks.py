"""What the attack tests share: what is served, what an attacker would like to serve, and the one question."""

from __future__ import annotations

import pytest

from blockd.errors import Refused
from blockd.feeds import roles
from blockd.feeds.metadata import TargetFile
from tests.feeds.simulator import meta

GOOD = b"casino.example\npoker.example\n"
EVIL = b"newspaper.example\n"


def refuses(subscription, sim, *reasons: str, name: str = "hotline/gambling") -> Refused:
    """Refresh and download must end in a refusal for one of these reasons, and the list on the disk stay as it is."""
    kept = sorted(p.read_bytes() for p in (subscription.folder / "targets").rglob("*") if p.is_file())
    with pytest.raises(Refused) as caught:
        subscription.refresh(sim.now)
        subscription.download(name)
    assert caught.value.reason in reasons, caught.value
    assert sorted(p.read_bytes() for p in (subscription.folder / "targets").rglob("*") if p.is_file()) == kept
    assert "\n" not in str(caught.value)
    return caught.value


def evil_target(path: str = "gambling/list.txt") -> TargetFile:
    target = TargetFile.from_data(path, EVIL, ["sha256"])
    target.unrecognized_fields["custom"] = roles.to_custom(meta())
    return target


def serve(sim, target: TargetFile, data: bytes) -> None:
    folder, _, file = target.path.partition("/")
    sim.files[f"targets/{folder}/{target.hashes['sha256']}.{file}"] = data
