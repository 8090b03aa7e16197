"""The steps of an update run that touch the disk, by name, so that a test can make each of them fail or die.

Every durable step runs inside ``steps.around(Step.X)``. In the daemon that does nothing (:data:`NO_STEPS`). A test passes an object
whose `before` raises or kills the process (the step failed, or never began) or whose `after` does (the step has had its effect, and whoever asked
for it does not know): the two failures that every store knows. What each step leaves behind is said where it is taken, in `control/store.py`
and `control/updater.py`.
"""

from __future__ import annotations

from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


class Step(StrEnum):
    """In the order in which an update run takes them."""

    COMPILED = "compiled"  # a list version's compiled file
    HELD = "held"  # a version that waits for a person is remembered
    CELLS = "cells"  # counter cells are assigned
    TABLE = "table"  # the new table is written
    MANIFEST = "manifest"  # and what lies beside it
    RENAMED = "renamed"  # N.tmp is N
    CHECKED = "checked"  # it was read back
    RECORDED_LIST = "recorded_list"  # an entry about one list
    RECORDED = "recorded"  # the entry about the generation
    CURRENT = "current"  # the symlink moved
    TOLD = "told"  # every worker answers from it
    CONFIRMED = "confirmed"  # the entry that says so
    RELEASED = "released"  # a held version that went live is forgotten
    PRUNED = "pruned"  # old generations are gone
    OUTCOMES = "outcomes"  # how runs ended, for status


class Steps(Protocol):
    """What is called around each step."""

    def before(self, step: Step) -> None:
        """The step is about to begin."""

    def after(self, step: Step) -> None:
        """The step is durable."""


class NoSteps:
    """The daemon's: nothing happens."""

    def before(self, step: Step) -> None:
        """Nothing."""

    def after(self, step: Step) -> None:
        """Nothing."""


NO_STEPS = NoSteps()


@contextmanager
def around(steps: Steps, step: Step) -> Iterator[None]:
    """Take a step between both calls. An error inside is the step's own; `after` is then not called."""
    steps.before(step)
    yield
    steps.after(step)
