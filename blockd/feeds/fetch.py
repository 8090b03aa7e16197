"""How bytes come from a feed's server: https, http where that is allowed, and file. Nothing here judges what they say.

A fetcher for tuf's client (:class:`tuf.ngclient.FetcherInterface`), stricter than the library's own:

- Only ``https:``; ``http:`` on loopback, or elsewhere when the caller says so; ``file:``. Redirects stay within that, are few, and never
  lead from https to http or to a file. Credentials are never sent to another host than the feed's, nor over plain http off this machine.
- Every download has a limit in octets (the caller's), in idle time, and in whole time: a server that drips octets is given up, be it in
  the TLS handshake, in its headers or in the body.
- ``timestamp.json`` is asked for with the ETag of the last answer, so that a look at an unchanged feed is one small exchange.
- Proxies are taken from the environment (``https_proxy``, ``http_proxy``, ``all_proxy``, ``no_proxy``).
- A file that is not there is a 404, since that is how TUF finds the end of the chain of roots.
"""

from __future__ import annotations

import os
import socket
import stat
import threading
import time
import urllib.request
import weakref
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

import urllib3
from tuf.ngclient import FetcherInterface  # type: ignore[attr-defined]  # public, but not declared as exported
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from blockd.errors import Misconfigured
from blockd.feeds.metadata import DownloadError, DownloadHTTPError, SlowRetrievalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CONNECT_TIMEOUT_S = 10.0
IDLE_TIMEOUT_S = 30.0
FILE_TIMEOUT_S = 60.0
"""For one download, and more for a large one: its limit in octets divided by RATE_MIN_OCTETS_PER_S."""
RATE_MIN_OCTETS_PER_S = 32 * 1024
REDIRECTS_MAX = 3
BLOCK_OCTETS = 64 * 1024
TOKEN_MAX_OCTETS = 8192
ETAGS_MAX = 4
CACHED_MAX_OCTETS = 64 * 1024

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Fetcher(FetcherInterface):
    """Fetches one feed. Not for several threads at once."""

    def __init__(
        self,
        base: str,
        *,
        client_certificate: Path | None = None,
        client_key: Path | None = None,
        token_file: Path | None = None,
        allow_http: bool = False,
        certificate_authority: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`base`: the feed's URL; credentials go to its host only. Misconfigured: a scheme that is not fetched."""
        super().__init__()
        self._host = _origin(base)
        self._allow_http = allow_http
        self._token_file = token_file
        self._clock = clock
        self._pools: dict[str | None, urllib3.PoolManager] = {}
        self._connections: weakref.WeakSet[_Cuttable] = weakref.WeakSet()
        self._cut_off = False
        self._tls: dict[str, str] = {}
        if client_certificate is not None:
            self._tls["cert_file"] = str(client_certificate)
            self._tls["key_file"] = str(client_key or client_certificate)
        if certificate_authority is not None:
            self._tls["ca_certs"] = str(certificate_authority)
        self._etags: dict[str, tuple[str, bytes]] = {}
        self._deadline = clock() + FILE_TIMEOUT_S
        self.requests = 0
        self.not_modified = 0
        try:
            self._allowed(base)
        except DownloadError as error:
            raise Misconfigured(str(error)) from None

    @contextmanager
    def download_file(self, url: str, max_length: int) -> Iterator[IO[bytes]]:
        """Download to a temporary file, within `max_length` octets and the time that so many may take."""
        allowed_s = FILE_TIMEOUT_S + max_length / RATE_MIN_OCTETS_PER_S
        self._deadline, self._cut_off = self._clock() + allowed_s, False
        timer = threading.Timer(allowed_s, self._cut)
        timer.daemon = True
        timer.start()
        try:
            with super().download_file(url, max_length) as file:
                timer.cancel()
                yield file
        finally:
            timer.cancel()

    def _cut(self) -> None:
        """End every connection, in the middle of whatever it is: a wait for one more octet would begin anew with each."""
        self._cut_off = True
        for connection in tuple(self._connections):
            connection.cut()

    def _fetch(self, url: str) -> Iterator[bytes]:
        scheme = self._allowed(url)
        if scheme == "file":
            return self._file(url)
        return self._http(url)

    def _allowed(self, url: str) -> str:
        """Check a URL's scheme. DownloadError when it is none to fetch from."""
        parts = urlsplit(url)
        if parts.scheme == "https" and parts.hostname:
            return "https"
        if parts.scheme == "http" and parts.hostname:
            if self._allow_http or parts.hostname in _LOOPBACK:
                return "http"
            raise DownloadError("plain http is fetched on loopback only: use https")
        if parts.scheme == "file" and parts.netloc in {"", "localhost"}:
            return "file"
        raise DownloadError("a feed's URL begins with https://, or file:/// for a local folder")

    # file: --------------------------------------------------------------------------------------------------------------------------

    def _file(self, url: str) -> Iterator[bytes]:
        self.requests += 1
        path = unquote(urlsplit(url).path)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO must not be waited for
        except (FileNotFoundError, NotADirectoryError):
            raise DownloadHTTPError("there is no such file", 404) from None
        except OSError as error:
            raise DownloadError(f"the file cannot be read: {error.strerror}") from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise DownloadError("it is not a file")
        return self._blocks_of(descriptor)

    def _blocks_of(self, descriptor: int) -> Iterator[bytes]:
        with os.fdopen(descriptor, "rb") as file:
            while block := file.read(BLOCK_OCTETS):
                self._in_time()
                yield block

    # http: --------------------------------------------------------------------------------------------------------------------------

    def _http(self, url: str) -> Iterator[bytes]:
        conditional = urlsplit(url).path.endswith("/timestamp.json")
        known = self._etags.get(url) if conditional else None
        response = self._follow(url, known[0] if known else None)
        if response.status == 304 and known is not None:
            response.release_conn()
            self.not_modified += 1
            return iter((known[1],))
        if response.status != 200:
            response.close()
            raise DownloadHTTPError(f"the server answered with status {response.status}", response.status)
        return self._body(url, response, response.headers.get("ETag") if conditional else None)

    def _follow(self, url: str, etag: str | None) -> urllib3.BaseHTTPResponse:
        """Ask, and follow redirects by hand: each hop is checked as the first URL was."""
        for _ in range(REDIRECTS_MAX + 1):
            response = self._ask(url, etag)
            if response.status not in {301, 302, 303, 307, 308}:
                return response
            response.close()
            target = urljoin(url, response.headers.get("Location", ""))
            if self._allowed(target) == "file" or (urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https"):
                raise DownloadError("the server redirects to where a feed is not fetched from")
            url = target
        raise DownloadError(f"the server redirects more than {REDIRECTS_MAX} times")

    def _ask(self, url: str, etag: str | None) -> urllib3.BaseHTTPResponse:
        self.requests += 1
        headers = {"User-Agent": "blockd", "Accept-Encoding": "identity", "Cache-Control": "no-cache" if etag else "max-age=0"}
        if etag:
            headers["If-None-Match"] = etag
        headers |= self._credentials(url)
        left_s = max(0.001, self._deadline - self._clock())
        timeout = urllib3.Timeout(connect=min(CONNECT_TIMEOUT_S, left_s), read=min(IDLE_TIMEOUT_S, left_s))
        try:
            response = self._pool(url).request(
                "GET", url, headers=headers, preload_content=False, redirect=False, retries=False, timeout=timeout
            )
            self._in_time()
        except urllib3.exceptions.NewConnectionError as error:  # one of the time-outs to the library: refused, no route, no such name
            self._in_time()
            raise _unreachable(error) from error
        except urllib3.exceptions.TimeoutError as error:
            raise SlowRetrievalError("the server did not answer in time") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            self._in_time()
            raise _unreachable(error) from error
        return response

    def _body(self, url: str, response: urllib3.BaseHTTPResponse, etag: str | None) -> Iterator[bytes]:
        kept: list[bytes] | None = [] if etag else None
        size = 0
        try:
            while block := response.read1(BLOCK_OCTETS):  # what has come, at most so much: a slow server must not hide behind a full block
                self._in_time()
                size += len(block)
                if kept is not None:
                    kept = [*kept, block] if size <= CACHED_MAX_OCTETS else None
                yield block
        except urllib3.exceptions.TimeoutError as error:
            raise SlowRetrievalError("the server stopped sending") from error
        except urllib3.exceptions.HTTPError as error:
            self._in_time()
            raise DownloadError("the connection broke off") from error
        finally:
            response.close()
        if kept is not None and etag is not None:
            while len(self._etags) >= ETAGS_MAX:
                self._etags.pop(next(iter(self._etags)))
            self._etags[url] = (etag, b"".join(kept))

    def _in_time(self) -> None:
        if self._cut_off or self._clock() > self._deadline:
            raise SlowRetrievalError("the server sends too slowly")

    def _credentials(self, url: str) -> dict[str, str]:
        parts = urlsplit(url)
        if self._token_file is None or _origin(url) != self._host or (parts.scheme == "http" and parts.hostname not in _LOOPBACK):
            return {}
        try:
            with self._token_file.open("rb") as file:
                token = file.read(TOKEN_MAX_OCTETS).strip().decode("ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise Misconfigured(f"token_file {self._token_file} cannot be read as one line of ASCII") from error
        return {"Authorization": f"Bearer {token}"}

    def _pool(self, url: str) -> urllib3.PoolManager:
        """Return the connections to use: through the proxy that the environment names for this URL, or straight."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        proxies = urllib.request.getproxies()
        proxy = None if urllib.request.proxy_bypass(host) else proxies.get(parts.scheme, proxies.get("all"))
        tls = self._tls if _origin(url) == self._host else {k: v for k, v in self._tls.items() if k == "ca_certs"}
        key = f"{proxy} {bool(tls)} {_origin(url) == self._host}"
        if key not in self._pools:
            pool = urllib3.ProxyManager(proxy, **tls) if proxy else urllib3.PoolManager(**tls)  # type: ignore[arg-type]
            pool.pool_classes_by_scheme = _pool_classes(self._connections)
            self._pools[key] = pool
        return self._pools[key]


def _unreachable(error: Exception) -> DownloadError:
    if isinstance(error, urllib3.exceptions.SSLError):
        return DownloadError("the TLS connection was refused: check the certificates on both sides, and the clock")
    if isinstance(error, urllib3.exceptions.HTTPError):
        return DownloadError("the server cannot be reached")
    # A client certificate that cannot be read.
    why = getattr(error, "strerror", None) or "a certificate or key does not load"
    return DownloadError(f"the connection could not be prepared: {why}")


class _Cuttable(HTTPConnection):
    """A connection that another thread can end. `connections`: where it is found."""

    connections: weakref.WeakSet[_Cuttable]
    _copy: socket.socket | None = None  # of the descriptor, since TLS takes the socket itself for its own

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        self._copy = sock.dup()
        self.connections.add(self)
        return sock

    def cut(self) -> None:
        if self._copy is not None:
            with suppress(OSError):  # ended already
                self._copy.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        super().close()
        if self._copy is not None:
            self._copy.close()
            self._copy = None


def _pool_classes(where: weakref.WeakSet[_Cuttable]) -> dict[str, type[HTTPConnectionPool]]:
    class Plain(_Cuttable):
        connections = where

    class Secure(_Cuttable, HTTPSConnection):
        connections = where

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


class Bounded(FetcherInterface):
    """Another fetcher, for metadata of at most `limit` octets: the library takes the limit from metadata that the online key signs alone."""

    def __init__(self, fetcher: FetcherInterface, limit: int) -> None:
        super().__init__()
        self._fetcher = fetcher
        self._limit = limit

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """Download metadata."""
        return bytes(self._fetcher.download_bytes(url, min(max_length, self._limit)))

    @contextmanager
    def download_file(self, url: str, max_length: int) -> Iterator[IO[bytes]]:
        """Download a target."""
        with self._fetcher.download_file(url, max_length) as file:
            yield file

    def _fetch(self, url: str) -> Iterator[bytes]:
        raise NotImplementedError(url)


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port
