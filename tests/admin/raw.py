"""A client that sends exactly these octets, and reads to the end."""

from __future__ import annotations

import asyncio


async def ask(address: str, data: bytes, *, end: bool = False, pieces: int = 0, pause_s: float = 0.0, timeout_s: float = 8.0) -> bytes:
    """Everything that came back. `end`: shut down our side after sending; `pieces`: octets a write."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    try:
        for start in range(0, len(data), pieces or max(1, len(data))):
            writer.write(data[start : start + (pieces or len(data))])
            await writer.drain()
            await asyncio.sleep(pause_s)
        if end:
            writer.write_eof()
        return await asyncio.wait_for(reader.read(), timeout_s)
    except ConnectionError:
        return b""
    finally:
        writer.close()


def status(answer: bytes) -> int:
    """The status of a raw answer; 0 for none."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else 0


def parts(answer: bytes) -> tuple[dict[str, str], bytes]:
    """Headers (names in lower case) and body."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:])}, body


HOSTILE = {
    # After llhttp's request tests: what a lenient server could be made to see as two requests, or as another one.
    "CL and TE": b"POST / HTTP/1.1\r\nHost: canary.example\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two CL": b"POST / HTTP/1.1\r\nHost: canary.example\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "obs-fold": b"GET / HTTP/1.1\r\nHost: canary.example\r\nX: a\r\n b\r\n\r\n",
    "bare LF": b"GET / HTTP/1.1\nHost: canary.example\n\n",
    "bare CR": b"GET / HTTP/1.1\r\nHost: canary.example\rX: y\r\n\r\n",
    "space before colon": b"GET / HTTP/1.1\r\nHost : canary.example\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nHost canary.example\r\n\r\n",
    "NUL in a header": b"GET / HTTP/1.1\r\nHost: canary.example\r\nX: a\0b\r\n\r\n",
    "NUL in the target": b"GET /\0canary HTTP/1.1\r\nHost: canary.example\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: canary.example\r\nHost: other.example\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "HTTP/9.9": b"GET /canary HTTP/9.9\r\nHost: canary.example\r\n\r\n",
    "HTTP/0.9": b"GET /canary\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03canary.example\r\n\r\n",
    "binary": bytes(range(256)) * 8,
    "lower-case method": b"get / HTTP/1.1\r\nHost: canary.example\r\n\r\n",
    "chunk size overflow": b"POST / HTTP/1.1\r\nHost: canary.example\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\n",
    "bad chunk extension": b"POST / HTTP/1.1\r\nHost: canary.example\r\nTransfer-Encoding: chunked\r\n\r\n1;\n\r\na\r\n0\r\n\r\n",
    "unknown coding": b"POST / HTTP/1.1\r\nHost: canary.example\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "long target": b"GET /" + b"canary" * 3000 + b" HTTP/1.1\r\nHost: canary.example\r\n\r\n",
    "long header": b"GET / HTTP/1.1\r\nHost: canary.example\r\nX: " + b"canary" * 3000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\nHost: canary.example\r\n" + b"".join(b"X%d: canary\r\n" % i for i in range(2000)) + b"\r\n",
    "negative length": b"POST / HTTP/1.1\r\nHost: canary.example\r\nContent-Length: -1\r\n\r\n",
    "plus in length": b"POST / HTTP/1.1\r\nHost: canary.example\r\nContent-Length: +1\r\n\r\na",
    "upgrade": b"GET / HTTP/1.1\r\nHost: canary.example\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\ncanary",
    "connect": b"CONNECT canary.example:443 HTTP/1.1\r\nHost: canary.example:443\r\n\r\ncanary",
    "asterisk": b"OPTIONS * HTTP/1.1\r\nHost: canary.example\r\n\r\n",
    "pipelined": b"GET / HTTP/1.1\r\nHost: canary.example\r\n\r\nGET /canary HTTP/1.1\r\nHost: other.example\r\n\r\n",
    "expect": b"POST / HTTP/1.1\r\nHost: canary.example\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
    "expect nonsense": b"POST / HTTP/1.1\r\nHost: canary.example\r\nExpect: canary\r\n\r\n",
    "absolute form": b"GET http://canary.example/ HTTP/1.1\r\nHost: other.example\r\n\r\n",
    "compressed body": b"POST / HTTP/1.1\r\nHost: canary.example\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\ncanary",
    "Latin-1 header": b"GET / HTTP/1.1\r\nHost: canary.example\r\nX: \xff\xfe\r\n\r\n",
    "Latin-1 host": b"GET / HTTP/1.1\r\nHost: canary\xff.example\r\n\r\n",
}
