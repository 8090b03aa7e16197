"""The privacy law in the resolver: whatever clients send and upstreams answer, no log line, error or repr has an address or a name."""

from __future__ import annotations

import logging
import socket
import struct

import dns.message

from tests.dns.running import Running, configured, generation, listed
from tests.dns.upstream import Upstream, free_port

CLIENT = "127.77.3.9"
NAME = "zq7canary.example"


def test_no_log_line_names_a_client_or_a_question(caplog, tmp_path):
    caplog.set_level(logging.DEBUG)
    live = generation(tmp_path, 1, listed("f/own", ["blocked.zq7canary.example"]))

    def script(query):
        yield query.wire[:2] + b"\x81\x80" + query.wire[4:] + b"zq7canary"
        yield query.reply(rcode="SERVFAIL")

    with Upstream(script) as up, Running(configured(up.port, free_port(), lists=["f/own"]), live) as r:
        r.loop.call_soon_threadsafe(r.loop.set_debug, True)
        queries = [dns.message.make_query(f"{n}{NAME}", t).to_wire() for n in ("", "blocked.", "x.") for t in ("A", "HTTPS")]
        queries += [queries[0][:20], queries[0] + b"zq7canary", b"\0" * 12]
        for query in queries:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.bind((CLIENT, 0))
                s.settimeout(0.3)
                s.sendto(query, r.door())
                try:
                    s.recv(4096)
                except TimeoutError:
                    pass
            with socket.socket() as s:
                s.bind((CLIENT, 0))
                s.settimeout(0.3)
                s.connect(r.door("tcp"))
                s.sendall(struct.pack("!H", len(query)) + query + b"\xff\xff")
                try:
                    s.recv(4096)
                except (TimeoutError, ConnectionError):
                    pass
        said = repr(r.health()) + repr(r.stats()) + repr(r.resolver) + repr(r.resolver._driver) + repr(r.resolver._doors)
        said += repr(r.resolver._connections) + repr(r.resolver._driver.upstreams)
        r.drain()
    said += caplog.text + repr(r.errors)
    for secret in ("zq7canary", CLIENT, socket.inet_aton(CLIENT).hex()):
        assert secret not in said
