from __future__ import annotations

import shutil

import pytest

from blockd.errors import Unavailable
from blockd.feeds.own_disk import DiskRefuses, own_disk


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (shutil.Error([("a", "b", "[Errno 30] Read-only file system: 'b'")]), "Read-only file system"),
        (OSError(), "OSError"),
    ],
)
def test_the_systems_word_is_said(error, why):
    with pytest.raises(DiskRefuses) as raised, own_disk("hotline"):
        raise error
    assert str(raised.value) == f"feed hotline: our own state cannot be read or written ({why}): check the disk and state_dir's owner"


def test_others_pass():
    with pytest.raises(Unavailable, match=r"^down$"), own_disk("hotline"):
        raise Unavailable("down")
