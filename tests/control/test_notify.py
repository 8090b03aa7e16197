from __future__ import annotations

import os
import socket

from blockd.control import notify


def test_states_reach_the_socket(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(2)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        assert notify.notify("READY=1", "STATUS=well")
        assert systemd.recv(100) == b"READY=1\nSTATUS=well"
        assert notify.reloading()
        assert systemd.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=")


def test_without_systemd_nothing_happens(monkeypatch, tmp_path):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify.notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    assert not notify.notify("READY=1")


def test_the_watchdog_is_fed_twice_as_often_as_asked(monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert notify.watchdog_s() == 15.0
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert notify.watchdog_s() is None
    monkeypatch.delenv("WATCHDOG_USEC")
    assert notify.watchdog_s() is None
