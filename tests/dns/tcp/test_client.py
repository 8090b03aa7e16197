"""TLS to upstreams, against a real server: who is believed, what is sent, and what a connection that goes wrong costs. Plain TCP: ../test_client.py."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading

import dns.message
import pytest
import uvloop

from blockd.config.schema import Endpoint, Upstream
from blockd.dns.client import Client
from blockd.dns.tcp import client as stream_file
from blockd.dns.upstreams import Broken, Way
from tests.dns.test_client import outcome
from tests.dns.tls_upstream import DAY, NAME, Authority, TlsUpstream

WAIT_S = 10.0


class Exchange:
    def __init__(self, name="a.example"):
        self.query = dns.message.make_query(name, "A", use_edns=0, payload=1232).to_wire()[2:]
        self.ids, self.packets = [], []
        self.done = asyncio.get_running_loop().create_future()

    def make(self, identity):
        self.ids.append(identity)
        return identity.to_bytes(2, "big") + self.query

    def packet(self, identity, packet):
        assert int.from_bytes(packet[:2], "big") == identity
        self.packets.append(packet)
        self.done.set_result("answer")
        return True

    def failed(self, why):
        self.done.set_result(why)


class Clients:
    """A client of one TLS upstream on the running loop."""

    def __init__(self, port, authorities, name=NAME):
        self.reached, self.troubles = [], []
        upstream = Upstream("tls", Endpoint("127.0.0.1", port), name)
        self.client = Client(
            asyncio.get_running_loop(), [upstream], self.reached.append, authorities, lambda _, why: self.troubles.append(why)
        )

    def send(self, name="a.example"):
        exchange = Exchange(name)
        exchange.cancel = self.client.send(0, Way.TLS, exchange)
        return exchange

    @property
    def connections(self):
        return self.client._pools[0].connections


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def pem(authority):
    return authority.certificate("other.example", NAME)


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    """Run a coroutine function on both kinds of loop; what the loop's exception handler hears is a fault."""

    def runs(main):
        errors = []

        async def whole():
            asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
            await main()
            await asyncio.sleep(0.01)

        factory = uvloop.new_event_loop if request.param == "uvloop" else None
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(asyncio.wait_for(whole(), 30))
        assert not errors

    return runs


def test_there_and_back_over_one_connection_with_alpn_and_padding(run, authority, pem):
    async def main():
        with TlsUpstream(pem) as up:
            clients = Clients(up.port, authority.path)
            for name in ("a.example", "a-much-longer-name.with.some.labels.example"):
                assert await outcome(clients.send(name)) == "answer"
            assert (up.connections, up.alpns) == (1, ["dot"])
            assert [len(query) for query in up.queries] == [128, 128]
            for query in up.queries:
                (option,) = dns.message.from_wire(query).options
                assert (int(option.otype), set(option.data)) == (12, {0})
            clients.client.close()

    run(main)


def test_a_server_without_alpn_is_taken(run, authority, pem):
    async def main():
        with TlsUpstream(pem, alpn=()) as up:
            clients = Clients(up.port, authority.path)
            assert await outcome(clients.send()) == "answer"
            clients.client.close()

    run(main)


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_second_connection_resumes_the_session(run, authority, pem, newest):
    async def main():
        with TlsUpstream(pem, newest=newest) as up:
            clients = Clients(up.port, authority.path)
            for _ in range(3):
                assert await outcome(clients.send()) == "answer"
                for connection in list(clients.connections):
                    connection.close()
            assert up.sessions == [False, True, True]
            clients.client.close()

    run(main)


REFUSED = {
    "wrong-name": (lambda a: a.certificate("other.example"), "is not for resolver.example"),
    "name-only-as-common-name": (lambda a: a.certificate(common_name=NAME), "is not for resolver.example"),
    "parent-name": (lambda a: a.certificate("example"), "is not for resolver.example"),
    "expired": (lambda a: a.certificate(NAME, since=-2 * DAY, until=-DAY), "has expired"),
    "not-yet": (lambda a: a.certificate(NAME, since=DAY, until=2 * DAY), "is not valid yet"),
    "untrusted": (lambda a: Authority(a._folder, "stranger").certificate(NAME), "not from an authority that is trusted here"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_man_in_the_middle_gets_no_query(run, authority, case):
    make, says = REFUSED[case]

    async def main():
        with TlsUpstream(make(authority)) as up:
            clients = Clients(up.port, authority.path)
            sent = [clients.send() for _ in range(3)]
            assert [await outcome(e) for e in sent] == [Broken.CERTIFICATE] * 3
            assert up.queries == []
            assert len(clients.troubles) == 1
            assert says in clients.troubles[0]
            assert "\n" not in clients.troubles[0]
            clients.client.close()

    run(main)


def test_the_systems_authorities_do_not_know_ours(run, pem):
    async def main():
        with TlsUpstream(pem) as up:
            clients = Clients(up.port, None)
            assert await outcome(clients.send()) is Broken.CERTIFICATE
            assert up.queries == []
            clients.client.close()

    run(main)


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_authorities_that_cannot_be_read_mean_that_nothing_is_sent(run, pem, tmp_path, content):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)

    async def main():
        with TlsUpstream(pem) as up:
            clients = Clients(up.port, path)
            assert await outcome(clients.send()) is Broken.CERTIFICATE
            assert "upstream_ca" in clients.troubles[0]
            assert up.connections == 0
            clients.client.close()

    run(main)


def plain_server(owner, sock):
    """What a server without TLS sees: what comes must not be a DNS query."""
    owner.plain.append(sock.recv(4096))
    sock.sendall(b"\0\x0cthis is no TLS")
    sock.recv(4096)


def closes_in_the_handshake(owner, sock):
    owner.plain.append(sock.recv(4096))


@pytest.mark.parametrize("raw", [plain_server, closes_in_the_handshake])
def test_downgrade_to_plain_never_happens(run, authority, pem, raw):
    async def main():
        with TlsUpstream(pem, raw=raw) as up:
            clients = Clients(up.port, authority.path)
            assert await outcome(clients.send("secret.example")) is Broken.HANDSHAKE
            assert len(clients.troubles) == 1
            assert all(seen[0] == 22 and b"secret" not in seen for seen in up.plain)  # a TLS handshake record
            clients.client.close()

    run(main)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_downgrade_to_an_old_version_of_tls_is_refused(run, authority, pem):
    async def main():
        with TlsUpstream(pem, oldest=ssl.TLSVersion.TLSv1, newest=ssl.TLSVersion.TLSv1_1) as up:
            up.context.set_ciphers("DEFAULT@SECLEVEL=0")  # without it the server would refuse its own version
            clients = Clients(up.port, authority.path)
            assert await outcome(clients.send()) is Broken.HANDSHAKE
            clients.client.close()

    run(main)


def test_a_server_that_accepts_and_says_nothing(run, authority, pem, monkeypatch):
    monkeypatch.setattr(stream_file, "CONNECT_S", 0.1)
    end = threading.Event()

    async def main():
        with TlsUpstream(pem, raw=lambda *_: end.wait(WAIT_S)) as up:
            clients = Clients(up.port, authority.path)
            assert await outcome(clients.send()) is Broken.NETWORK
            assert not clients.connections
            end.set()

    run(main)


def test_a_connection_that_has_gone_dead_is_left(run, authority, pem, monkeypatch):
    monkeypatch.setattr(stream_file, "STALL_S", 0.05)
    end = threading.Event()

    def script(up, connection):
        if up.connections == 1:
            up.write(connection, up.answer(up.read(connection)))
            end.wait(WAIT_S)
        else:
            up.answer_all(connection)

    async def main():
        with TlsUpstream(pem, script) as up:
            clients = Clients(up.port, authority.path)
            assert await outcome(clients.send()) == "answer"
            lost = clients.send()
            await asyncio.sleep(0.06)
            assert await outcome(clients.send()) == "answer"
            assert await outcome(lost) is Broken.NETWORK
            assert up.connections == 2
            end.set()
            clients.client.close()

    run(main)


def test_a_server_that_closes_in_the_middle_of_an_answer(run, authority, pem):
    def script(up, connection):
        query = up.read(connection)
        if up.connections == 1:
            up.write(connection, up.answer(query))
            up.read(connection)
            connection.sendall(b"\0\x40" + b"half")
            return
        up.write(connection, up.answer(query))
        up.answer_all(connection)

    async def main():
        with TlsUpstream(pem, script) as up:
            clients = Clients(up.port, authority.path)
            assert await outcome(clients.send()) == "answer"
            again = clients.send()
            assert await outcome(again) == "answer"  # once more, on a new connection
            assert (up.connections, len(again.ids)) == (2, 2)
            clients.client.close()

    run(main)


def test_answers_that_come_octet_by_octet(run, authority, pem):
    def script(up, connection):
        query = up.read(connection)
        answer = up.answer(query)
        for octet in len(answer).to_bytes(2, "big") + answer:
            connection.sendall(bytes([octet]))  # one TLS record each: the length apart from the body
        up.answer_all(connection)

    async def main():
        with TlsUpstream(pem, script) as up:
            clients = Clients(up.port, authority.path)
            assert await outcome(clients.send()) == "answer"
            clients.client.close()

    run(main)


def test_pipelined_answers_out_of_order_in_one_write(run, authority, pem):
    def script(up, connection):
        queries = [up.read(connection) for _ in range(20)]
        answers = [up.answer(query) for query in reversed(queries)]
        connection.sendall(b"".join(len(a).to_bytes(2, "big") + a for a in answers))
        up.answer_all(connection)

    async def main():
        with TlsUpstream(pem, script) as up:
            clients = Clients(up.port, authority.path)
            sent = [clients.send(f"n{number}.example") for number in range(20)]
            for number, exchange in enumerate(sent):
                assert await outcome(exchange) == "answer"
                assert dns.message.from_wire(exchange.packets[0]).question[0].name.to_text() == f"n{number}.example."
            assert up.connections == 1
            clients.client.close()

    run(main)


def test_close_while_a_connection_is_made_leaves_no_socket(run, authority, pem):
    end = threading.Event()

    async def main():
        with TlsUpstream(pem, raw=lambda *_: end.wait(WAIT_S)) as up:
            clients = Clients(up.port, authority.path)
            exchange = clients.send()
            await asyncio.sleep(0.05)
            clients.client.close()
            await asyncio.sleep(0.05)
            assert not exchange.done.done()
            assert not clients.connections
            end.set()

    run(main)


def test_a_closed_port_is_the_network(run, authority):
    async def main():
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            clients = Clients(sock.getsockname()[1], authority.path)
            assert await outcome(clients.send()) is Broken.NETWORK

    run(main)
