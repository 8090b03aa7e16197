"""A step that goes wrong ends the walk and says which and why. The whole walk is tests/cli/test_demo.py."""

from __future__ import annotations

import pytest

from blockd.cli.demo_walk import Walk, WalkFailed
from blockd.errors import Unavailable


def test_a_step_that_is_right_is_one_line(capsys):
    def step() -> str:
        """Something is done."""
        return "well"

    walk = Walk(demo=None)
    walk._take(step)
    assert walk.steps == 1
    assert capsys.readouterr().out.startswith("ok  1  Something is done ")


def test_a_step_that_is_wrong_names_itself():
    def step() -> str:
        """Something is done."""
        raise Unavailable("nobody answers")

    walk = Walk(demo=None)
    with pytest.raises(WalkFailed, match="Something is done: nobody answers"):
        walk._take(step)
    assert walk.steps == 0
