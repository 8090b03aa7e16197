from __future__ import annotations

import socket

import pytest

from blockd.control import channel


def test_records_and_sockets_cross():
    ours, theirs = channel.pair()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        channel.send(ours, {"verb": "reload", "keys": ["tcp x"]}, [listener])
        message, sockets = channel.receive(theirs)
        assert message == {"verb": "reload", "keys": ["tcp x"]}
        assert sockets[0].getsockname() == listener.getsockname()
        assert sockets[0].getblocking() is False
        sockets[0].close()
    channel.send(theirs, {"verb": "ready"})
    channel.send(theirs, {"verb": "alive"})
    assert [channel.receive(ours)[0]["verb"] for _ in range(2)] == ["ready", "alive"]
    with pytest.raises(BlockingIOError):
        channel.receive(ours)
    theirs.close()
    assert channel.receive(ours) is None
    ours.close()
