"""The client against a socket that misbehaves; against the real one it is tests/control/test_admin_socket.py."""

from __future__ import annotations

import socket
import threading

import pytest

from blockd.admin import client
from blockd.errors import Refused, Unavailable


@pytest.fixture
def server(tmp_path):
    """Answers one connection with the given octets, and closes."""
    path = tmp_path / "admin.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    threads = []

    def answer(data: bytes):
        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(data)

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        return path

    yield answer
    for thread in threads:
        thread.join(5)
    listener.close()


def test_an_answer(server):
    assert client.call(server(b'{"ready":true}\n'), "status") == {"ready": True}


def test_a_no_keeps_its_word(server):
    with pytest.raises(Refused) as refused:
        client.call(server(b'{"error":"say why","reason":"usage"}\n'), "kill")
    assert (str(refused.value), refused.value.reason) == ("say why", "usage")


@pytest.mark.parametrize("data", [b"", b'{"ready"', b"[]\n", b"\xff\xfe\n", b"7\n"])
def test_anything_else_is_one_line(server, data):
    with pytest.raises(Unavailable) as unavailable:
        client.call(server(data), "status")
    assert "\n" not in str(unavailable.value)


def test_an_endless_answer(server, monkeypatch):
    monkeypatch.setattr(client, "ANSWER_MAX_BYTES", 1000)
    with pytest.raises(Unavailable, match="longer"):
        client.call(server(b"x" * 5000), "status")
