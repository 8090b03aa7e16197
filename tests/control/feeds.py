"""A feed without a network: lists in memory, signed by nobody, handed out as if verified. What TUF does is tested in tests/feeds."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

from blockd.config.schema import Config, Feed, ListPolicy, MaxChange
from blockd.errors import Refused, Unavailable
from blockd.feeds.verified import ListMeta, Verified
from blockd.terms import Action, Basis, Category, Format, Instant, ListName, Mode

FAR = Instant(4e9)


def meta(**changes) -> ListMeta:
    values = {
        "format": Format.DOMAINS, "basis": Basis.OPERATOR, "category": Category.GAMBLING, "action": Action.NXDOMAIN, "secret": False, "canary": None,
    }  # fmt: skip
    return ListMeta(**{**values, **changes})


@dataclass
class Published:
    version: int
    text: bytes
    meta: ListMeta
    expires: Instant = FAR


@dataclass
class FakeFeed:
    """``feed.publish("a", "casino.example\\n")``"""

    folder: Path
    lists: dict[str, Published] = field(default_factory=dict)
    fails: Exception | None = None
    refreshed: int = 0

    def publish(self, name: str, text: str | bytes, *, version: int | None = None, expires: Instant = FAR, **changes) -> int:
        data = text.encode() if isinstance(text, str) else text
        old = self.lists.get(name)
        number = version or (old.version + 1 if old else 1)
        self.lists[name] = Published(number, data, meta(**changes), expires)
        return number

    def refresh(self, now: Instant) -> None:
        self.refreshed += 1
        if self.fails:
            raise self.fails

    def download(self, name: ListName) -> Verified:
        short = name.partition("/")[2]
        if short not in self.lists:
            raise Refused("fetch", f"the feed has no list {short}")
        item = self.lists[short]
        digest = hashlib.sha256(item.text).hexdigest()
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / digest
        path.write_bytes(item.text)
        return Verified(name, item.version, item.meta, path, digest, len(item.text), item.expires, 2)

    def kept(self, before: Verified) -> Verified:
        path = self.folder / before.sha256
        if not path.exists():
            raise Unavailable("gone")
        return replace(before, path=path, length=path.stat().st_size)

    def content(self, verified: Verified) -> bytes:
        return verified.path.read_bytes()


def config(home: Path, *names: str, **policy) -> Config:
    lists = tuple(ListPolicy(name=ListName(f"f/{name}"), **{"mode": Mode.ENFORCE, "max_change": MaxChange(), **policy}) for name in names)
    feed = Feed(name="f", url="https://feed.example/", root=home / "root.json")
    return Config(path=home / "blockd.toml", state_dir=home / "state", runtime_dir=home / "run", feeds=(feed,), lists=lists)


def rows(*numbers: int) -> str:
    return "".join(f"n{i}.example\n" for i in numbers)
