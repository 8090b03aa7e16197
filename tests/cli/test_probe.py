from __future__ import annotations

import http.server
import socket
import threading

import pytest

from blockd.cli import probe
from blockd.errors import Unavailable
from tests.system.upstream import ADDRESS4, Upstream


@pytest.mark.parametrize("tcp", [False, True])
def test_a_question_is_answered(tcp):
    with Upstream() as up:
        answer = probe.ask(("127.0.0.1", up.port), "www.a.example", tcp=tcp)
        assert (answer.rcode, answer.addresses, answer.ede) == (0, (ADDRESS4,), ())
        assert probe.ask(("127.0.0.1", up.port), "nx.a.example", tcp=tcp).rcode == 3


def test_silence_is_unavailable(monkeypatch):
    monkeypatch.setattr(probe, "TIMEOUT_S", 0.05)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        with pytest.raises(Unavailable, match="no DNS answer"):
            probe.ask(deaf.getsockname(), "a.example")
    with pytest.raises(Unavailable, match="over TCP"):
        probe.ask(("127.0.0.1", 1), "a.example", tcp=True)


def test_a_page_is_fetched():
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(451)
            self.send_header("X-Host", self.headers["Host"])
            self.end_headers()
            self.wfile.write("größe".encode())

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        page = probe.http_get(server.server_address, "/", {"Host": "casino.example"})
        thread.join()
    assert (page.status, page.headers["x-host"], page.body) == (451, "casino.example", "größe")
    with pytest.raises(Unavailable, match="no HTTP answer"):
        probe.http_get(("127.0.0.1", 1), "/")
