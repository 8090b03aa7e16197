"""The privacy law, live: canary clients ask canary names, and every byte that the daemon writes is searched for them.

Searched: every file below the gateway's folder (state, counters, audit record, log), all HTTP pages of the admin listener, what the upstream received,
and, through strace, every write and send of every process. Only a reply's own destination may show an address, and only an answer to
the client and a query to the upstream may show a name.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
import socket
import struct
import subprocess
import time
import zlib

import dns.edns
import dns.message
import dns.query
import pytest

from tests.system.gateway import BLOCKD, Gateway, enforce, need

CLIENT = "127.77.3.9"
ECS = "198.51.151.0"
FORWARDED = "203.0.113.77"
NAMES = ("zq7canary-allowed.example", "zq7canary-sub.casino.example")
AGENT = "zq7canary-agent"
COOKIE = "zq7canary-cookie"


def forms_of_address(text: str) -> set[bytes]:
    """An address as it could appear: text, packed in both orders, hex, integer, reversed for arpa, base64, unsalted digests, prefixes."""
    packed = ipaddress.ip_address(text).packed
    octets = text.split(".")
    forms = {
        text.encode(), packed.hex().encode(), packed.hex().upper().encode(), ".".join(reversed(octets)).encode(),
        str(int.from_bytes(packed, "big")).encode(), base64.b64encode(packed).rstrip(b"="), base64.b64encode(text.encode()).rstrip(b"="),
        ".".join(octets[:3]).encode() + b".",
    }  # fmt: skip
    for value in (packed, text.encode()):
        forms |= {hashlib.new(h, value).hexdigest().encode() for h in ("md5", "sha1", "sha256", "sha512")}
        forms |= {hashlib.new(h, value).digest() for h in ("md5", "sha1", "sha256")}
        forms.add(f"{zlib.crc32(value):08x}".encode())
    return forms


def forms_of_name(name: str) -> set[bytes]:
    wire = dns.name.from_text(name).to_wire()
    label = name.split(".", 1)[0].encode()
    forms = {label, base64.b64encode(name.encode())[:20], label.hex().encode()}
    for value in (name.encode(), name.encode() + b".", wire):
        forms |= {hashlib.new(h, value).hexdigest().encode() for h in ("md5", "sha1", "sha256")}
        forms |= {hashlib.new(h, value).digest() for h in ("md5", "sha1", "sha256")}
    return forms


def client_socket(kind: int) -> socket.socket:
    s = socket.socket(socket.AF_INET, kind)
    s.bind((CLIENT, 0))
    s.settimeout(2)
    return s


def talk_dns(udp: tuple[str, int], tcp: tuple[str, int]) -> None:
    queries = []
    for name in NAMES:
        for rdtype in ("A", "AAAA", "HTTPS", "TYPE65400"):
            queries.append(dns.message.make_query(name, rdtype, use_edns=0, options=[dns.edns.ECSOption(ECS, 24)]).to_wire())
    whole = queries[0]
    queries += [
        whole[:20],
        whole[:-3],
        b"\0" * 12,
        whole + b"zq7canary",
        whole[:2] + b"\xff\xff" + whole[4:],
        b"\x12\x34" + b"\x28\0" + whole[4:],
    ]
    with client_socket(socket.SOCK_DGRAM) as s:
        for query in queries * 3:
            s.sendto(query, udp)
            try:
                s.settimeout(0.5)
                s.recv(4096)
            except TimeoutError:
                pass
    for query in queries:
        with client_socket(socket.SOCK_STREAM) as s:
            s.connect(tcp)
            s.sendall(struct.pack("!H", len(query)) + query)
            try:
                s.settimeout(1.0)
                s.recv(4096)
            except (TimeoutError, ConnectionError):
                pass
    with client_socket(socket.SOCK_STREAM) as s:  # oversized, then garbage
        s.connect(tcp)
        try:
            s.sendall(b"\xff\xff" + b"zq7canary" * 9000)
            s.recv(10)
        except (TimeoutError, ConnectionError):
            pass


def talk_http(page: tuple[str, int]) -> None:
    good = (
        f"GET /zq7canary-path?zq7canary=1 HTTP/1.1\r\nHost: {NAMES[1]}\r\nUser-Agent: {AGENT}\r\nCookie: id={COOKIE}\r\n"
        f"X-Forwarded-For: {FORWARDED}\r\nForwarded: for={FORWARDED}\r\nReferer: http://{NAMES[0]}/\r\n\r\n"
    ).encode()
    for request in (
        good,
        good.replace(b"GET", b"POST"),
        good.replace(b"HTTP/1.1", b"HTTP/9.9"),
        good.replace(b"\r\n", b"\n", 2),
        b"\x16\x03\x01" + good,
        good[:60] + b"\0" + good[60:],
        b"GET / HTTP/1.1\r\nHost: zq7canary-a\r\nHost: zq7canary-b\r\n\r\n",
        b"GET /" + b"zq7canary" * 3000 + b" HTTP/1.1\r\n\r\n",
    ):
        with client_socket(socket.SOCK_STREAM) as s:
            s.connect(page)
            try:
                s.sendall(request)
                while s.recv(65536):
                    pass
            except (TimeoutError, ConnectionError):
                pass


# What strace shows of where a datagram goes: the reply's own destination, which the law allows.
DESTINATION = re.compile(rb"(msg_name=\{[^}]*\}|\{sa_family=[^}]*\})")


def sent(trace: bytes) -> bytes:
    """The payloads of a trace, unescaped, without the destinations."""
    lines = DESTINATION.sub(b"", trace)
    return re.sub(rb"(?:\\x[0-9a-f]{2})+", lambda m: bytes.fromhex(m.group().replace(b"\\x", b"").decode()), lines)


@pytest.mark.timeout(180)
def test_nothing_that_is_written_names_a_client_or_a_name(tmp_path):
    gw = Gateway(tmp_path, lists=enforce("gambling"), environment={"BLOCKD_LOG": "debug"})
    gw.publisher.init()
    gw.publisher.publish("gambling", "casino.example\n")
    trace = tmp_path.parent / f"{tmp_path.name}.strace"
    with gw:
        pids = [str(gw.process.pid), *(str(r["pid"]) for r in gw.status()["roles"])]
        tracer = subprocess.Popen(
            [need("strace"), "-f", "-qq", "-xx", "-s", "65535", "-e", "trace=write,writev,pwrite64,sendto,sendmsg,sendmmsg", "-o", str(trace),
             *(a for p in pids for a in ("-p", p))],
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        end = time.monotonic() + 10
        while time.monotonic() < end and not (trace.exists() and trace.stat().st_size):
            time.sleep(0.1)
        talk_dns(gw.door("udp"), gw.door("tcp"))
        talk_http(gw.door("stop_page"))
        gw.update()
        pages = "".join(gw.get(p)[1] for p in ("/metrics", "/readyz", "/healthz", "/api/v1/status", "/"))
        shown = subprocess.run([*BLOCKD, "status", "-c", str(gw.config)], capture_output=True, check=True).stdout
        upstream = b"".join(gw.upstream.received)
        tracer.terminate()
        tracer.wait(10)
    payloads = sent(trace.read_bytes())
    trace.unlink()
    assert b"zq7canary" in payloads.lower(), "the trace must have seen the answers, or this test proves nothing"

    files = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file() and "repo" not in p.relative_to(tmp_path).parts}
    assert any(p.name == "daemon.log" for p in files)
    places = {**{str(p.relative_to(tmp_path)): data for p, data in files.items()}, "admin pages": pages.encode(), "status": shown}

    addresses = [CLIENT, ECS, FORWARDED]
    names = set().union(*(forms_of_name(n) for n in NAMES)) | {b"zq7canary", AGENT.encode(), COOKIE.encode()}
    for place, data in places.items():
        low = data.lower()
        for form in names:
            assert form.lower() not in low, f"{place} holds a name, agent or cookie"
        for address in addresses:
            for form in forms_of_address(address):
                if len(form) >= 6:
                    assert form not in data, f"{place} holds a client's address"
    for address in addresses:
        packed = ipaddress.ip_address(address).packed
        # Three octets alone would turn up by chance in any megabyte: a /24 is looked for as the option that carried it (RFC 7871 §6).
        for form in (address.encode(), packed, b"\0\x01\x18\0" + packed[:3]):
            assert form not in upstream, "the upstream was told who asked"
            if address != CLIENT or len(form) > 4:
                assert form not in payloads, "a process wrote or sent a client's address"
    for secret in (AGENT, COOKIE):
        assert secret.encode() not in payloads
