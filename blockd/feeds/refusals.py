"""What tuf raises, turned into what a caller can act on: a closed set of reasons, and a sentence that says what to do next.

No URL, path or text of the other side is repeated: a message ends up on a console and in a record.
"""

from __future__ import annotations

from blockd.errors import Refused, Unavailable
from blockd.feeds import roles
from blockd.feeds.metadata import (
    BadVersionNumberError,
    DeserializationError,
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    UnsignedMetadataError,
)


def refused(error: Exception) -> Refused | Unavailable:
    """Turn what tuf raises into what a caller can act on."""
    return _download(error) if isinstance(error, DownloadError) else _repository(error)


def _download(error: DownloadError) -> Refused | Unavailable:
    if isinstance(error, DownloadLengthMismatchError):
        return Refused("fetch", "the server sends more than the signed metadata allows: ask the publisher, or use another mirror")
    if isinstance(error, DownloadHTTPError):
        if error.status_code in {401, 403}:
            return Refused(
                "fetch", f"the server does not let us in (status {error.status_code}): check client_certificate, client_key and token_file"
            )
        if error.status_code in {404, 410}:
            return Refused("fetch", f"a file of the feed is not there (status {error.status_code}): check url, or ask the publisher")
        return Unavailable(f"{error}: it is tried again")
    said = str(error)
    return Unavailable(f"{'the download failed' if not said or said.startswith('Failed to download') else said}: it is tried again")


def _repository(error: Exception) -> Refused:
    if isinstance(error, ExpiredMetadataError):
        return Refused(
            "expired",
            f"{_role(error)} has expired: the publisher must sign it again (or this machine's clock is wrong); the last good version stays",
        )
    if isinstance(error, UnsignedMetadataError):
        return Refused("signature", f"{_role(error)} is not signed by enough of its signers: it is not the publisher's, or not finished")
    if isinstance(error, LengthOrHashMismatchError):
        return Refused("signature", "a file is not the one that was signed: the server or the way to it changed it; use another mirror")
    if isinstance(error, BadVersionNumberError) or "is missing info for" in str(error):
        return Refused(
            "rollback",
            "the feed's metadata is older than what was verified before, or its parts do not belong together: use another mirror",
        )
    if isinstance(error, DeserializationError):
        return Refused("shape", "the metadata is not TUF's: check url, or ask the publisher")
    return Refused("shape", "the metadata does not fit together: ask the publisher")


def _role(error: Exception) -> str:
    """Find the role that the library's message names; its messages begin or end with one."""
    for role in roles.TOP_ROLES:
        if role in str(error):
            return role
    return "a list's role"
