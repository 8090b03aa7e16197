"""A DNS-over-TLS server for tests, with an authority of its own, whose behaviour is a script of what to write; real sockets on loopback."""

from __future__ import annotations

import contextlib
import datetime as dt
import socket
import socketserver
import ssl
import struct
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAME = "resolver.example"
DAY = dt.timedelta(days=1)


class Authority:
    """An authority that signs certificates; `path`: its own, PEM."""

    def __init__(self, folder: Path, called="authority"):
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, called)])
        own = self._sign(self._name, self._key.public_key(), -DAY, DAY, x509.BasicConstraints(ca=True, path_length=None))
        self.path = folder / f"{called}.pem"
        self.path.write_bytes(own.public_bytes(serialization.Encoding.PEM))

    def _sign(self, subject, key, since, until, *extensions):
        now = dt.datetime.now(dt.UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key)
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now + since).not_valid_after(now + until)
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(self._key, hashes.SHA256())

    def certificate(self, *names, since=-DAY, until=DAY, common_name="server"):
        """A certificate and key in one PEM file."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        extensions = [x509.SubjectAlternativeName([x509.DNSName(n) for n in names])] if names else []
        made = self._sign(subject, key.public_key(), since, until, *extensions)
        path = self._folder / f"server-{made.serial_number:x}.pem"
        pkcs8 = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        path.write_bytes(pkcs8 + made.public_bytes(serialization.Encoding.PEM))
        return path


class TlsUpstream:
    """``with TlsUpstream(pem, script) as up``. `script(server, connection)` has one TLS connection; by default every query is answered.

    `sessions`: whether each connection resumed one; `queries`: every message that was read.
    """

    def __init__(self, pem, script=None, *, alpn=("dot",), oldest=ssl.TLSVersion.TLSv1_2, newest=ssl.TLSVersion.TLSv1_3, raw=None):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pem)
        self.context.minimum_version, self.context.maximum_version = oldest, newest
        if alpn:
            self.context.set_alpn_protocols(alpn)
        self.script = script or TlsUpstream.answer_all
        self.raw = raw  # instead of TLS: gets the bare socket
        self.sessions, self.alpns, self.queries, self.connections, self.plain = [], [], [], 0, []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        self.port = self._server.server_address[1]

    def read(self, connection):
        """One message, or None at the end."""
        head = _exactly(connection, 2)
        message = head and _exactly(connection, struct.unpack("!H", head)[0])
        if message:
            self.queries.append(message)
        return message

    @staticmethod
    def answer(query):
        """The answer of `tests/dns/upstream.py` to most names."""
        from tests.dns.upstream import Query

        return Query(query, True, 1, ()).address()

    @staticmethod
    def write(connection, message):
        connection.sendall(struct.pack("!H", len(message)) + message)

    def answer_all(self, connection):
        while query := self.read(connection):
            self.write(connection, self.answer(query))

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True


class _Handler(socketserver.BaseRequestHandler):
    def handle(self):
        owner = self.server.owner
        owner.connections += 1
        self.request.settimeout(10)
        with contextlib.suppress(OSError):
            if owner.raw is not None:
                owner.raw(owner, self.request)
                return
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with owner.context.wrap_socket(self.request, server_side=True) as connection:
                owner.sessions.append(connection.session_reused)
                owner.alpns.append(connection.selected_alpn_protocol())
                owner.script(owner, connection)


def _exactly(connection, octets):
    data = b""
    while len(data) < octets:
        more = connection.recv(octets - len(data))
        if not more:
            return None
        data += more
    return data
