from __future__ import annotations

import socket

from tests.system.gateway import blockd


def test_a_bad_configuration_is_exit_2_and_every_fault_a_line(tmp_path):
    config = tmp_path / "blockd.toml"
    config.write_text('[dns]\nlisten = ["nonsense"]\nno_such_key = 1\nupstreams = ["udp://192.0.2.53"]\n')
    done = blockd("run", "-c", config, check=False)
    assert done.returncode == 2
    assert "blockd.toml:2" in done.stderr
    assert "blockd.toml:3" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_exit_1_and_one_line(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        config = tmp_path / "blockd.toml"
        config.write_text(
            f'state_dir = "state"\nruntime_dir = "run"\n[dns]\nlisten = ["127.0.0.1:0"]\nupstreams = ["udp://127.0.0.1:9"]\n'
            f'[stop_page]\nlisten = ["127.0.0.1:{port}"]\n[admin]\nlisten = ["127.0.0.1:0"]\n'
        )
        done = blockd("run", "-c", config, check=False)
    assert done.returncode == 1
    assert f"stop_page 127.0.0.1:{port} is in use" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_configuration_that_is_not_there(tmp_path):
    done = blockd("run", "-c", tmp_path / "none.toml", check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
