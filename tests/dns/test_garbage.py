"""The collector of garbage: set aside at the start, looked at in quiet, put back at the end."""

from __future__ import annotations

import gc

from blockd.dns.garbage import FULL_AFTER, FULL_EVERY_TICKS, QUIET_MAX, Collector


class Node:
    """Something that only the collector can free."""

    freed = 0

    def __init__(self) -> None:
        self.own = self

    def __del__(self) -> None:
        Node.freed += 1


def test_what_is_there_at_the_start_is_set_aside_and_given_back():
    before = gc.get_threshold()
    collector = Collector()
    collector.settle()
    assert gc.get_freeze_count() > 1000
    assert gc.get_threshold()[2] == FULL_AFTER
    collector.settle()  # again is no harm
    collector.release()
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == before
    collector.release()


def test_everything_is_looked_at_in_quiet_alone():
    collector = Collector()
    collector.settle()
    try:
        Node.freed = 0
        Node()
        gc.collect(1)
        assert Node.freed == 1, "the young are collected as ever"
        old = Node()
        gc.collect(1)
        del old
        for _ in range(2 * FULL_EVERY_TICKS):
            collector.tick(QUIET_MAX + 1)
        assert Node.freed == 1
        collector.tick(QUIET_MAX)
        assert Node.freed == 2
    finally:
        collector.release()
