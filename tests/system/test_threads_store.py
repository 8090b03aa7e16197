"""A restart of the whole daemon under systemd: the sockets of all threads wait in its descriptor store, and no query is lost. The test plays systemd."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import socket
import subprocess
import threading
from typing import Self

import pytest

from tests.system.gateway import BLOCKD, Gateway, enforce
from tests.system.test_threads import Fire, sockets_on


class Store:
    """The other end of NOTIFY_SOCKET: what systemd keeps for the unit (sd_notify(3), FDSTORE)."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.kept: dict[str, int] = {}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._socket.settimeout(0.1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()
        for fd in self.kept.values():
            os.close(fd)

    def _run(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                data, fds, _, _ = socket.recv_fds(self._socket, 4096, 8)
                state = dict(line.split("=", 1) for line in data.decode().splitlines())
                name = state.get("FDNAME", "")
                if state.get("FDSTORE"):
                    self.drop(name)
                    self.kept[name] = fds[0]
                elif state.get("FDSTOREREMOVE"):
                    self.drop(name)

    def drop(self, name: str) -> None:
        if name in self.kept:
            os.close(self.kept.pop(name))

    @property
    def keys(self) -> set[str]:
        return {bytes.fromhex(name).decode() for name in self.kept}

    def start(self, gw: Gateway) -> None:
        """Start the daemon as systemd does: the descriptors from 3 on, their names beside them."""
        names = list(self.kept)
        at = [fcntl.fcntl(self.kept[name], fcntl.F_DUPFD, 100) for name in names]  # free ones, out of the way of the numbers that they get
        moves = " ".join(f"{3 + n}<&{fd}" for n, fd in enumerate(at))
        closes = " ".join(f"{fd}<&-" for fd in at)
        listen = {"LISTEN_FDS": str(len(names)), "LISTEN_FDNAMES": ":".join(names)}
        gw.output = (gw.home / "daemon.log").open("ab")
        gw.process = subprocess.Popen(
            ["bash", "-c", f'exec {moves} {closes}; export LISTEN_PID=$$; exec "$@"', "bash", *BLOCKD, "run", "-c", str(gw.config)],
            stdout=gw.output,
            stderr=subprocess.STDOUT,
            pass_fds=at,
            env={**os.environ, **listen, "NOTIFY_SOCKET": self.path},
        )
        for fd in at:
            os.close(fd)
        gw.wait_ready()


@pytest.fixture
def store(tmp_path):
    with Store(str(tmp_path / "notify")) as made:
        yield made


@pytest.fixture
def gw(tmp_path, store):
    gateway = Gateway(tmp_path, lists=enforce("gambling"), dns_extra='threads = "4"', environment={"NOTIFY_SOCKET": store.path})
    gateway.publisher.init()
    gateway.publisher.publish("gambling", "casino.example\n")
    with gateway:
        gateway.update()
        yield gateway


def restart(gw: Gateway, store: Store, threads: str, how: int = signal.SIGTERM) -> None:
    gw.config.write_text(re.sub(r'threads = "\w+"', f'threads = "{threads}"', gw.config.read_text()))
    if how == signal.SIGTERM:
        assert gw.stop() == 0
    else:
        gw.process.send_signal(how)
        gw.process.wait()
        gw.output.close()
    store.start(gw)


def test_restarts_with_the_same_more_and_fewer_threads_lose_no_query(gw, store):
    door = gw.door("udp")
    with Fire(door) as fire:
        for threads, sockets in (("4", 4), ("6", 6), ("2", 6), ("3", 6)):
            fire.more()
            restart(gw, store, threads)
            assert gw.door("udp") == door
            assert gw.status()["workers"] == {"threads": int(threads), "running": int(threads), "restarts": 0}
            assert sockets_on(door[1]) == sockets, "those too many stay: what waits in them would be lost"
        fire.more()
    fire.check()
    assert {key for key in store.keys if key.startswith("udp")} == {"udp 127.0.0.1:0", *(f"udp 127.0.0.1:0 #{n}" for n in range(1, 6))}


def test_sockets_whose_first_is_not_in_the_store_are_let_go(gw, store):
    """A store that was too small: the rest must not keep the address from being bound again."""
    gw.stop()
    store.drop(b"udp 127.0.0.1:0".hex())
    store.start(gw)
    assert gw.ask("casino.example").options[0].code == 16
    assert {key for key in store.keys if key.startswith("udp")} == {"udp 127.0.0.1:0", *(f"udp 127.0.0.1:0 #{n}" for n in range(1, 4))}
