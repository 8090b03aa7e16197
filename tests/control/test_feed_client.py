from __future__ import annotations

import hashlib
from dataclasses import replace

import pyrage
import pytest

from blockd.config.schema import Config, Feed
from blockd.control.feed_client import SubscribedFeed
from blockd.errors import Misconfigured, Refused, Unavailable
from blockd.feeds.secret import encrypt
from blockd.feeds.verified import Verified
from blockd.terms import Instant, ListName
from tests.control.feeds import meta


@pytest.fixture
def identity(tmp_path):
    made = pyrage.x25519.Identity.generate()
    path = tmp_path / "identity.txt"
    path.write_text(f"# made for a test\n{made}\n")
    return path, str(made.to_public())


def client(home, identity=None):
    feed = Feed(name="f", url=(home / "repo").as_uri(), root=home / "root.json", identity=identity)
    return SubscribedFeed(feed, Config(path=home / "c", state_dir=home / "state", feeds=(feed,)))


def verified(path, *, secret=False):
    return Verified(ListName("f/a"), 1, meta(secret=secret), path, "ab", path.stat().st_size, Instant(2e9), 2)


@pytest.mark.parametrize("data", [b"", b"casino.example\n"])
def test_an_open_list_is_read_as_published(tmp_path, data):
    path = tmp_path / "list"
    path.write_bytes(data)
    assert bytes(client(tmp_path).content(verified(path))) == data


def test_a_secret_list_is_opened_in_memory_alone(tmp_path, identity):
    path = tmp_path / "list"
    path.write_bytes(encrypt(b"zq7secret.example\n", [identity[1]]))
    assert client(tmp_path, identity[0]).content(verified(path, secret=True)) == b"zq7secret.example\n"
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and b"zq7secret" in p.read_bytes()]


def test_without_an_identity_the_fault_is_the_configurations(tmp_path, identity):
    path = tmp_path / "list"
    path.write_bytes(encrypt(b"x.example\n", [identity[1]]))
    with pytest.raises(Misconfigured, match="identity"):
        client(tmp_path).content(verified(path, secret=True))
    with pytest.raises(Misconfigured, match="cannot be read"):
        client(tmp_path, tmp_path / "missing").content(verified(path, secret=True))


def test_a_list_for_others_is_refused(tmp_path, identity):
    path = tmp_path / "list"
    path.write_bytes(encrypt(b"x.example\n", [str(pyrage.x25519.Identity.generate().to_public())]))
    with pytest.raises(Refused):
        client(tmp_path, identity[0]).content(verified(path, secret=True))


def test_a_feed_that_is_not_there(tmp_path):
    with pytest.raises((Misconfigured, Refused)):
        client(tmp_path).refresh(Instant(1_800_000_000.0))


def test_a_version_that_was_kept_is_handed_out_while_it_is_whole(tmp_path):
    data = b"casino.example\n"
    digest = hashlib.sha256(data).hexdigest()
    path = tmp_path / "state" / "feeds" / "f" / "targets" / "a" / digest
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    before = Verified(ListName("f/a"), 1, meta(), tmp_path, digest, 0, Instant(2e9), 2)
    assert client(tmp_path).kept(before) == replace(before, path=path, length=len(data))
    path.write_bytes(b"other.example\n")
    with pytest.raises(Unavailable, match="damaged"):
        client(tmp_path).kept(before)
    path.unlink()
    with pytest.raises(Unavailable, match="not kept any more"):
        client(tmp_path).kept(before)
