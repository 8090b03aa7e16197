from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from blockd.config.schema import Admin, Config, Dns, Endpoint, StopPage
from blockd.control.sockets import ROLES, Wanted, address_of, addresses, bind_missing, orphans, spread, usable_cores, wanted
from blockd.errors import Unavailable

ANY = Endpoint("127.0.0.1", 0)
FIRST = "udp 127.0.0.1:0"


def config(**kwargs) -> Config:
    return Config(
        path=Path("blockd.toml"),
        dns=Dns(listen=(ANY, Endpoint("::1", 0))),
        stop_page=StopPage(listen=(ANY,)),
        admin=Admin(listen=(ANY,)),
        **kwargs,
    )


@pytest.fixture
def closing():
    """Sockets put into it are closed at the end."""
    made = {}
    yield made
    for sock in made.values():
        sock.close()


def keys(threads, have=()):
    return [w.key for w in wanted(config(), ("resolver",), threads, have)]


def test_each_role_gets_its_own():
    assert keys(1) == [FIRST, "tcp 127.0.0.1:0", "udp [::1]:0", "tcp [::1]:0"]
    assert {w.role for w in wanted(config(), ROLES, 1)} == set(ROLES)


def test_each_thread_has_a_socket_of_each_udp_address():
    assert keys(3)[:4] == [FIRST, f"{FIRST} #1", f"{FIRST} #2", "tcp 127.0.0.1:0"]
    assert keys(3)[4:] == ["udp [::1]:0", "udp [::1]:0 #1", "udp [::1]:0 #2", "tcp [::1]:0"]
    assert len(keys(usable_cores())) == 2 * usable_cores() + 2


def test_with_fewer_threads_the_sockets_stay():
    """What waits in a closed socket would be lost."""
    assert keys(1, have=keys(3)) == keys(3)
    assert f"{FIRST} #2" not in keys(1, have=[FIRST, f"{FIRST} #2"]), "a gap ends them"


def test_udp_and_tcp_share_the_port_that_the_kernel_chose(closing):
    listeners = wanted(config(), ROLES, 1)
    closing.update(made := bind_missing(listeners, {}))
    assert made[FIRST].getsockname()[1] == made["tcp 127.0.0.1:0"].getsockname()[1] != 0
    assert made["tcp 127.0.0.1:0"].proto == socket.IPPROTO_TCP
    assert address_of(made["udp [::1]:0"]).startswith("[::1]:")
    port = made["tcp 127.0.0.1:0"].getsockname()[1]
    assert addresses(made)[:2] == [f"udp 127.0.0.1:{port}", f"tcp 127.0.0.1:{port}"]
    assert not bind_missing(listeners, made), "a listener that is there is not bound again"


@pytest.mark.parametrize("threads", [2, 4, 64])
def test_the_sockets_of_an_address_share_its_port_and_are_one_line(closing, threads):
    closing.update(made := bind_missing(wanted(config(), ("resolver",), threads), {}))
    ports = {made[key].getsockname()[1] for key in made if "127.0.0.1" in key}
    assert len(ports) == 1
    assert len(made) == 2 * threads + 2
    assert len(addresses(made)) == 4


def test_a_socket_for_one_more_thread_joins_those_that_are_there(closing):
    closing.update(bind_missing(wanted(config(), ("resolver",), 1), {}))
    made = bind_missing(wanted(config(), ("resolver",), 2), closing)
    assert list(made) == [f"{FIRST} #1", "udp [::1]:0 #1"]
    assert made[f"{FIRST} #1"].getsockname() == closing[FIRST].getsockname()
    closing.update(made)


def received(sockets):
    """How many datagrams wait in each, by key."""
    found = {}
    for key, sock in sockets.items():
        while sock.type == socket.SOCK_DGRAM:
            try:
                sock.recv(100)
            except BlockingIOError:
                break
            found[key] = found.get(key, 0) + 1
    return found


def ask(sockets, times=200):
    """Each from a port of its own, with an ID of its own."""
    for number in range(times):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(number.to_bytes(2, "big") + bytes(15), sockets[FIRST].getsockname())


def test_the_kernel_spreads_datagrams_over_all_sockets(closing):
    closing.update(bind_missing(wanted(config(), ("resolver",), 4), {}))
    spread(closing, 4)
    ask(closing)
    counts = received(closing)
    assert len(counts) == 4
    assert sum(counts.values()) == 200
    assert min(counts.values()) > 10


def test_sockets_too_many_get_nothing_new_and_lose_nothing_that_they_hold(closing):
    closing.update(bind_missing(wanted(config(), ("resolver",), 4), {}))
    ask(closing)
    spread(closing, 2)
    ask(closing, 100)
    counts = received(closing)
    assert sum(counts.values()) == 300
    ask(closing)
    assert received(closing) == {FIRST: 100, f"{FIRST} #1": 100}
    spread(closing, 3)
    ask(closing)
    assert set(received(closing)) == {FIRST, f"{FIRST} #1", f"{FIRST} #2"}
    spread(closing, 4)
    ask(closing)
    assert len(received(closing)) == 4, "all are used again"


def test_a_new_socket_can_be_kept_idle_until_its_thread_is_there(closing):
    closing.update(bind_missing(wanted(config(), ("resolver",), 1), {}))
    closing.update(bind_missing(wanted(config(), ("resolver",), 2), closing))
    spread(closing, 1)
    ask(closing, 50)
    assert received(closing) == {FIRST: 50}


def test_a_datagram_too_short_for_an_id_goes_to_the_first(closing):
    closing.update(bind_missing(wanted(config(), ("resolver",), 3), {}))
    spread(closing, 2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for size in (0, 1):
            client.sendto(bytes(size), closing[FIRST].getsockname())
    assert received(closing) == {FIRST: 2}


@pytest.mark.parametrize("theirs", [1, 2], ids=["one thread", "two threads"])
@pytest.mark.parametrize("ours", [1, 2], ids=["one thread", "two threads"])
def test_a_second_blockd_on_the_same_port_is_refused(closing, theirs, ours):
    """With SO_REUSEPORT alone both would run, each with half of the queries."""
    closing.update(bind_missing(wanted(config(), ("resolver",), theirs), {}))
    port = closing[FIRST].getsockname()[1]
    mine = Config(path=Path("blockd.toml"), dns=Dns(listen=(Endpoint("127.0.0.1", port),)))
    with pytest.raises(Unavailable, match=rf"udp 127\.0\.0\.1:{port} is in use: "):
        bind_missing(wanted(mine, ("resolver",), ours), {})


def test_a_stranger_that_would_share_the_port_is_in_the_way(closing):
    """Another program that has set SO_REUSEPORT would be given a share of the queries."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        stranger.bind(("127.0.0.1", 0))
        port = stranger.getsockname()[1]
        mine = Config(path=Path("blockd.toml"), dns=Dns(listen=(Endpoint("127.0.0.1", port),)))
        with pytest.raises(Unavailable, match="is in use"):
            bind_missing(wanted(mine, ("resolver",), 2), {})


def test_with_one_thread_no_program_can_join(closing):
    closing.update(bind_missing(wanted(config(), ("resolver",), 1), {}))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with pytest.raises(OSError, match="in use"):
            stranger.bind(closing[FIRST].getsockname())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_users_socket_cannot_be_joined_and_the_line_says_what_to_do(closing):
    closing.update(bind_missing(wanted(config(), ("resolver",), 1), {}))
    code = (
        "import os, socket, sys\nfrom pathlib import Path\nfrom blockd.config.schema import Config, Dns, Endpoint\n"
        "from blockd.control.sockets import bind_missing, wanted\nfrom blockd.errors import Unavailable\n"
        "first = socket.socket(fileno=int(sys.argv[1])); os.setuid(65534)\n"
        "asked = wanted(Config(path=Path('x'), dns=Dns(listen=(Endpoint('127.0.0.1', 0),))), ('resolver',), 2)\n"
        "try:\n    bind_missing(asked, {'udp 127.0.0.1:0': first, 'tcp 127.0.0.1:0': first})\nexcept Unavailable as error:\n    print(error)\n"
    )
    fd = closing[FIRST].fileno()
    done = subprocess.run([sys.executable, "-c", code, str(fd)], pass_fds=[fd], capture_output=True, text=True, check=True)
    assert "another user" in done.stdout
    assert "restart blockd" in done.stdout


def test_sockets_whose_first_is_gone_are_told_apart():
    assert orphans(dict.fromkeys([FIRST, f"{FIRST} #1", "udp [::1]:0 #1", "tcp [::1]:0"])) == ["udp [::1]:0 #1"]


def test_a_port_in_use_is_one_line_and_leaves_nothing_bound(closing):
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
    closing.update(bind_missing(listeners[:1], {}))


def test_an_address_of_another_machine():
    with pytest.raises(Unavailable, match="does not have that address"):
        bind_missing([Wanted("web", "stop_page", Endpoint("192.0.2.1", 0))], {})
