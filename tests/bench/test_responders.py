"""The upstream and the ceiling say what DNS says they should, and answer no answer."""

from __future__ import annotations

import os
import socket
import subprocess

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from bench.programs import Responder
from bench.queries import message


def ask(port, rdtype, **kwargs):
    return dns.query.udp(dns.message.make_query("any.name.example", rdtype, **kwargs), "127.0.0.1", port=port, timeout=5)


def test_the_upstream_has_an_address_for_every_name(programs):
    with Responder(programs["upstream"], core=0) as up:
        answer = ask(up.port, "A")
        assert [str(rdata) for rdata in answer.answer[0]] == ["198.51.100.7"]
        assert answer.answer[0].ttl == 3600
        assert answer.flags & dns.flags.RA
        assert answer.edns == -1


def test_the_upstream_has_no_data_of_other_types(programs):
    with Responder(programs["upstream"], core=0) as up:
        answer = ask(up.port, "HTTPS", use_edns=0, payload=1232)
        assert answer.rcode() == dns.rcode.NOERROR
        assert not answer.answer
        assert answer.authority[0].rdtype == dns.rdatatype.SOA
        assert answer.edns == 0


@pytest.mark.parametrize("name", ["upstream", "ceiling"])
def test_answers_and_noise_are_not_answered(programs, name):
    query = message("any.example")
    noise = [b"", b"\0", query[:11], query[:2] + b"\x81" + query[3:], os.urandom(2) + b"\x80" + os.urandom(60)]
    if name == "upstream":
        noise += [query[:20], query[:5] + b"\2" + query[6:], query[:12] + b"\xc0\x0c" + query[-4:], query[:12] + b"\x3f" * 400]
    with Responder(programs[name], core=0) as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("127.0.0.1", server.port))
        s.settimeout(5)
        for wire in noise:
            s.send(wire)
        s.send(b"\x77\x77" + query[2:])
        assert s.recv(4096)[:4] == b"\x77\x77\x81\x80"


def test_the_ceiling_sends_the_query_back(programs):
    query = message("any.example")
    with Responder(programs["ceiling"], core=0) as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("127.0.0.1", server.port))
        s.settimeout(5)
        s.send(query)
        assert s.recv(4096) == query[:2] + b"\x81\x80" + query[4:]


def test_the_ceiling_sends_as_many_octets_more_as_it_is_told(programs):
    query = message("any.example")
    process = subprocess.Popen([programs["ceiling"], "127.0.0.1", "0", "40"], stdout=subprocess.PIPE, text=True)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.connect(("127.0.0.1", int(process.stdout.readline())))
            s.settimeout(5)
            s.send(query)
            answer = s.recv(4096)
            assert len(answer) == len(query) + 40
            assert answer[: len(query)] == query[:2] + b"\x81\x80" + query[4:]
            s.send(query[:12] + b"\x3f" * 4084)  # no room for more
            s.send(query)
            again = s.recv(4096)  # the octets behind the query are zero, or what an older one left
            assert (again[: len(query)], len(again)) == (answer[: len(query)], len(answer))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("address", ["0.0.0.0", "192.0.2.1"])
def test_they_serve_on_loopback_only(programs, address):
    for name in ("upstream", "ceiling"):
        done = subprocess.run([programs[name], address, "0"], capture_output=True, text=True, timeout=10, check=False)
        assert done.returncode == 1
        assert "loopback" in done.stderr
