"""The newest version of each list that was handed out, so that none goes back. Decides; :mod:`blockd.feeds.client` keeps the file.

TUF protects the versions of a list's role through the snapshot (specification §5.5.5), as long as the snapshot itself is remembered. This is
the same promise once more, at the place where lists leave for the table; it is void when other keys may sign the list than did then, which
is how a publisher recovers from a stolen key that has run the numbers up.

The file is JSON: ``{LIST: [version, SHA-256 of the list's file, digest of who could sign it]}``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from blockd.errors import Corrupt, Refused

if TYPE_CHECKING:
    from blockd.feeds.shape import Current


class Seen:
    """What was handed out."""

    def __init__(self, versions: dict[str, tuple[int, str, str]]) -> None:
        """`versions`: list -> (version, SHA-256, signers)."""
        self._versions = versions

    @classmethod
    def load(cls, data: bytes) -> Seen:
        """Read the file. Corrupt when it is no such file."""
        try:
            return cls({str(name): (int(v), str(h), str(s)) for name, (v, h, s) in json.loads(data).items()})
        except (ValueError, TypeError, AttributeError):
            raise Corrupt("the record of versions is damaged") from None

    def dump(self) -> bytes:
        """Write the file's octets."""
        return json.dumps(self._versions, sort_keys=True).encode()

    def check(self, name: str, current: Current) -> None:
        """Refused("rollback") when a newer version of the list was handed out, or another file under the same number."""
        version, sha256, signers = self._versions.get(name, (0, "", ""))
        if signers != current.signers:
            return
        if current.version < version or (current.version == version and sha256 != current.target.hashes["sha256"]):
            raise Refused(
                "rollback",
                f"version {current.version} was served, but version {version} has been in use here: ask the publisher, or use another mirror",
            )

    def note(self, name: str, current: Current) -> bool:
        """Remember a version. True when that is news."""
        entry = (current.version, current.target.hashes["sha256"], current.signers)
        if self._versions.get(name) == entry:
            return False
        self._versions[name] = entry
        return True
