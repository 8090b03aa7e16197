from __future__ import annotations

import logging

from blockd.control.runs import Runs
from blockd.control.steps import NO_STEPS, Step
from blockd.terms import Instant, ListName, Result
from tests.control.test_crashes import Fails

A = ListName("f/a")


def test_figures_survive_a_restart(tmp_path):
    runs = Runs(tmp_path / "o.json", NO_STEPS)
    runs.note(A, Result.APPLIED, Instant(5.0), Instant(50.0))
    runs.note(A, Result.FETCH, Instant(6.0), None)
    runs.save()
    again = Runs(tmp_path / "o.json", NO_STEPS)
    assert again.histories == runs.histories
    assert again.expires() == {A: 50.0}


def test_a_damaged_file_costs_figures(tmp_path, caplog):
    (tmp_path / "o.json").write_bytes(b"\0\0\0")
    with caplog.at_level(logging.WARNING):
        assert not Runs(tmp_path / "o.json", NO_STEPS).histories
    assert "start again" in caplog.text


def test_a_full_disk_costs_figures(tmp_path):
    runs = Runs(tmp_path / "o.json", Fails(Step.OUTCOMES, "before"))
    runs.note(A, Result.APPLIED, Instant(5.0), None)
    runs.save()
    assert not (tmp_path / "o.json").exists()
