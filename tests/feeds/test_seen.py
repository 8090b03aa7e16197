from __future__ import annotations

from types import SimpleNamespace

import pytest

from blockd.errors import Corrupt, Refused
from blockd.feeds.seen import Seen


def version(number, sha256="aa", signers="s"):
    return SimpleNamespace(version=number, target=SimpleNamespace(hashes={"sha256": sha256}), signers=signers)


def test_versions_go_up_only():
    seen = Seen({})
    seen.check("a", version(5))
    assert seen.note("a", version(5))
    assert not seen.note("a", version(5))
    seen.check("a", version(5))
    seen.check("a", version(6))
    seen.check("b", version(1))
    for bad in (version(4), version(5, "bb")):
        with pytest.raises(Refused) as caught:
            seen.check("a", bad)
        assert caught.value.reason == "rollback"


def test_other_signers_begin_anew():
    seen = Seen({})
    seen.note("a", version(2**31))
    seen.check("a", version(1, signers="t"))


def test_it_is_read_as_it_was_written():
    seen = Seen({"a": (1, "aa", "s")})
    assert Seen.load(seen.dump()).dump() == seen.dump()


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"a":1}', b'{"a":[1,2]}', b'{"a":["x","y","z"]}', b"\xff"])
def test_damage(data):
    with pytest.raises(Corrupt):
        Seen.load(data)
