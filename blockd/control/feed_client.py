"""A feed as the updater uses it: refresh, download, and the plain octets of what was downloaded."""

from __future__ import annotations

import hashlib
import mmap
from dataclasses import replace
from typing import TYPE_CHECKING

from blockd.errors import Misconfigured, Unavailable
from blockd.feeds.client import Subscription
from blockd.feeds.secret import decrypt

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from blockd.config.schema import Config, Feed
    from blockd.feeds.verified import Verified
    from blockd.terms import Instant


class SubscribedFeed:
    """A feed of the configuration. Implements :class:`blockd.control.candidates.FeedClient`."""

    def __init__(self, feed: Feed, config: Config) -> None:
        self._feed = feed
        self._subscription = Subscription(feed, config.state_dir, allow_http=feed.url.startswith("http://"))

    def refresh(self, now: Instant) -> None:
        """Fetch and verify the metadata. Raises Refused, Unavailable, Misconfigured."""
        self._subscription.refresh(now)

    def download(self, name: str) -> Verified:
        """The newest version, on the disk. Raises Refused, Unavailable."""
        return self._subscription.download(name)

    def kept(self, before: Verified) -> Verified:
        """A version that was downloaded, and its signatures verified, before, while its file is on the disk, whole. Raises Unavailable."""
        path = self._subscription.folder / "targets" / before.name.rpartition("/")[2] / before.sha256
        try:
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != before.sha256:
                    raise Unavailable(f"the file of {before.name} that was kept is damaged")
                return replace(before, path=path, length=file.tell())
        except OSError as error:
            raise Unavailable(f"the file of {before.name} is not kept any more: {error.strerror}") from None

    def content(self, verified: Verified) -> Buffer:
        """Its plain octets. A secret list's exist in this process's memory and nowhere else. Raises Refused, Misconfigured, OSError."""
        with verified.path.open("rb") as file:
            if verified.meta.secret:
                return decrypt(file, self._identity())
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if verified.length else b""

    def _identity(self) -> str:
        path = self._feed.identity
        if path is None:
            raise Misconfigured(f"feed {self._feed.name} has a secret list: name this gateway's age identity in its `identity`")
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, ValueError):
            raise Misconfigured(f"feed {self._feed.name}: its age identity cannot be read: check `identity` and the file's owner") from None
