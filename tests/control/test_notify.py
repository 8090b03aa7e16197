from __future__ import annotations

import os
import socket
import subprocess
import sys

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


def test_listeners_are_left_with_systemd_and_taken_over_by_the_next_process(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, socket.socket() as listener:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(2)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify.keep({"tcp 127.0.0.1:53": listener})
        data, fds, _, _ = socket.recv_fds(systemd, 1024, 4)
        state = dict(line.split("=", 1) for line in data.decode().splitlines())
        assert (state["FDSTORE"], len(fds)) == ("1", 1)
        assert ":" not in state["FDNAME"]
        notify.forget(["tcp 127.0.0.1:53"])
        assert systemd.recv(1024).decode() == f"FDSTOREREMOVE=1\nFDNAME={state['FDNAME']}"
        # The next process gets it as sd_listen_fds(3) says: from descriptor 3 on, names in the environment, meant for its PID alone.
        code = (
            "import os; os.environ['LISTEN_PID'] = str(os.getpid())\nfrom blockd.control import notify\n"
            "kept = notify.kept(); print({k: s.getsockname()[1] for k, s in kept.items()}, notify.kept())"
        )
        done = subprocess.run(
            ["bash", "-c", f'exec 3<&{fds[0]} 4<&{fds[0]}; exec "$@"', "bash", sys.executable, "-c", code],
            env={**os.environ, "LISTEN_FDS": "2", "LISTEN_FDNAMES": f"{state['FDNAME']}:stranger"},
            pass_fds=fds,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == f"{ {'tcp 127.0.0.1:53': listener.getsockname()[1]} } {{}}"
        os.close(fds[0])


def test_descriptors_meant_for_another_process_are_not_taken(monkeypatch):
    monkeypatch.setenv("LISTEN_PID", "1")
    monkeypatch.setenv("LISTEN_FDS", "1")
    assert notify.kept() == {}
