from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from blockd.admin.client import call
from blockd.config.schema import Admin, Config
from blockd.control.admin_socket import CALLER_CONNECTIONS_MAX, REQUEST_MAX_BYTES, AdminSocket, Caller
from blockd.errors import Misconfigured, Refused, Unavailable


@pytest.fixture
async def door(tmp_path):
    async def status(caller, message):
        return {"ready": True}

    async def update(caller, message):
        return {"list": message["list"], "who": caller.name}

    async def broken(caller, message):
        raise KeyError("secret.example")

    admin = AdminSocket({"status": status, "update": update, "approve": update, "kill": broken})
    await admin.listen(config(tmp_path))
    yield admin, tmp_path / "admin.sock"
    await admin.stop()


def config(folder: Path, **kwargs) -> Config:
    return Config(path=folder / "blockd.toml", runtime_dir=folder, admin=Admin(**kwargs))


async def test_a_command_and_its_answer(door):
    _, path = door
    assert await asyncio.to_thread(call, path, "status") == {"ready": True}
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert (await asyncio.to_thread(call, path, "update", list="a/b"))["list"] == "a/b"


async def test_an_unknown_command(door):
    with pytest.raises(Refused, match="does not know"):
        await asyncio.to_thread(call, door[1], "reboot")


async def test_a_bug_is_one_line_without_values(door, caplog):
    with pytest.raises(Refused) as refused:
        await asyncio.to_thread(call, door[1], "kill")
    assert refused.value.reason == "bug"
    assert "secret" not in str(refused.value) + caplog.text
    assert await asyncio.to_thread(call, door[1], "status") == {"ready": True}


@pytest.mark.parametrize(("verb", "allowed"), [("status", True), ("update", False), ("approve", False)])
async def test_a_viewer_may_only_look(door, verb, allowed):
    nobody = Caller(65534, 65534)
    if allowed:
        assert await door[0].answer(nobody, {"verb": verb}) == {"ready": True}
    else:
        with pytest.raises(Refused) as refused:
            await door[0].answer(nobody, {"verb": verb, "list": "a/b"})
        assert refused.value.reason == "forbidden"


async def test_roles_are_users_or_groups(door, tmp_path):
    admin, _ = door
    nobody = Caller(65534, 65534)
    await admin.listen(config(tmp_path, operators=("nogroup",), approvers=("root",)))
    assert await admin.answer(nobody, {"verb": "update", "list": "a/b"})
    with pytest.raises(Refused):
        await admin.answer(nobody, {"verb": "approve", "list": "a/b"})
    assert await admin.answer(Caller(0, 0), {"verb": "approve", "list": "a/b"})


@pytest.mark.parametrize("sent", [b"\xff\n", b"[]\n", b'{"verb":[]}\n', b"{}\n"])
async def test_bad_lines_get_an_error_and_the_next_one_is_answered(door, sent):
    reader, writer = await asyncio.open_unix_connection(str(door[1]))
    writer.write(sent + b'{"verb":"status"}\n')
    assert b'"error"' in await reader.readline()
    assert await reader.readline() == b'{"ready":true}\n'
    writer.close()


def test_no_daemon_is_one_line(tmp_path):
    with pytest.raises(Unavailable, match="does not run"):
        call(tmp_path / "admin.sock", "status")


async def test_a_path_that_the_kernel_does_not_take(tmp_path):
    with pytest.raises(Misconfigured, match="shorter"):
        await AdminSocket({}).listen(config(tmp_path, socket=tmp_path / ("x" * 120)))
    assert list(tmp_path.iterdir()) == []


async def test_one_user_cannot_take_all_connections(door, monkeypatch):
    """A script that leaks connections, or someone who means it, must not keep root from the kill switch."""
    admin, path = door
    uid = 1000
    monkeypatch.setattr("blockd.control.admin_socket.peer", lambda _: Caller(uid, uid))
    idle = [await asyncio.open_unix_connection(path) for _ in range(CALLER_CONNECTIONS_MAX)]
    while len(admin._open) < CALLER_CONNECTIONS_MAX:
        await asyncio.sleep(0)
    with pytest.raises(Refused, match="too many connections"):
        await asyncio.to_thread(call, path, "status")
    uid = 1001
    assert await asyncio.to_thread(call, path, "status") == {"ready": True}
    monkeypatch.setattr("blockd.control.admin_socket.CONNECTIONS_MAX", CALLER_CONNECTIONS_MAX)
    with pytest.raises(Refused, match="too many connections"):
        await asyncio.to_thread(call, path, "status")
    uid = 0
    assert await asyncio.to_thread(call, path, "status") == {"ready": True}
    for _, writer in idle:
        writer.close()
        await writer.wait_closed()
    while admin._open:
        await asyncio.sleep(0)


async def test_who_says_nothing_is_let_go(door, monkeypatch):
    monkeypatch.setattr("blockd.control.admin_socket.IDLE_S", 0.01)
    reader, writer = await asyncio.open_unix_connection(door[1])
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    await writer.wait_closed()


async def test_a_long_line_takes_no_more_memory_than_a_command_may(door):
    reader, writer = await asyncio.open_unix_connection(door[1])
    writer.write(b"x" * (4 * REQUEST_MAX_BYTES))
    assert b"over" in await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    await writer.wait_closed()


async def test_a_new_place_that_cannot_be_had_leaves_the_old_one(door, tmp_path):
    admin, path = door
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="cannot be made"):
        await admin.listen(config(tmp_path, socket=tmp_path / "file" / "admin.sock"))
    assert await asyncio.to_thread(call, path, "status") == {"ready": True}
    await admin.listen(config(tmp_path, socket=tmp_path / "other.sock"))
    assert await asyncio.to_thread(call, tmp_path / "other.sock", "status") == {"ready": True}
    assert not path.exists()


async def test_the_daemons_own_user_has_every_role(door, monkeypatch):
    """Whoever runs blockd without root can use it without naming themselves: the state is theirs to write anyway."""
    monkeypatch.setattr("os.geteuid", lambda: 65534)
    assert await door[0].answer(Caller(65534, 65534), {"verb": "approve", "list": "a/b"})
