"""An in-memory feed that is its own server: a fetcher for the client under test, metadata that a test can edit, keys that it can steal.

    sim = Simulator()
    sim.publish("gambling", b"casino.example\n")
    subscription = sim.subscribe(tmp_path)
    assert subscription.refresh(sim.now)

Attacks change `sim.files` (what the server says), or `sim.state` and sign with the keys that the attacker has. No server, no sleep.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface

from blockd.feeds import keys, repository, roles
from blockd.feeds.client import Subscription
from blockd.feeds.metadata import TargetFile
from blockd.feeds.verified import ListMeta
from blockd.terms import Action, Basis, Category, Format, Instant

NOW = Instant(roles.BUILT + 30 * roles.DAY_S)
BASE = "https://feed.example"


def meta(**changes) -> ListMeta:
    values = {
        "format": Format.DOMAINS, "basis": Basis.OPERATOR, "category": Category.GAMBLING, "action": Action.STOP_PAGE, "secret": False, "canary": None,
    }  # fmt: skip
    return ListMeta(**(values | changes))


def signer() -> keys.CryptoSigner:
    return keys.signer_of(keys.generate())


@dataclass
class Simulator(FetcherInterface):
    count: int = 3
    threshold: int = 2
    now: float = NOW
    files: dict[str, bytes] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.signers = [signer() for _ in range(self.count)]
        self.online = [signer()]
        self.state = repository.first([s.public_key for s in self.signers], self.threshold, self.online[0].public_key, self.now)
        for key in self.signers:
            self.state.root.sign(key, append=True)
            self.state.targets.sign(key, append=True)
        repository.sign_first(self.state, self.online[0])
        self.root = self.state.root.to_bytes()
        self.put_all()

    # The publisher

    def put_all(self) -> None:
        """Serve the state as it is, whoever signed it."""
        state = self.state
        for role in ("root", "targets", "snapshot", *state.lists):
            live = state.live(role)
            self.files[f"metadata/{live.signed.version}.{role}.json"] = live.to_bytes()
        self.files["metadata/timestamp.json"] = state.timestamp.to_bytes()

    def publish(self, name: str, data: bytes, *, by=None, custom: object = None, file: str = "list.txt", **changes) -> None:
        path = f"{name}/{file}"
        target = TargetFile.from_data(path, data, ["sha256"])
        target.unrecognized_fields["custom"] = roles.to_custom(meta(**changes)) if custom is None else custom
        repository.stage_list(self.state, name, target, self.now)
        self.files[f"targets/{name}/{target.hashes['sha256']}.{file}"] = data
        self.go_live(by)

    def go_live(self, by=None) -> None:
        repository.sign(self.state, self.signers if by is None else by)
        for name, data in repository.promote(self.state, self.online, self.now):
            self.files[f"metadata/{name}"] = data

    def refresh(self) -> None:
        for name, data in repository.refresh(self.state, self.online, self.now):
            self.files[f"metadata/{name}"] = data

    def resign(self, role: str, by) -> None:
        """Sign a role's live metadata with just these keys, and everything above it with the online key; serve it."""
        metadata = self.state.live(role)
        metadata.signatures.clear()
        for key in by:
            metadata.sign(key, append=True)
        self.put_all()

    def forge_up(self) -> None:
        """Let snapshot and timestamp follow what the state holds now, signed with the online key."""
        for name, data in repository.refresh(self.state, self.online, self.now, snapshot=True):
            self.files[f"metadata/{name}"] = data
        self.put_all()

    # The server

    def _fetch(self, url: str):
        assert url.startswith(BASE + "/"), url
        path = url.removeprefix(BASE + "/")
        self.fetched.append(path)
        if path not in self.files:
            raise DownloadHTTPError("not there", 404)
        data = self.files[path]
        return iter([data[i : i + 4096] for i in range(0, len(data), 4096)])

    # The subscriber

    def feed(self, folder):
        pinned = folder / "root.json"
        if not pinned.exists():
            pinned.write_bytes(self.root)
        return SimpleNamespace(name="hotline", url=BASE, root=pinned)

    def subscribe(self, folder) -> Subscription:
        return Subscription(self.feed(folder), folder / "state", fetcher=self)
