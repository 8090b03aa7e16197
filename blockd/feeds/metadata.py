"""TUF's metadata types and errors, as the rest of `feeds` names them: where the library is imported (its client apart).

``tuf.api.metadata`` is its public face but does not declare what it exports, which a strict type checker asks for; that is settled here, once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
    SlowRetrievalError,
    UnsignedMetadataError,
)
from tuf.api.metadata import (  # type: ignore[attr-defined]  # see above
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Role,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization import DeserializationError

from blockd.errors import Refused

if TYPE_CHECKING:
    S = TypeVar("S", Root, Timestamp, Snapshot, Targets)

AnyMetadata: TypeAlias = "Metadata[Any]"

__all__ = [
    "AnyMetadata",
    "BadVersionNumberError",
    "DelegatedRole",
    "Delegations",
    "DeserializationError",
    "DownloadError",
    "DownloadHTTPError",
    "DownloadLengthMismatchError",
    "ExpiredMetadataError",
    "LengthOrHashMismatchError",
    "MetaFile",
    "Metadata",
    "RepositoryError",
    "Role",
    "Root",
    "SlowRetrievalError",
    "Snapshot",
    "TargetFile",
    "Targets",
    "Timestamp",
    "UnsignedMetadataError",
    "read",
]


def read(kind: type[S], data: bytes) -> Metadata[S]:
    """Read metadata of one kind. Refused("shape") when the octets are no such thing."""
    try:
        metadata: Metadata[Any] = Metadata.from_bytes(data)
    except DeserializationError:
        raise Refused("shape", f"this is no TUF {kind.type} metadata") from None
    if not isinstance(metadata.signed, kind):
        raise Refused("shape", f"this is TUF {metadata.signed.type} metadata, not {kind.type}")
    return metadata
