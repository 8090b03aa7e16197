"""Each of the publisher's verbs killed between any two of its writes: subscribers read the old or the new, and the next verb finishes."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from pathlib import Path

from blockd.errors import BlockdError, Refused
from blockd.feeds import store
from tests.feeds.conftest import Publisher


class Killed(BaseException):
    """Nothing in the package catches this: the nearest thing in one process to the kill of it."""


class Killer:
    """Lets `after` writes through, then dies before the next one (just after a write is just before the next)."""

    def __init__(self, monkeypatch, after: int) -> None:
        self.left, self.fired = after, False
        for name in ("replace", "sync_folder"):
            monkeypatch.setattr(store, name, self.wrap(getattr(store, name)))
        monkeypatch.setattr(Path, "unlink", self.wrap_unlink(Path.unlink))

    def step(self, do):
        if self.fired:
            return None  # the process is gone: nothing it would have done in a `finally` happens
        if self.left == 0:
            self.fired = True
            raise Killed
        self.left -= 1
        return do()

    def wrap(self, function):
        return lambda *args: self.step(lambda: function(*args))

    def wrap_unlink(self, function):
        def unlink(path, missing_ok=False):
            if path.suffix == ".tmp":
                return None if self.fired else function(path, missing_ok=missing_ok)
            return self.step(lambda: function(path, missing_ok=missing_ok))

        return unlink


def killed_at_every_step(monkeypatch, make, act, check):
    """Run `act` on a fresh `make()` killed before write 0, 1, ... until it gets through; `check` after each."""
    for after in itertools.count():
        publisher = make(str(after))
        with monkeypatch.context() as patch:
            killer = Killer(patch, after)
            with contextlib.suppress(Killed):
                act(publisher)
        check(publisher, killer.fired)
        if not killer.fired:
            assert after > 4, "it does not write: nothing was tested"
            break


def maker(tmp_path, prepare):
    template = Publisher(tmp_path / "template")
    template.home.mkdir()
    prepare(template)

    def make(name):
        home = tmp_path / name
        shutil.copytree(template.home, home)
        return Publisher(home)

    return make


def test_publish_killed_at_every_step(tmp_path, monkeypatch):
    def prepare(publisher):
        publisher.init().publish(text="old.example\n")

    def check(publisher, fired):
        assert publisher.seen() in {(1, "old.example\n"), (2, "new.example\n")}
        outcome = publisher.publish(text="newest.example\n")
        assert outcome.roles[0].live
        version, text = publisher.seen()
        assert (version in {2, 3}, text) == (True, "newest.example\n")
        assert not list((publisher.repo / "staged").glob("*"))

    killed_at_every_step(monkeypatch, maker(tmp_path, prepare), lambda p: p.publish(text="new.example\n"), check)


def test_publish_of_a_new_list_killed_at_every_step(tmp_path, monkeypatch):
    def prepare(publisher):
        publisher.init().publish(text="old.example\n")

    def check(publisher, fired):
        assert publisher.seen() == (1, "old.example\n")
        assert publisher.seen("fresh") in {None, (1, "new.example\n")}
        publisher.refresh()  # what the timer does: finishes, or there is nothing to finish
        if publisher.seen("fresh") is None:
            publisher.publish("fresh", "new.example\n")
        assert publisher.seen("fresh") == (1, "new.example\n")

    killed_at_every_step(monkeypatch, maker(tmp_path, prepare), lambda p: p.publish("fresh", "new.example\n"), check)


def test_cosign_killed_at_every_step(tmp_path, monkeypatch):
    def prepare(publisher):
        publisher.init().send_away(2, 3)
        publisher.publish()

    def check(publisher, fired):
        assert publisher.seen() in {None, (1, "casino.example\n")}
        if publisher.seen() is None:
            try:
                publisher.cosign(2)
            except Refused as refused:
                assert refused.reason == "nothing"  # the command's first act was to finish the killed one
        assert publisher.seen() == (1, "casino.example\n")

    killed_at_every_step(monkeypatch, maker(tmp_path, prepare), lambda p: p.cosign(2), check)


def test_rotation_killed_at_every_step(tmp_path, monkeypatch):
    def prepare(publisher):
        publisher.init().publish(text="old.example\n")

    def check(publisher, fired):
        # Subscribers, those who were there before and new ones, read at any moment.
        assert publisher.seen()[1] == "old.example\n"
        assert publisher.publish(text="new.example\n").roles[0].live
        assert publisher.seen()[1] == "new.example\n"

    def act(publisher):
        publisher.rotate("signers", replace=["1"])

    killed_at_every_step(monkeypatch, maker(tmp_path, prepare), act, check)


def test_rotation_of_the_online_key_killed_at_every_step(tmp_path, monkeypatch):
    def prepare(publisher):
        publisher.init().publish(text="old.example\n")

    def check(publisher, fired):
        assert publisher.seen() == (1, "old.example\n")
        try:
            publisher.publish(text="new.example\n")
        except BlockdError as error:
            raise AssertionError(f"not finished: {error}") from error
        assert publisher.seen() == (2, "new.example\n")

    killed_at_every_step(monkeypatch, maker(tmp_path, prepare), lambda p: p.rotate("online"), check)


def test_a_rotation_without_the_old_online_key_killed_at_every_step(tmp_path, monkeypatch):
    def prepare(publisher):
        publisher.init().publish(text="old.example\n")
        (publisher.keys / "online.pem").unlink()

    def check(publisher, fired):
        # Killed before the root was staged, the new key is nobody's; a person rotates again. What was published meanwhile is not lost.
        if not publisher.publish(text="new.example\n").roles[0].live:
            publisher.rotate("online")
        assert publisher.seen() == (2, "new.example\n")

    killed_at_every_step(monkeypatch, maker(tmp_path, prepare), lambda p: p.rotate("online"), check)
