"""Repositories as a publisher makes them, on a disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from blockd.feeds import driver
from blockd.feeds.client import Subscription
from tests.feeds.attacks import GOOD
from tests.feeds.simulator import NOW, Simulator, meta


@dataclass
class Publisher:
    """A repository, its keys, and the keys of signers who are elsewhere."""

    home: Path
    now: float = NOW

    @property
    def repo(self) -> Path:
        return self.home / "repo"

    @property
    def keys(self) -> Path:
        return self.home / "repo.keys"

    @property
    def away(self) -> Path:
        return self.home / "away"

    def init(self, count=3, threshold=2, passphrase=None):
        driver.init(self.repo, self.keys, count, threshold, passphrase, self.now)
        return self

    def send_away(self, *numbers):
        self.away.mkdir(exist_ok=True)
        for number in numbers:
            (self.keys / f"{number}.pem").rename(self.away / f"{number}.pem")

    def publish(self, name="gambling", text="casino.example\n", recipients=(), passphrase=None, **changes):
        source = self.home / f"{name}.txt"
        source.write_text(text, encoding="utf-8")
        return driver.publish(self.repo, self.keys, passphrase, name, meta(**changes), source, recipients, self.now)

    def cosign(self, number):
        return driver.cosign(self.repo, self.away / f"{number}.pem", self.keys, None, self.now)

    def refresh(self):
        return driver.refresh(self.repo, self.keys, None, self.now)

    def rotate(self, what, **options):
        return driver.rotate(self.repo, self.keys, None, self.now, what=what, **options)

    def subscribe(self, name="state"):
        feed = SimpleNamespace(name="hotline", url=self.repo.as_uri(), root=self.repo / "root.json")
        return Subscription(feed, self.home / name)

    def seen(self, name="gambling"):
        """What a new subscriber gets: (version, text), or None when there is no such list."""
        subscription = self.subscribe(f"state-{len(list(self.home.glob('state-*')))}")
        subscription.refresh(self.now)
        if f"hotline/{name}" not in subscription.lists():
            return None
        verified = subscription.download(name)
        return verified.version, verified.path.read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _fast_disk(request, monkeypatch):
    """No test here can pull the plug, so none waits for the disk; test_store.py looks at the order of the system calls."""
    if "real_fsync" not in request.fixturenames:
        monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture
def real_fsync():
    """Ask for it to have os.fsync as it is."""


@pytest.fixture
def publisher(tmp_path):
    return Publisher(tmp_path)


@pytest.fixture
def sim():
    made = Simulator()
    made.publish("gambling", GOOD)
    return made


@pytest.fixture
def subscription(sim, tmp_path):
    made = sim.subscribe(tmp_path)
    assert made.refresh(sim.now)
    assert made.download("hotline/gambling").path.read_bytes() == GOOD
    return made
