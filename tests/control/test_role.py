"""What a role does before and beside its service. The whole of it runs in tests/control/test_supervisor.py and tests/system."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys

import pytest

from blockd.control import channel
from blockd.control.role import Role, handed_sockets, newest_good, service_for
from blockd.errors import Misconfigured
from blockd.table.store import make_key
from tests.control.feeds import config
from tests.control.test_recovery import Node as Store


def test_sockets_are_taken_by_key():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        taken = handed_sockets({"BLOCKD_SOCKETS": json.dumps({"tcp x": listener.fileno()})})
        assert taken["tcp x"].getsockname() == listener.getsockname()
        assert taken["tcp x"].getblocking() is False
        taken["tcp x"].detach()


def test_without_a_generation_there_is_none(tmp_path):
    assert newest_good(tmp_path) is None


def test_a_damaged_current_is_not_used(tmp_path, caplog):
    make_key(tmp_path)
    (tmp_path / "generations" / "3").mkdir(parents=True)
    (tmp_path / "generations" / "3" / "table.blkt").write_bytes(b"damaged")
    (tmp_path / "current").symlink_to("generations/3")
    assert newest_good(tmp_path) is None
    assert "is not used" in caplog.text


def test_a_generation_that_is_not_recorded_is_never_fallen_back_to(tmp_path, few_rails):
    """Control died between building generation 3 and recording it; generation 2, the current one, is damaged."""
    store = Store(tmp_path)
    for number, recorded in ((1, True), (2, True), (3, False)):
        store.add(number, record=recorded, current=recorded)
    store.damage(2)
    live = newest_good(tmp_path)
    assert live is not None
    assert live.number == 1
    live.table.close()
    store.recorder.close()


async def test_a_role_that_starts_slowly_is_not_silent(tmp_path, monkeypatch):
    """The supervisor kills what gives no sign of life; control may have much to finish before it is ready."""
    said = asyncio.Event()

    class Slow:
        async def start(self, *_):
            await said.wait()

        async def drain(self, _):
            pass

    monkeypatch.setattr("blockd.control.role.service_for", lambda _: Slow())
    monkeypatch.setattr("blockd.control.role.load", lambda _: config(tmp_path, "a"))
    ours, theirs = channel.pair()
    with ours, theirs:
        task = asyncio.create_task(Role("control", tmp_path, {}, theirs).run())
        verbs = []
        while verbs != ["alive"]:
            await asyncio.sleep(0)
            with contextlib.suppress(BlockingIOError):
                verbs.append(channel.receive(ours)[0]["verb"])
        said.set()
        while verbs[-1] != "ready":
            await asyncio.sleep(0)
            with contextlib.suppress(BlockingIOError):
                verbs.append(channel.receive(ours)[0]["verb"])
        ours.close()
        assert await task == 0


def test_an_unknown_role():
    with pytest.raises(Misconfigured, match="roles are control, resolver, web"):
        service_for("dancer")


def test_a_role_does_not_start_by_itself():
    done = subprocess.run(
        [sys.executable, "-m", "blockd.control.role", "web", "x.toml"],
        env={"BLOCKD_SUPERVISOR": "1", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
