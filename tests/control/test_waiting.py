from __future__ import annotations

import logging

from blockd.control.steps import NO_STEPS
from blockd.control.waiting import Waiting
from tests.control.test_sources import source


def test_what_waits_survives_a_restart_and_the_newest_counts(tmp_path):
    waiting = Waiting(tmp_path, NO_STEPS)
    waiting.put(source(version=3))
    waiting.put(source(version=4))
    waiting.put(source("g/b", version=1))
    again = Waiting(tmp_path, NO_STEPS)
    assert {name: item.version for name, item in again.sources.items()} == {"f/a": 4, "g/b": 1}
    again.forget(source().name)
    again.forget(source().name)
    assert set(Waiting(tmp_path, NO_STEPS).sources) == {"g/b"}


def test_a_damaged_file_costs_a_download(tmp_path, caplog):
    Waiting(tmp_path, NO_STEPS).put(source())
    (tmp_path / "held" / "f" / "a.json").write_bytes(b"{")
    with caplog.at_level(logging.WARNING):
        assert not Waiting(tmp_path, NO_STEPS).sources
    assert "fetched again" in caplog.text
    assert not list(tmp_path.rglob("*.json"))
