from __future__ import annotations

import pytest

from blockd.dns.udp.server import Workers


@pytest.fixture
def misses_come_up(monkeypatch):
    """Native threads forward nothing: every miss goes to the driver."""
    monkeypatch.setattr(Workers, "follow", lambda *_: None)
