"""A node of one process for a test: an updater on a fake feed, with a clock that a test moves."""

from __future__ import annotations

from blockd.control.pipeline import Workers
from blockd.control.updater import Updater
from blockd.names import parse_domain
from blockd.table.lookup import name_matches
from blockd.table.store import open_current
from blockd.terms import ListName
from tests.control.feeds import FakeFeed, config

A, B = ListName("f/a"), ListName("f/b")


class Clock:
    now = 1_800_000_000.0

    def __call__(self):
        return self.now


class Node:
    def __init__(self, home, *names, **policy):
        self.home = home
        self.feed = FakeFeed(home / "feed")
        self.config = config(home, *(names or ("a",)), **policy)
        self.clock = Clock()
        self.told, self.late, self.used, self.expected = [], [], set(), []
        self.updater = None

    def start(self):
        workers = Workers(lambda n: (self.told.append(n), self.late)[1], lambda: self.used, self.expected.append)
        self.updater = Updater(self.config, open_feed=lambda *_: self.feed, workers=workers, clock=self.clock)
        self.updater.recover()
        return self

    def restart(self):
        self.updater.close()
        return self.start()

    def update(self, *names):
        return self.updater.update([ListName(n) for n in names] or None)

    def blocks(self, name):
        live = open_current(self.config.state_dir, verify=True)
        try:
            return bool(live and name_matches(live, parse_domain(name).wire))
        finally:
            if live:
                live.table.close()

    @property
    def state(self):
        return self.updater.state()

    def list(self, name=A):
        return next(item for item in self.state.lists if item.name == name)

    def events(self, name=None):
        return [e.event for e in self.updater._recorder._log.entries() if name is None or e.list == name]

    def alarms(self):
        return [alarm.code for alarm in self.state.alarms]
