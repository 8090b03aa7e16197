from __future__ import annotations

import socket
from pathlib import Path

import pytest

from blockd.config.schema import Admin, Config, Dns, Endpoint, StopPage
from blockd.control.sockets import ROLES, Wanted, address_of, addresses, bind_missing, wanted
from blockd.errors import Unavailable

ANY = Endpoint("127.0.0.1", 0)


def config(**kwargs) -> Config:
    return Config(
        path=Path("blockd.toml"),
        dns=Dns(listen=(ANY, Endpoint("::1", 0))),
        stop_page=StopPage(listen=(ANY,)),
        admin=Admin(listen=(ANY,)),
        **kwargs,
    )


def closing(sockets):
    for sock in sockets.values():
        sock.close()


def test_each_role_gets_its_own():
    assert [w.key for w in wanted(config(), ("resolver",))] == ["udp 127.0.0.1:0", "tcp 127.0.0.1:0", "udp [::1]:0", "tcp [::1]:0"]
    assert {w.role for w in wanted(config(), ROLES)} == set(ROLES)


def test_udp_and_tcp_share_the_port_that_the_kernel_chose():
    made = bind_missing(wanted(config(), ROLES), {})
    assert made["udp 127.0.0.1:0"].getsockname()[1] == made["tcp 127.0.0.1:0"].getsockname()[1] != 0
    assert made["tcp 127.0.0.1:0"].proto == socket.IPPROTO_TCP
    assert address_of(made["udp [::1]:0"]).startswith("[::1]:")
    port = made["tcp 127.0.0.1:0"].getsockname()[1]
    assert addresses(made)[:2] == [f"udp 127.0.0.1:{port}", f"tcp 127.0.0.1:{port}"]
    assert not bind_missing(wanted(config(), ROLES), made), "a listener that is there is not bound again"
    closing(made)


def test_a_port_in_use_is_one_line_and_leaves_nothing_bound():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            spare = free.getsockname()[1]
        listeners = [Wanted("web", "stop_page", Endpoint("127.0.0.1", spare)), Wanted("web", "stop_page", Endpoint("127.0.0.1", port))]
        with pytest.raises(Unavailable, match=rf"stop_page 127\.0\.0\.1:{port} is in use: .*change") as error:
            bind_missing(listeners, {})
        assert "\n" not in str(error.value)
    again = bind_missing(listeners[:1], {})
    closing(again)


def test_an_address_of_another_machine():
    with pytest.raises(Unavailable, match="does not have that address"):
        bind_missing([Wanted("web", "stop_page", Endpoint("192.0.2.1", 0))], {})
