"""For the commands' tests: a node with a generation in force, and a daemon that is a script."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from blockd.control.updater import Updater
from blockd.terms import Action, Basis, Category, Format, Instant, ListName, Result
from tests.control.feeds import FakeFeed
from tests.control.feeds import config as updater_config

NOW = 1_790_000_000.0


@dataclass
class Node:
    """``node.publish("a", "casino.example\\n")``, ``node.enforce()``."""

    home: Path
    feed: FakeFeed

    @property
    def config(self) -> Path:
        return self.home / "blockd.toml"

    def publish(self, name: str, text: str, **changes) -> None:
        kinds = {"format": Format, "basis": Basis, "category": Category, "action": Action}
        self.feed.publish(name, text, **{key: kinds[key](value) if key in kinds else value for key, value in changes.items()})

    def enforce(self, extra: str = "") -> None:
        """Bring every published list into force, and write the configuration that names them."""
        with self._updater() as updater:
            assert {outcome.result for outcome in updater.update()} <= {Result.APPLIED, Result.NOT_MODIFIED}
        self.write(list(self.feed.lists), extra)

    def kill(self, name: str) -> None:
        """Switch a list off for an hour."""
        with self._updater() as updater:
            assert updater.kill(ListName(f"f/{name}"), Instant(NOW + 3600), "root", "a test").ok

    @contextmanager
    def _updater(self):
        updater = Updater(updater_config(self.home, *self.feed.lists), open_feed=lambda *_: self.feed, clock=lambda: NOW)
        updater.recover()
        yield updater
        updater.close()

    def write(self, names, extra: str = "") -> None:
        (self.home / "root.json").write_text('{"signed": {"_type": "root"}}')
        lists = "".join(f'[[lists]]\nname = "f/{name}"\nmode = "enforce"\n' for name in names)
        self.config.write_text(
            f'state_dir = "state"\nruntime_dir = "run"\n[dns]\nupstreams = ["udp://198.51.99.53"]\n{extra}\n'
            f'[[feeds]]\nname = "f"\nurl = "https://feed.example"\nroot = "root.json"\n{lists}'
        )


@pytest.fixture
def node(tmp_path, monkeypatch):
    monkeypatch.setattr("blockd.control.candidates.rails", lambda *_: b"")  # ten thousand suffixes say nothing here
    return Node(tmp_path, FakeFeed(tmp_path / "feed"))


class Daemon:
    """Answers the control socket from a script: verb -> answer; keeps what it was asked."""

    def __init__(self, path: Path, answers: dict[str, object]) -> None:
        self.answers = answers
        self.asked: list[dict] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        while True:
            peer, _ = self._socket.accept()
            with peer, peer.makefile("rwb") as stream:
                line = stream.readline()
                if line == b"":
                    return
                message = json.loads(line)
                self.asked.append(message)
                answer = self.answers[message["verb"]]
                stream.write(answer if isinstance(answer, bytes) else json.dumps(answer).encode() + b"\n")

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(self._socket.getsockname())
        self._thread.join()
        self._socket.close()
