from __future__ import annotations

import socket

from blockd.cli.demo_upstream import ADDRESS, DemoUpstream
from blockd.cli.probe import ask


def test_every_name_has_one_address_and_garbage_is_survived():
    with DemoUpstream() as up:
        door = ("127.0.0.1", up.port)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for garbage in (b"", b"\0" * 5, b"\xff" * 512):
                s.sendto(garbage, door)
        assert ask(door, "any.name.example").addresses == (ADDRESS,)
        assert ask(door, "any.name.example", "HTTPS").answers == 0
