"""Skipping a step does not type-check, and making a stage by hand does not run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from blockd.control import stages
from blockd.control.judge import ADMITTED, Judgement
from blockd.control.sources import Placement
from blockd.errors import Corrupt, Refused
from blockd.terms import ListName, Result
from tests.control.test_sources import source

A = ListName("f/a")
ROOT = Path(__file__).resolve().parents[2]


def built(**changes):
    values = {
        "number": 1,
        "directory": Path("1"),
        "placements": {A: Placement(source())},
        "changed": frozenset({A}),
        "entries": 1,
        "table_sha256": "ab",
    }
    return stages.built(**{**values, **changes})


def test_each_step_leads_to_the_next():
    recorded = stages.recorded(stages.admitted(stages.checked(built(), "ab"), {A: ADMITTED}), 7)
    assert (recorded.built.number, recorded.index) == (1, 7)


def test_a_table_that_is_not_what_was_written_is_not_checked():
    with pytest.raises(Corrupt, match="generation 1"):
        stages.checked(built(), "ac")


@pytest.mark.parametrize("judgements", [{}, {ListName("f/b"): ADMITTED}, {A: Judgement(Result.CHANGE_CAP, "too much")}])
def test_a_change_that_was_not_found_fit_is_not_admitted(judgements):
    with pytest.raises(Refused, match="f/a") as error:
        stages.admitted(stages.checked(built(), "ab"), judgements)
    assert error.value.reason == "held"


def test_a_stage_is_not_made_by_hand():
    checked = stages.checked(built(), "ab")
    for forged in (object(), stages._Seal()):
        with pytest.raises(AssertionError, match="its step alone"):
            stages.Admitted(checked, forged)  # type: ignore[arg-type]
        with pytest.raises(AssertionError, match="its step alone"):
            stages.Recorded(None, 1, forged)  # type: ignore[arg-type]


SKIPS = {
    "built straight to current": "def f(g: Generations, b: stages.Built) -> None: g.activate(b)",
    "checked straight to current": "def f(g: Generations, c: stages.Checked) -> None: g.activate(c)",
    "admitted, not recorded": "def f(g: Generations, a: stages.Admitted) -> None: g.activate(a)",
    "recorded, not admitted": "def f(c: stages.Checked) -> stages.Recorded: return stages.recorded(c, 1)",
    "admitted, not checked": "def f(b: stages.Built) -> stages.Admitted: return stages.admitted(b, {})",
    "verified straight to checked": "def f(v: Verified) -> stages.Checked: return stages.checked(v, '')",
}


def test_skipping_a_step_does_not_type_check(tmp_path):
    good = "def f(g: Generations, r: stages.Recorded) -> None: g.activate(r)"
    head = "from blockd.control import stages\nfrom blockd.control.generations import Generations\nfrom blockd.feeds.verified import Verified\n"
    names = {f"skip{i}.py": code for i, code in enumerate([good, *SKIPS.values()])}
    for name, code in names.items():
        (tmp_path / name).write_text(head + code + "\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(ROOT / ".mypy_cache"), "--config-file", "", *(str(tmp_path / n) for n in names)],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    wrong = {Path(line.split(":", 1)[0]).name for line in done.stdout.splitlines() if "[arg-type]" in line}
    assert wrong == set(names) - {"skip0.py"}, done.stdout
