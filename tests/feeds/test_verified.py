from __future__ import annotations

import dataclasses

import pytest

from blockd.feeds.verified import Verified
from tests.feeds.simulator import Simulator


def test_what_a_download_gives_cannot_be_changed(tmp_path):
    sim = Simulator()
    sim.publish("gambling", b"casino.example\n", canary="casino.example", authority="Example court")
    subscription = sim.subscribe(tmp_path)
    subscription.refresh(sim.now)
    verified = subscription.download("hotline/gambling")
    assert isinstance(verified, Verified)
    assert (verified.name, verified.version, verified.length, verified.signatures) == ("hotline/gambling", 1, 15, 3)
    assert (verified.meta.canary, verified.meta.authority, verified.meta.reference) == ("casino.example", "Example court", None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        verified.version = 2
