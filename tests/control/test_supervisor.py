"""The supervisor with a real role (the stop page needs no list and no upstream): start, revive, reload, refuse, drain."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from blockd.control.supervisor import Supervisor
from tests.system.upstream import free_port


class Daemon:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(home / "notify"))
        self.notify.settimeout(10)
        self.write(self.port)
        self.log = (home / "log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "blockd", "run", "-c", str(home / "blockd.toml"), "--role", "web"],
            stderr=self.log,
            env={**os.environ, "NOTIFY_SOCKET": str(home / "notify"), "WATCHDOG_USEC": "1000000"},
        )
        self.wait_for("READY=1")

    def write(self, port: int, extra: str = "") -> None:
        text = 'state_dir = "state"\nruntime_dir = "run"\n[dns]\nlisten = ["127.0.0.1:0"]\nupstreams = ["udp://127.0.0.1:9"]\n'
        text += f'[stop_page]\nlisten = ["127.0.0.1:{port}"]\n{extra}'
        (self.home / "blockd.toml").write_text(text)

    def wait_for(self, state: str) -> None:
        end = time.monotonic() + 10
        while time.monotonic() < end:
            if state.encode() in self.notify.recv(4096).split(b"\n"):
                return
        raise AssertionError(f"{state} was not sent: {self.said()}")

    def said(self) -> str:
        return (self.home / "log").read_text()

    def answers(self, port: int) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return True
        except OSError:
            return False

    def child(self) -> int:
        return int(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0])

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()
        self.notify.close()


@pytest.fixture
def daemon(tmp_path):
    daemon = Daemon(tmp_path)
    yield daemon
    daemon.close()


def test_it_says_that_it_is_ready_feeds_the_watchdog_and_ends_clean(daemon):
    assert daemon.answers(daemon.port)
    first, second = daemon.said().splitlines()[:2]
    assert first.endswith(f"starts on stop_page 127.0.0.1:{daemon.port}")
    assert second == "INFO supervisor: ready: roles web run"
    daemon.wait_for("WATCHDOG=1")
    child = daemon.child()
    daemon.process.send_signal(signal.SIGTERM)
    daemon.wait_for("STOPPING=1")
    assert daemon.process.wait(20) == 0
    assert not Path(f"/proc/{child}").exists()
    assert not daemon.answers(daemon.port)


def test_a_role_that_is_killed_comes_back_on_the_same_socket(daemon):
    before = daemon.child()
    os.kill(before, signal.SIGKILL)
    # The supervisor still listens: this connection waits in the backlog for the next life of the role.
    assert daemon.answers(daemon.port)
    assert daemon.child() != before
    assert "role web ended (signal 9)" in daemon.said()
    assert daemon.stop() == 0


def test_a_role_dies_with_its_supervisor(daemon):
    child = daemon.child()
    daemon.process.kill()
    daemon.process.wait()
    end = time.monotonic() + 15
    while Path(f"/proc/{child}").exists() and Path(f"/proc/{child}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_reload_moves_a_listener(daemon):
    other = free_port()
    daemon.write(other)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for("READY=1")
    assert daemon.answers(other)
    assert not daemon.answers(daemon.port)
    assert daemon.stop() == 0


@pytest.mark.parametrize(
    ("extra", "said"),
    [("no_such_key = 1\n", "blockd.toml:8"), ('[run]\nuser = "nobody"\n', "restart it")],
    ids=["a fault", "a change that needs a restart"],
)
def test_a_bad_reload_is_refused_and_everything_goes_on(daemon, extra, said):
    child = daemon.child()
    daemon.write(daemon.port, extra)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for("READY=1")
    assert "is refused, the running one stays" in daemon.said()
    assert said in daemon.said()
    assert daemon.answers(daemon.port)
    assert daemon.child() == child
    assert daemon.stop() == 0


def test_a_reload_to_a_port_in_use_is_refused(daemon):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        daemon.write(taken.getsockname()[1])
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for("READY=1")
    assert "is in use" in daemon.said()
    assert daemon.answers(daemon.port)
    assert daemon.stop() == 0


async def test_a_role_that_cannot_be_started_now_is_tried_again(tmp_path, monkeypatch, caplog):
    """A machine out of memory or processes refuses the fork: the role must not stay away when there is room again."""
    (tmp_path / "blockd.toml").write_text('[dns]\nlisten = []\nupstreams = ["udp://127.0.0.1:9"]\n[admin]\nlisten = []\n')
    tried = []

    async def refused(*_, **__):
        tried.append(sum(1 for _ in Path("/proc/self/fd").iterdir()))
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr("blockd.control.supervisor.asyncio.create_subprocess_exec", refused)
    monkeypatch.setattr("blockd.control.supervisor.PAUSE_FIRST_S", 0.0)
    supervisor = Supervisor(tmp_path / "blockd.toml", "control")
    keeper = asyncio.create_task(supervisor._keep("control"))
    while len(tried) < 4:
        assert not keeper.done(), keeper.exception()
        await asyncio.sleep(0.001)
    supervisor._stopping.set()
    await keeper
    assert "it could not be started: Resource temporarily unavailable" in caplog.text
    assert tried[1] == tried[-1], "descriptors leak"


@pytest.mark.parametrize("part", ["_live", "_reload", "_watchdog"])
async def test_a_part_that_fails_by_a_bug_ends_it_with_a_line(tmp_path, monkeypatch, caplog, part):
    """It is started again by whoever started it, which is better than a supervisor that keeps nothing or hears no SIGHUP."""
    (tmp_path / "blockd.toml").write_text(
        'state_dir = "state"\nruntime_dir = "run"\n[dns]\nlisten = []\nupstreams = ["udp://127.0.0.1:9"]\n[stop_page]\nlisten = []\n'
        "[admin]\nlisten = []\n"
    )

    async def bug(*_):
        raise ValueError("a bug")

    async def rests(self, _):
        if part == "_reload":
            os.kill(os.getpid(), signal.SIGHUP)
        await self._stopping.wait()
        return "exit 0"

    monkeypatch.setattr("blockd.control.supervisor.hardening.no_dumps", lambda: None)
    monkeypatch.setattr(Supervisor, "_live", rests)
    monkeypatch.setattr(Supervisor, part, bug)
    with pytest.raises(ValueError, match="a bug"):
        await asyncio.wait_for(Supervisor(tmp_path / "blockd.toml", "web").run(), 10)
    assert caplog.text.count("a part of its supervisor failed") == 1
    assert "ValueError" in caplog.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_configuration_that_the_user_cannot_read_is_one_line(tmp_path):
    """As nobody, every role would fail to read the file, for ever."""
    tmp_path.chmod(0o755)
    (tmp_path / "blockd.toml").write_text(
        'state_dir = "state"\nruntime_dir = "run"\n[run]\nuser = "nobody"\n[dns]\nlisten = []\nupstreams = ["udp://127.0.0.1:9"]\n'
        '[stop_page]\nlisten = ["127.0.0.1:0"]\n'
    )
    (tmp_path / "blockd.toml").chmod(0o600)
    done = subprocess.run(
        [sys.executable, "-m", "blockd", "run", "-c", str(tmp_path / "blockd.toml"), "--role", "web"],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode in {1, 2}
    assert "Permission denied" in done.stderr
    assert "role web ended" not in done.stderr
