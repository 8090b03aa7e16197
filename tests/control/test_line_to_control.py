from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from blockd.config.schema import Config
from blockd.control.bus import Bus
from blockd.control.line_to_control import SOCKET, LineToControl
from blockd.control.service import Health
from blockd.errors import Refused, Unavailable


class Quiet:
    """A service that only says how it is."""

    def __init__(self) -> None:
        self.served: list[int] = []

    def health(self) -> Health:
        return Health(ready=True, listen={"udp": ["127.0.0.1:53"]})

    async def apply(self, live) -> None:
        self.served.append(live.number)

    async def request(self, verb, arguments):
        if verb != "echo":
            raise Refused("verb", "no such verb")
        return arguments


@pytest.fixture
async def line(tmp_path: Path):
    service = Quiet()
    config = Config(path=tmp_path / "blockd.toml", state_dir=tmp_path, runtime_dir=tmp_path)
    task = asyncio.create_task(LineToControl("resolver", config, service, 0).run())
    yield tmp_path, service
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(true) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.01)


async def test_it_reports_and_comes_back_when_control_does(line):
    folder, _ = line
    for _ in range(2):  # control may come and go
        bus = Bus()
        await bus.start(folder / SOCKET, 0)
        await until(lambda bus=bus: bus.peers() and bus.peers()[0].health)
        assert bus.peers()[0].health["listen"] == {"udp": ["127.0.0.1:53"]}
        assert await bus.request("resolver", "echo", {"a": 1}) == {"a": 1}
        with pytest.raises(Unavailable, match="no such verb"):
            await bus.request("resolver", "dance", {})
        await bus.stop()


async def test_a_generation_that_is_not_there_is_not_served_and_says_why(line):
    folder, service = line
    bus = Bus()
    await bus.start(folder / SOCKET, 0)
    await until(bus.peers)
    said = await bus.apply(9)
    assert len(said) == 1
    assert said[0].startswith("resolver: ")
    assert service.served == []
    await bus.stop()
