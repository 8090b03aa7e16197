from __future__ import annotations

import pytest

from blockd.errors import Corrupt, Refused, Unavailable
from blockd.terms import Instant, ListName
from tests.control.feeds import rows
from tests.control.node import A


def test_an_attempt_that_fails_is_an_alarm_and_a_line_once(node, caplog):
    force = node.start().updater._in_force
    for error, code in [
        (OSError(28, "No space left on device"), "disk"),
        (Corrupt("a table failed its check"), "update_failed"),
        (Unavailable("nobody there"), "update_failed"),
    ]:

        def work(error=error):
            raise error

        caplog.clear()
        assert not force.attempt(work)
        assert not force.attempt(work)
        assert code in force.trouble
        assert len(caplog.records) == 1
    assert force.attempt(lambda: None)
    assert "update_failed" not in force.trouble


def test_a_bug_is_not_swallowed(node):
    def bug():
        raise AssertionError("ours")

    with pytest.raises(AssertionError):
        node.start().updater._in_force.attempt(bug)


def test_versions(node):
    node.feed.publish("a", rows(1))
    force = node.start().updater._in_force
    assert force.version(A) is None
    node.update()
    assert force.version(A) == 1
    with pytest.raises(Refused, match="no earlier version"):
        force.version_before(A)
    node.feed.publish("a", rows(1, 2))
    node.update()
    assert force.version_before(A).version == 1
    with pytest.raises(Refused):
        force.version_before(ListName("f/none"))


def test_nothing_is_built_when_what_is_wanted_is_in_force(node):
    node.feed.publish("a", rows(1))
    node.start().update()
    force = node.updater._in_force
    assert not force.go_live({}, Instant(node.clock.now))
    assert force.number == 1


def test_confirmation_is_not_asked_for_all_the_time(node):
    node.late = ["web: x"]
    node.feed.publish("a", rows(1))
    node.start().update()
    force = node.updater._in_force
    for _ in range(5):
        force.confirm_when_due(Instant(node.clock.now))
    assert node.told == [1]
    force.confirm_when_due(Instant(node.clock.now + 10))
    assert node.told == [1, 1]
