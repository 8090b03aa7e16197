from __future__ import annotations

import pytest

from blockd.errors import Refused, Unavailable
from blockd.feeds import metadata as m
from blockd.feeds.refusals import refused


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (m.DownloadLengthMismatchError("x"), "fetch"), (m.DownloadHTTPError("x", 401), "fetch"), (m.DownloadHTTPError("x", 404), "fetch"),
        (m.ExpiredMetadataError("timestamp.json is expired"), "expired"), (m.UnsignedMetadataError("x"), "signature"),
        (m.LengthOrHashMismatchError("x"), "signature"), (m.BadVersionNumberError("x"), "rollback"),
        (m.RepositoryError("New snapshot is missing info for 'a.json'"), "rollback"), (m.DeserializationError("x"), "shape"), (m.RepositoryError("x"), "shape"),
    ],
)  # fmt: skip
def test_reasons(error, reason):
    found = refused(error)
    assert isinstance(found, Refused)
    assert found.reason == reason


@pytest.mark.parametrize(
    "error",
    [
        m.DownloadError("the server cannot be reached"),
        m.SlowRetrievalError("x"),
        m.DownloadHTTPError("x", 503),
        m.DownloadError("Failed to download https://secret.example/x"),
    ],
)
def test_no_answer(error):
    found = refused(error)
    assert isinstance(found, Unavailable)
    assert "secret" not in str(found)


def test_messages_say_what_to_do():
    assert "timestamp" in str(refused(m.ExpiredMetadataError("timestamp.json is expired")))
    assert "client_certificate" in str(refused(m.DownloadHTTPError("x", 403)))
