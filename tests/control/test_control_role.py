"""The control role in this process, over its own sockets. With its real neighbours it is in tests/system."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace
from functools import partial

import pytest

from blockd.admin.client import call
from blockd.audit.record import Event
from blockd.config.schema import Admin
from blockd.control.admin_socket import path_of
from blockd.control.server import Control
from blockd.control.updater import Updater
from blockd.counts.slab import Slab
from blockd.errors import Refused
from tests.control.feeds import FakeFeed, config, rows

pytestmark = pytest.mark.usefixtures("few_rails")


@pytest.fixture
async def control(tmp_path, monkeypatch):
    feed = FakeFeed(tmp_path / "feed")
    feed.publish("a", rows(1, 2))
    monkeypatch.setattr("blockd.control.server.Updater", partial(Updater, open_feed=lambda *_: feed))
    made = replace(config(tmp_path, "a"), admin=Admin(listen=()))
    made.runtime_dir.mkdir()
    service = Control()
    await service.start(made, {}, Slab.in_memory(), None)
    service.feed, service.config = feed, made
    yield service
    await service.drain(1.0)


async def ask(control, verb, **arguments):
    return await asyncio.to_thread(call, path_of(control.config), verb, 20.0, **arguments)


async def test_what_people_ask_of_it(control):
    said = await ask(control, "update", lists=["f/a"])
    assert said["outcomes"][0]["ok"]
    status = await ask(control, "status")
    assert (status["generation"], status["lists"][0]["state"], status["audit"]["size"] > 0) == (1, "live", True)
    assert status["audit"]["origin"].startswith("blockd/")
    control.feed.publish("a", rows(*range(200)))
    assert (await ask(control, "update"))["outcomes"][0]["result"] == "change_cap"
    assert (await ask(control, "approve", list="f/a", reason="r"))["outcomes"][0]["version"] == 2
    assert (await ask(control, "rollback", list="f/a", reason="r"))["outcomes"][0]["version"] == 1
    assert (await ask(control, "resume", list="f/a", reason="r"))["outcomes"][0]["ok"]
    assert (await ask(control, "kill", list="f/a", reason="r", seconds=60))["outcomes"][0]["generation"] == 4
    assert (await ask(control, "status"))["lists"][0]["mode"] == "off"
    assert (await ask(control, "hold", list="f/a", reason="r"))["outcomes"][0]["ok"]


async def test_a_key_that_others_can_read_is_an_alarm_until_they_cannot(control, caplog):
    key = control.config.state_dir / "table.key"
    for mode, there in ((0o644, True), (0o644, True), (0o600, False)):
        key.chmod(mode)
        control._look_at_keys()
        alarms = (await ask(control, "status"))["alarms"]
        assert ({"code": "keys", "text": f"{key}: others can read it: chmod 600 {key}"} in alarms) is there
    assert caplog.text.count("others can read it") == 1


@pytest.mark.parametrize(
    ("verb", "arguments", "reason"),
    [
        ("update", {"lists": ["f/unknown"]}, "usage"),
        ("hold", {"list": "f/a"}, "usage"),
        ("hold", {"list": "f/a", "reason": "  "}, "usage"),
        ("hold", {"list": "f/a", "reason": "x" * 5000}, "usage"),
        ("hold", {"list": None, "reason": "x"}, "usage"),
        ("kill", {"list": "f/a", "reason": "x"}, "usage"),
        ("kill", {"list": "f/a", "reason": "x", "seconds": -1}, "usage"),
        ("kill", {"list": "f/a", "reason": "x", "seconds": 1e12}, "usage"),
        ("approve", {"list": "f/a", "reason": "x"}, "nothing"),
        ("rollback", {"list": "f/a", "reason": "x"}, "nothing"),
        ("resume", {"list": "f/a", "reason": "x"}, "nothing"),
        ("nonsense", {}, "unknown"),
    ],
)
async def test_what_it_refuses(control, verb, arguments, reason):
    with pytest.raises(Refused) as error:
        await ask(control, verb, **arguments)
    assert error.value.reason == reason
    assert "\n" not in str(error.value)


async def test_the_loop_answers_while_an_update_runs(control):
    await ask(control, "update")
    loop, running = asyncio.get_running_loop(), asyncio.Event()
    held = asyncio.Event()

    def slow(now):
        loop.call_soon_threadsafe(running.set)
        asyncio.run_coroutine_threadsafe(held.wait(), loop).result(20)

    control.feed.refresh = slow
    update = asyncio.create_task(ask(control, "update"))
    await running.wait()
    assert (await ask(control, "status"))["generation"] == 1
    held.set()
    assert (await update)["outcomes"][0]["ok"]


async def test_an_update_is_looked_for_without_being_asked(control):
    async with asyncio.timeout(20):
        while control._updater.state().table.generation != 1:
            await asyncio.sleep(0.01)


async def test_what_is_held_is_in_the_record_with_a_pseudonym(control):
    await ask(control, "hold", list="f/a", reason="zq7 private words")
    entry = next(e for e in control._updater._recorder._log.entries() if e.event is Event.HOLD)
    assert entry.actor.startswith("op-")
    text = (control.config.state_dir / "audit" / "entries.jsonl").read_text()
    assert "zq7" not in text
    assert '"root"' not in text


BUG = """
import asyncio, sys
from pathlib import Path
from blockd.control import logs, server
from blockd.counts.slab import Slab
from blockd.config.schema import Admin, Config

def bug(self):
    raise AssertionError("zq7 a value that must not be logged")

async def main():
    home = Path(sys.argv[1])
    (home / "run").mkdir()
    server.Updater.tick = bug
    control = server.Control()
    await control.start(Config(path=home / "c", state_dir=home / "state", runtime_dir=home / "run", admin=Admin(listen=())), {}, Slab.in_memory(), None)
    await asyncio.sleep(20)

logs.set_up("control")
asyncio.run(main())
"""


def test_a_bug_in_its_schedule_ends_it_instead_of_leaving_it_idle(tmp_path):
    done = subprocess.run([sys.executable, "-c", BUG, str(tmp_path)], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 70, done.stderr
    assert "AssertionError" in done.stderr
    assert "zq7" not in done.stderr
    assert "Traceback" not in done.stderr
