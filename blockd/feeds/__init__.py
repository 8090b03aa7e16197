"""Signed lists: the subscriber's half (:mod:`~blockd.feeds.client`), the publisher's (:mod:`~blockd.feeds.driver`), the formats.

``blockd.feeds.client(metadata_dir, url)`` is a TUF client with ``init``, ``refresh`` and ``download``; it is loaded when it is first named, since most
roles need only the types.
"""

from __future__ import annotations

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    if name == "client":
        return importlib.import_module("blockd.feeds.client")
    raise AttributeError(name)
