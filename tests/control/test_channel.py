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


@pytest.mark.parametrize(("count", "records"), [(0, 1), (1, 1), (channel.DESCRIPTORS_MAX, 1), (channel.DESCRIPTORS_MAX + 1, 2)])
def test_more_sockets_than_a_record_carries_come_in_several(count, records):
    ours, theirs = channel.pair()
    with socket.socket() as one:
        channel.send_sockets(ours, {"verb": "reload"}, {f"udp x #{n}": one for n in range(count)})
    got, more = {}, []
    for _ in range(records):
        message, sockets = channel.receive(theirs)
        assert message["verb"] == "reload"
        got.update(zip(message["keys"], sockets, strict=True))
        more.append(message["more"])
    assert list(got) == [f"udp x #{n}" for n in range(count)]
    assert more == [True] * (records - 1) + [False]
    for sock in got.values():
        sock.close()
    ours.close()
    theirs.close()
