"""One test for each row of the table in control/recovery.py."""

from __future__ import annotations

import errno
import os
import shutil

import pytest

from blockd.audit.record import Event
from blockd.control import stages
from blockd.control.judge import ADMITTED
from blockd.control.pipeline import BrokenList
from blockd.control.recorder import Recorder
from blockd.control.recovery import settle
from blockd.control.steps import NO_STEPS
from blockd.errors import Corrupt
from blockd.terms import Instant, ListName
from tests.control.test_generations import Store

A = ListName("f/a")
NOW = Instant(1000.0)


def impossible(*_):
    raise Corrupt("no compiled list is whole")


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Node(Store):
    def __init__(self, state_dir):
        super().__init__(state_dir)
        self.recorder = Recorder(state_dir / "audit", NO_STEPS)

    def add(self, number, *, current=True, record=True):
        checked = self.build(number, self.placement(A, f"n{number}.example", version=number))
        admitted = self.recorder.admit(checked, {A: ADMITTED})
        recorded = self.recorder.record(admitted, [], NOW) if record else stages.recorded(admitted, 0)
        if current:
            self.generations.activate(recorded)

    def damage(self, number):
        os.truncate(self.generations.directory(number) / "table.blkt", 99)

    def settle(self, rebuild=impossible):
        settled = settle(self.generations, self.recorder, rebuild, NOW)
        versions = [p.source.version for p in settled.placements.values()]
        return settled.number, versions, settled


@pytest.fixture
def node(tmp_path):
    made = Node(tmp_path)
    yield made
    made.recorder.close()


def test_nothing_yet(node):
    assert node.settle()[:2] == (0, [])


def test_whole_and_recorded(node):
    node.add(1)
    number, versions, settled = node.settle()
    assert (number, versions, settled.recorded, settled.finished, settled.damaged) == (1, [1], True, False, [])


def test_recorded_and_not_yet_current_is_finished(node):
    node.add(1)
    node.add(2, current=False)
    number, versions, settled = node.settle()
    assert (number, versions, settled.finished) == (2, [2], True)
    assert node.generations.current() == 2


@pytest.mark.parametrize("how", ["damaged", "gone"])
def test_recorded_and_damaged_is_abandoned_once(node, how):
    node.add(1)
    node.add(2, current=False)
    node.damage(2) if how == "damaged" else shutil.rmtree(node.generations.directory(2))
    assert node.settle()[:2] == (1, [1])
    assert [e.event for e in node.recorder._log.entries()][-1] is Event.ABANDONED
    size = node.recorder.size
    assert node.settle()[2].damaged == []
    assert node.recorder.size == size
    assert node.generations.next_number(node.recorder.levers.generation) == 3


def test_whole_and_not_recorded_stays_and_is_said_to_be(node):
    node.add(1, record=False)
    number, versions, settled = node.settle()
    assert (number, versions, settled.recorded) == (1, [1], False)


def test_damaged_falls_back_to_the_newest_good_one(node):
    for number in (1, 2, 3, 4):
        node.add(number)
    node.damage(4)
    node.damage(3)
    number, versions, settled = node.settle()
    assert (number, versions) == (2, [2])
    assert node.generations.current() == 2
    assert len(settled.damaged) == 5  # each of two: damaged, and not built again; then what is in force


def test_a_generation_that_nobody_recorded_is_never_fallen_back_to(node):
    node.add(1)
    node.add(2, record=False, current=False)
    node.add(3)
    node.damage(3)
    assert node.settle()[0] == 1


@pytest.mark.parametrize("link", ["generations/9", "/etc/passwd", "generations/../../etc"])
def test_a_link_that_leads_nowhere(node, link):
    node.add(1)
    (node.state_dir / "current").unlink()
    (node.state_dir / "current").symlink_to(link)
    assert node.settle()[0] == 1
    assert node.generations.current() == 1


def test_nothing_is_whole(node):
    node.add(1)
    node.damage(1)
    number, versions, settled = node.settle()
    assert (number, versions) == (0, [])
    assert settled.damaged


def test_a_forged_newer_table_under_a_recorded_number_is_refused(node):
    """Someone exchanges the table of the newest generation for an older, whole one."""
    node.add(1)
    node.add(2)
    shutil.copy(node.generations.directory(1) / "table.blkt", node.generations.directory(2) / "table.blkt")
    assert node.settle()[:2] == (1, [1])


def test_damaged_is_built_again_before_anything_older_is_taken(node):
    for number in (1, 2):
        node.add(number)
    node.damage(2)
    asked = []

    def rebuild(had, wanted):
        asked.append((had, wanted))
        return 3, wanted

    number, versions, settled = node.settle(rebuild)
    assert (number, versions, settled.recorded) == (3, [2], True)
    assert [(had == wanted, had[A].source.version) for had, wanted in asked] == [(True, 2)]
    assert "built again" in settled.damaged[-1]


@pytest.mark.parametrize("current", [True, False])
def test_a_full_disk_abandons_nothing(node, current):
    node.add(1)
    node.add(2, current=current)
    node.damage(2)
    for _ in range(2):
        number, versions, settled = node.settle(full)
        assert (number, versions) == (1, [1])
        assert settled.refused.errno == errno.ENOSPC
    assert node.settle(lambda _, wanted: (3, wanted))[:2] == (3, [2])


def test_a_list_that_is_damaged_too_is_taken_as_it_was_before(node):
    for number in (1, 2, 3):
        node.add(number)
    node.damage(3)
    asked = []

    def rebuild(had, wanted):
        asked.append((had[A].source.version, wanted[A].source.version))
        if wanted[A].source.version == 3:
            raise BrokenList(A, "damaged")
        return 4, wanted

    assert node.settle(rebuild)[:2] == (4, [2])
    assert asked == [(3, 3), (3, 2)]


def test_a_list_that_no_generation_has_whole(node):
    for number in (1, 2):
        node.add(number)
    node.damage(2)

    def rebuild(_, wanted):
        raise BrokenList(A, f"damaged in version {wanted[A].source.version}")

    number, versions, settled = node.settle(rebuild)
    assert (number, versions) == (1, [1])
    assert "no earlier version of f/a is kept" in " ".join(settled.damaged)
