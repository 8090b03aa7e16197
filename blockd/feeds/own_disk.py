"""What the disk below a feed's state refuses: our own trouble, and nothing that the feed did."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from blockd.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

_ERRNO = re.compile(r"\[Errno \d+\] ([^:\[\]'\"]{1,100})")


class DiskRefuses(Unavailable):
    """Our own disk: full, read-only, or of another owner."""


@contextmanager
def own_disk(feed: str) -> Iterator[None]:
    """Turn what the disk refuses into DiskRefuses."""
    try:
        yield
    except OSError as error:
        raise DiskRefuses(
            f"feed {feed}: our own state cannot be read or written ({_why(error)}): check the disk and state_dir's owner"
        ) from error


def _why(error: OSError) -> str:
    """The system's word for it. A copy of a folder that fails (shutil.Error) has the errors of its files as text alone."""
    found = None if error.strerror else _ERRNO.search(str(error))
    return found[1] if found else error.strerror or type(error).__name__
