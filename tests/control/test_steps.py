from __future__ import annotations

import pytest

from blockd.control.steps import NO_STEPS, Step, around


class Noted:
    def __init__(self):
        self.calls = []

    def before(self, step):
        self.calls.append(("before", step))

    def after(self, step):
        self.calls.append(("after", step))


def test_both_sides_of_a_step():
    steps = Noted()
    with around(steps, Step.TABLE):
        steps.calls.append("work")
    assert steps.calls == [("before", Step.TABLE), "work", ("after", Step.TABLE)]


def test_a_step_that_fails_has_no_after():
    steps = Noted()
    with pytest.raises(OSError, match="full"), around(steps, Step.TABLE):
        raise OSError("full")
    assert steps.calls == [("before", Step.TABLE)]


def test_the_daemon_does_nothing_there():
    with around(NO_STEPS, Step.CURRENT):
        pass
