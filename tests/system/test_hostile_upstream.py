"""What a hostile upstream says to a running daemon: refused and asked again, or SERVFAIL; never a crash, a stall, or a client that waits for ever.

The attacks are hostile.ANSWERS; a name's first label chooses one. Those that can only be told from silence wait for the query's deadline, so all
are asked at once.
"""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

import dns.message
import dns.query
import dns.rcode
import pytest

from tests.system import hostile
from tests.system.gateway import Gateway, enforce
from tests.system.hostile_upstream import HostileUpstream
from tests.system.test_hostile_doors import GOOD_S, framed, read_all

if TYPE_CHECKING:
    from collections.abc import Sequence

DEADLINE_S = 8.0  # the resolver's own is 4.5 s
USABLE = {"opt-options-past-rdata", "chain-of-40", "cname-loop", "pointer-forest", "tiny-records", "megabyte-text", "rcode-15"}
"""Attacks that are answers all the same: odd, and legal. An rcode that nobody has assigned is passed on as it came."""


@pytest.fixture(scope="module")
def gw(tmp_path_factory):
    upstream = HostileUpstream()
    gateway = Gateway(tmp_path_factory.mktemp("lies"), lists=enforce("gambling"), upstream=upstream)
    gateway.publisher.init()
    gateway.publisher.publish("gambling", "casino.example\n00007.chain.example\n")
    with gateway:
        gateway.update()
        yield gateway
        log = gateway.log()
        assert "Traceback" not in log
        assert "this role ends" not in log


def name_of(attack: str, number: int) -> str:
    return f"{attack}.n{number}.evil.example"


def ask_all(gw: Gateway, attacks: Sequence[str]) -> dict[str, dns.message.Message]:
    """Ask for all of them at once; meanwhile another client is answered without delay."""
    found: dict[str, dns.message.Message] = {}
    slowest_s: list[float] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        for sock in (client, other):
            sock.connect(gw.door("udp"))
        for number, attack in enumerate(attacks):
            client.send(dns.message.make_query(name_of(attack, 1), "A", id=number, use_edns=0).to_wire())
        end = time.monotonic() + DEADLINE_S
        client.settimeout(0.02)
        other.settimeout(5)
        while len(found) < len(attacks) and time.monotonic() < end:
            start = time.monotonic()
            other.send(dns.message.make_query("casino.example", "A", use_edns=0).to_wire())
            assert dns.message.from_wire(other.recv(4096)).answer
            slowest_s.append(time.monotonic() - start)
            try:
                answer = dns.message.from_wire(client.recv(65535))
            except TimeoutError:
                continue
            found[attacks[answer.id]] = answer
    assert set(found) == set(attacks)
    assert sorted(slowest_s)[-2:][0] < GOOD_S, f"others waited: {sorted(slowest_s)[-5:]} s"
    return found


def test_every_lie_ends_in_an_answer_within_the_deadline(gw):
    pid = next(role["pid"] for role in gw.status()["roles"] if role["name"] == "resolver")
    for attack, answer in ask_all(gw, sorted(USABLE)).items():
        if attack == "chain-of-40":  # a link of it is listed: the whole answer is replaced
            assert any(option.otype == 15 and int(option.code) in {15, 16, 17} for option in answer.options), answer
            assert "chain.example" not in answer.to_text().split(";ANSWER")[1]
        else:
            assert answer.rcode() == (15 if attack == "rcode-15" else dns.rcode.NOERROR), attack
    # Wrong packets over TCP end the connection that they came on, with what else is under way on it: these come by themselves.
    for attack, answer in ask_all(gw, sorted(hostile.ANSWERS.keys() - USABLE)).items():
        assert answer.rcode() == dns.rcode.SERVFAIL, attack
        assert not answer.answer, attack
    os.kill(pid, 0)


def test_over_tcp_as_well(gw):
    """64 KB come through whole or not at all; each query of the pipeline has its answer."""
    attacks = [attack for attack in hostile.ANSWERS if attack not in {"silence", "wrong-id", "wrong-question", "wrong-type", "empty"}]
    queries = [dns.message.make_query(name_of(attack, 2), "A", id=number, use_edns=0) for number, attack in enumerate(attacks)]
    with socket.create_connection(gw.door("tcp"), timeout=DEADLINE_S) as connection:
        connection.sendall(framed(*[query.to_wire() for query in queries]))
        connection.shutdown(socket.SHUT_WR)
        answers = {attacks[int.from_bytes(answer[:2], "big")]: answer for answer in read_all(connection)}
    assert sorted(answers) == sorted(attacks)
    assert len(dns.message.from_wire(answers["megabyte-text"]).answer[0]) == 1  # the same text four times is one record
    assert len(answers["megabyte-text"]) > 60_000
    assert len(answers["pointer-forest"]) > 60_000  # legal, whatever a client thinks of it
    assert answers["chain-of-1000"][3] & 15 == dns.rcode.SERVFAIL


def test_a_lie_is_not_asked_for_again_and_again(gw):
    """RFC 9520 §3.2: the failure is remembered, and the upstream is left in peace."""
    host, port = gw.door("udp")
    query = dns.message.make_query(name_of("cut", 3), "A", use_edns=0)
    assert dns.query.udp(query, host, 10, port).rcode() == dns.rcode.SERVFAIL
    before = gw.upstream.asked
    for _ in range(20):
        assert dns.query.udp(query, host, 10, port).rcode() == dns.rcode.SERVFAIL
    assert gw.upstream.asked == before


def test_the_honest_answer_between_forgeries_is_taken(gw, monkeypatch):
    """RFC 5452 §9: packets under other IDs are passed over until the right one comes."""
    right = hostile.answer
    monkeypatch.setitem(
        hostile.ANSWERS, "guesses", lambda wire: [*[right(wire, identity=n) for n in range(1, 9)], right(wire, hostile.GOOD_A)]
    )
    answer = gw.ask(name_of("guesses", 4))
    assert answer.rcode() == dns.rcode.NOERROR
    assert answer.answer[0][0].address == "198.51.100.7"


def test_readiness_outlives_the_lies(gw):
    gw.wait_ready()
    assert gw.ask("after.all.example").rcode() == dns.rcode.NOERROR
