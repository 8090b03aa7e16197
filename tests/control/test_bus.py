from __future__ import annotations

import asyncio

import pytest

from blockd.control import lines
from blockd.control.bus import Bus
from blockd.errors import Unavailable


class FakeRole:
    """The other end, by hand."""

    def __init__(self, path, generation=0, role="resolver"):
        self.path, self.generation, self.role = path, generation, role

    async def __aenter__(self):
        self.reader, self.writer = await asyncio.open_unix_connection(str(self.path))
        await self.say({"verb": "hello", "role": self.role, "pid": 7, "generation": self.generation})
        return self

    async def say(self, message):
        await lines.send(self.writer, message)

    async def hear(self):
        return await asyncio.wait_for(lines.receive(self.reader), 3)

    async def __aexit__(self, *_):
        self.writer.close()


@pytest.fixture
async def bus(tmp_path):
    bus = Bus()
    await bus.start(tmp_path / "roles.sock", 3)
    bus.path = tmp_path / "roles.sock"
    yield bus
    await bus.stop()


async def settled(bus, count):
    while len(bus.peers()) != count:
        await asyncio.sleep(0.01)


async def test_everyone_confirms(bus):
    async with FakeRole(bus.path, 3) as a, FakeRole(bus.path, 3, "web") as b:
        await settled(bus, 2)
        telling = asyncio.create_task(bus.apply(4))
        for role in (a, b):
            assert await role.hear() == {"verb": "apply", "generation": 4}
            await role.say({"verb": "applied", "generation": 4, "error": ""})
        assert await telling == []
        assert [p.generation for p in bus.peers()] == [4, 4]


async def test_who_cannot_serve_it_is_named_with_the_reason(bus):
    async with FakeRole(bus.path, 3) as a:
        await settled(bus, 1)
        telling = asyncio.create_task(bus.apply(4))
        await a.hear()
        await a.say({"verb": "applied", "generation": 4, "error": "the header is damaged"})
        assert await telling == ["resolver: the header is damaged"]
        assert bus.peers()[0].generation == 3


async def test_a_role_that_dies_meanwhile_does_not_hold_the_update(bus):
    async with FakeRole(bus.path, 3) as a:
        await settled(bus, 1)
        telling = asyncio.create_task(bus.apply(4))
        await a.hear()
        a.writer.close()
        assert await asyncio.wait_for(telling, 3) == []
    await settled(bus, 0)


async def test_a_role_that_comes_back_behind_is_told_at_once(bus):
    async with FakeRole(bus.path, 2) as a:
        assert await a.hear() == {"verb": "apply", "generation": 3}
        await a.say({"verb": "applied", "generation": 3, "error": ""})
        while bus.peers()[0].generation != 3:
            await asyncio.sleep(0.01)


async def test_a_question_is_answered(bus):
    async with FakeRole(bus.path, 3) as a:
        await settled(bus, 1)
        asking = asyncio.create_task(bus.request("resolver", "upstreams", {"x": 1}))
        heard = await a.hear()
        assert (heard["name"], heard["arguments"]) == ("upstreams", {"x": 1})
        await a.say({"verb": "answer", "id": heard["id"], "value": {"y": 2}})
        assert await asking == {"y": 2}


async def test_nobody_to_ask(bus):
    with pytest.raises(Unavailable, match="does not run"):
        await bus.request("web", "anything", {})


@pytest.mark.parametrize("first", [b"\n", b"[]\n", b'{"verb":"health"}\n', b'{"verb":"hello"}\n'])
async def test_a_stranger_is_shown_out(bus, first):
    reader, writer = await asyncio.open_unix_connection(str(bus.path))
    writer.write(first)
    assert await asyncio.wait_for(reader.read(), 3) == b""
    writer.close()
    assert bus.peers() == ()
