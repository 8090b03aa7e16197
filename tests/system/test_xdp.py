"""XDP end to end: the daemon in a network namespace, its program on a cable, a client at the other end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time

import dns.flags
import dns.message
import dns.rcode
import pytest

from blockd.kernel import driver
from tests.native.dns_tools import ask_for, check_soa, ede
from tests.system.gateway import blockd, enforce
from tests.system.netns import CLIENT4, OTHER4, SERVER4, SERVER6, Cable, inside
from tests.system.xdp_gateway import XdpGateway, need_bpf

BLOCKED = "casino.example\nexact.example\n"


@pytest.fixture(scope="module")
def cable():
    need_bpf()
    with Cable() as made:
        yield made


@pytest.fixture(scope="module", params=["native", "generic"])
def gateway(request, cable, tmp_path_factory):
    home = tmp_path_factory.mktemp(request.param)
    gw = XdpGateway(home, lists=enforce("gambling", extra='action = "nxdomain"'), cable=cable, mode=request.param)
    gw.publisher.init()
    gw.publisher.publish("gambling", BLOCKED)
    with gw:
        gw.update()
        yield gw


def counted(gateway, name, *labels):
    """The sum of a metric's series that have these labels."""
    rows = [row for row in gateway.metrics().splitlines() if row.startswith(f"blockd_{name}{{") and all(label in row for label in labels)]
    return sum(float(row.rsplit(" ", 1)[1]) for row in rows)


def test_status_proves_by_the_kernels_word_that_the_program_is_attached(gateway):
    shown = gateway.status()["xdp"]
    assert (shown["interface"], shown["mode"], shown["attached"], shown["services"]) == ("eth0", gateway.mode, True, 2)
    with inside(gateway.cable.server):
        assert driver.attached(socket.if_nametoindex("eth0")) == shown["program"] > 0
    assert f"xdp       eth0: {gateway.mode}, attached" in blockd("status", "-c", gateway.config).stdout
    assert f'blockd_xdp_attached{{mode="{gateway.mode}"}} 1.0' in gateway.metrics()


@pytest.mark.parametrize("server", [SERVER4, SERVER6])
def test_a_blocked_name_is_answered_without_user_space(gateway, server):
    """All processes of blockd but the role xdp are asleep, and the answer comes all the same."""
    query = ask_for("www.CaSino.example", "A", use_edns=0)
    pids = [row["pid"] for row in gateway.status()["roles"] if row["name"] == "resolver"]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        answer = gateway.cable.ask(query, to=server)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    assert answer.rcode() == dns.rcode.NXDOMAIN
    assert ede(answer) == 16
    check_soa(answer, query)


def test_what_is_allowed_goes_on_to_the_upstream(gateway):
    assert gateway.cable.ask(ask_for("www.good.example")).answer


def test_tcp_is_answered_by_user_space(gateway):
    assert gateway.cable.ask(ask_for("casino.example"), tcp=True).rcode() == dns.rcode.NXDOMAIN


def test_spoofed_source_outside_allow_from_gets_no_reflection(gateway):
    """The program lets it pass, and user space says REFUSED: nothing of the list is reflected."""
    answer = gateway.cable.ask(ask_for("casino.example"), source=OTHER4)
    assert answer.rcode() == dns.rcode.REFUSED
    assert not answer.authority


def test_the_kernels_counts_come_into_the_metrics(gateway):
    """Late by a second: the figures are looked at until all of them are there. A query that was asked twice counts twice, as a hit and as an answer."""

    def figures():
        return counted(gateway, "policy_hits_total"), counted(gateway, "dns_responses_total", 'source="policy"')

    for _ in range(20):
        gateway.cable.ask(ask_for("casino.example"))
    end = time.monotonic() + 5
    while (now := figures())[0] < 20 and time.monotonic() < end:
        time.sleep(0.1)
    assert now[0] == now[1] >= 20


def test_an_update_returns_when_the_program_answers_from_it_and_loses_no_query_under_fire(gateway):
    stop, sent, answered, seen = threading.Event(), [], set(), set()
    query = ask_for("casino.example").to_wire()

    def fire():
        with gateway.cable.udp() as sock:
            while not stop.is_set() and len(sent) < 60000:
                sent.append(len(sent))
                ask(sock, sent[-1])
            for extra in range(60001, 60020):  # wakes what veth holds back (netns.AGAIN)
                if answered >= set(sent):
                    break
                ask(sock, extra)

    def ask(sock, number):
        sock.sendto(number.to_bytes(2, "big") + query[2:], (SERVER4, 53))
        with contextlib.suppress(TimeoutError):
            answer = sock.recv(4096)
            answered.add(int.from_bytes(answer[:2], "big"))
            seen.add(dns.message.from_wire(answer).rcode())

    thread = threading.Thread(target=fire)
    thread.start()
    try:
        for number in range(3):
            gateway.publisher.publish("gambling", f"{BLOCKED}new{number}.example\n")
            gateway.update()
            answer = gateway.cable.ask(ask_for(f"new{number}.example"))
            assert answer.rcode() == dns.rcode.NXDOMAIN
    finally:
        stop.set()
        thread.join()
    assert answered >= set(sent)
    assert seen == {dns.rcode.NXDOMAIN}


def test_a_killed_role_takes_its_program_off_and_comes_back(gateway):
    (pid,) = (row["pid"] for row in gateway.status()["roles"] if row["name"] == "xdp")
    os.kill(pid, signal.SIGKILL)
    assert gateway.cable.ask(ask_for("casino.example"), source=CLIENT4).rcode() == dns.rcode.NXDOMAIN
    end = time.monotonic() + 10
    while time.monotonic() < end:
        shown = gateway.status()
        if shown["xdp"].get("attached") and all(row["pid"] != pid for row in shown["roles"]):
            break
        time.sleep(0.1)
    assert shown["xdp"]["attached"]
