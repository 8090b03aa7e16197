from __future__ import annotations

import pytest

from blockd.errors import Refused
from blockd.feeds import metadata
from blockd.feeds.metadata import Root, Targets, read
from tests.feeds.simulator import Simulator


def test_read():
    sim = Simulator()
    assert read(Root, sim.root).signed.version == 1


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_what_is_no_metadata(data):
    with pytest.raises(Refused) as caught:
        read(Targets, data)
    assert caught.value.reason == "shape"


def test_another_kind():
    with pytest.raises(Refused, match="not targets"):
        read(Targets, Simulator().root)


def test_all_that_is_exported_is_there():
    assert all(hasattr(metadata, name) for name in metadata.__all__ if name != "AnyMetadata")
