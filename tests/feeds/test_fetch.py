"""The fetcher against a real HTTP server on loopback, and against files."""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time
from contextlib import suppress
from types import SimpleNamespace

import pytest

from blockd.errors import Misconfigured, Refused, Unavailable
from blockd.feeds import fetch
from blockd.feeds.client import Subscription
from blockd.feeds.fetch import Bounded, Fetcher
from blockd.feeds.metadata import DownloadError, DownloadHTTPError, DownloadLengthMismatchError, SlowRetrievalError
from tests.feeds.simulator import NOW
from tests.feeds.web import Server


@pytest.fixture
def server():
    made = Server().start()
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def test_a_file_is_fetched(server):
    server.files["/x"] = b"hello" * 100_000
    fetcher = Fetcher(server.url)
    assert fetcher.download_bytes(f"{server.url}/x", 500_000) == b"hello" * 100_000
    assert server.requests[0][1]["Accept-Encoding"] == "identity"


def test_more_octets_than_the_limit(server):
    server.files["/x"] = b"x" * 1001
    with pytest.raises(DownloadLengthMismatchError):
        Fetcher(server.url).download_bytes(f"{server.url}/x", 1000)


def test_endless_data_without_a_length(server):
    def endless():
        while True:
            yield bytes(65536)

    server.answers["/x"] = (200, {}, endless())
    with pytest.raises(DownloadLengthMismatchError):
        Fetcher(server.url).download_bytes(f"{server.url}/x", 1_000_000)


@pytest.mark.parametrize("status", [400, 403, 404, 500, 503, 204, 206, 304])
def test_a_status_that_is_no_success(server, status):
    server.answers["/x"] = (status, {"Content-Length": "0"}, [])
    with pytest.raises(DownloadHTTPError) as caught:
        Fetcher(server.url).download_bytes(f"{server.url}/x", 1000)
    assert caught.value.status_code == status


@pytest.mark.parametrize("block", [b"x" * fetch.BLOCK_OCTETS, b"x"], ids=["full", "dripping"])
def test_slow_retrieval_by_the_whole_time(server, block):
    # The clock of the fetcher jumps with each look at it: no test sleeps. The server waits until its last block was taken.
    taken = threading.Semaphore(1)
    ticks = itertools.count(0, 20)

    def clock():
        taken.release()
        return float(next(ticks))

    def blocks():
        for _ in range(50):
            taken.acquire(timeout=10)
            yield block

    server.answers["/x"] = (200, {}, blocks())
    fetcher = Fetcher(server.url, clock=clock)
    with pytest.raises(SlowRetrievalError):
        fetcher.download_bytes(f"{server.url}/x", 10_000_000)


def test_slow_retrieval_by_idleness(server, monkeypatch):
    monkeypatch.setattr(fetch, "IDLE_TIMEOUT_S", 0.2)
    stop = threading.Event()

    def stalls():
        yield b"x"
        stop.wait(20)
        yield b"y"

    server.answers["/x"] = (200, {}, stalls())
    with pytest.raises(SlowRetrievalError):
        Fetcher(server.url).download_bytes(f"{server.url}/x", 10_000)
    stop.set()


@pytest.mark.parametrize(
    ("scheme", "begins"),
    [
        ("http", b"HTTP/1.1 200 OK\r\nX: "),
        ("https", b"\x16\x03\x03\x40\x00\x02"),
        ("http", b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"),
    ],
    ids=["headers", "TLS handshake", "body"],
)
def test_a_server_that_drips_is_given_up_wherever_it_is(monkeypatch, scheme, begins):
    """Each octet comes well within the idle time, and there is always one more."""
    monkeypatch.setattr(fetch, "FILE_TIMEOUT_S", 0.3)
    stop = threading.Event()

    def drip(listener):
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(begins)
            while not stop.wait(0.02):
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,), daemon=True)
        thread.start()
        url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(SlowRetrievalError):
            Fetcher(url).download_bytes(f"{url}/x", 1000)
        took_s = time.monotonic() - began
        stop.set()
        thread.join()
    assert took_s < 5


def test_what_was_cut_off_is_asked_for_again(server, monkeypatch):
    server.files["/x"] = b"good"
    stop = threading.Event()
    server.answers["/slow"] = (200, {"Content-Length": "2"}, (b"x" for _ in range(2) if stop.wait(20) or True))
    fetcher = Fetcher(server.url)
    with monkeypatch.context() as short:
        short.setattr(fetch, "FILE_TIMEOUT_S", 0.2)
        with pytest.raises(SlowRetrievalError):
            fetcher.download_bytes(f"{server.url}/slow", 10)
    stop.set()
    assert fetcher.download_bytes(f"{server.url}/x", 10) == b"good"
    assert len(fetcher._connections) <= 1


def test_connections_are_used_again(server):
    server.files["/x"] = b"good"
    fetcher = Fetcher(server.url)
    for _ in range(3):
        assert fetcher.download_bytes(f"{server.url}/x", 10) == b"good"
    assert len(fetcher._connections) == 1


def test_metadata_has_a_limit_whatever_it_says_of_itself(server):
    server.files["/x"] = b"x" * 1000
    bounded = Bounded(Fetcher(server.url), 999)
    with pytest.raises(DownloadLengthMismatchError):
        bounded.download_bytes(f"{server.url}/x", 5000)
    with bounded.download_file(f"{server.url}/x", 5000) as file:
        assert len(file.read()) == 1000


def test_a_larger_file_may_take_longer():
    times = [0.0]
    fetcher = Fetcher("https://feed.example", clock=lambda: times[0])
    fetcher._deadline = 0.0
    with pytest.raises(DownloadError), fetcher.download_file("ftp://x", 32 * 1024 * 1000):
        pass
    assert fetcher._deadline == fetch.FILE_TIMEOUT_S + 1000


def test_a_server_that_is_not_there():
    with pytest.raises(DownloadError, match=r"^the server cannot be reached$"):  # not "in time": nobody waited
        Fetcher("http://127.0.0.1:1").download_bytes("http://127.0.0.1:1/x", 1000)


def test_a_body_that_breaks_off(server):
    def cut():
        yield b"short"
        raise OSError

    server.answers["/x"] = (200, {"Content-Length": "100", "Connection": "close"}, cut())
    with pytest.raises(DownloadError):
        Fetcher(server.url).download_bytes(f"{server.url}/x", 1000)


# Conditional -------------------------------------------------------------------------------------------------------------------------


def test_an_unchanged_timestamp_is_not_sent_again(server):
    server.files["/metadata/timestamp.json"] = b"one"
    fetcher = Fetcher(server.url)
    url = f"{server.url}/metadata/timestamp.json"
    assert [fetcher.download_bytes(url, 100) for _ in range(3)] == [b"one"] * 3
    assert fetcher.not_modified == 2
    server.files["/metadata/timestamp.json"] = b"two"
    assert fetcher.download_bytes(url, 100) == b"two"
    assert fetcher.download_bytes(url, 100) == b"two"
    assert fetcher.not_modified == 3


def test_other_files_are_not_asked_for_conditionally(server):
    server.files["/metadata/1.root.json"] = b"one"
    fetcher = Fetcher(server.url)
    for _ in range(2):
        fetcher.download_bytes(f"{server.url}/metadata/1.root.json", 100)
    assert not any("If-None-Match" in headers for _, headers in server.requests)


def test_a_large_timestamp_is_not_kept(server):
    server.files["/timestamp.json"] = b"x" * (fetch.CACHED_MAX_OCTETS + 1)
    fetcher = Fetcher(server.url)
    for _ in range(2):
        fetcher.download_bytes(f"{server.url}/timestamp.json", 10**6)
    assert fetcher.not_modified == 0


# Redirects and schemes ----------------------------------------------------------------------------------------------------------------


def test_a_redirect_is_followed(server):
    server.files["/y"] = b"here"
    server.answers["/x"] = (302, {"Location": "/y", "Content-Length": "0"}, [])
    assert Fetcher(server.url).download_bytes(f"{server.url}/x", 100) == b"here"


@pytest.mark.parametrize("target", ["file:///etc/passwd", "http://192.0.2.1/x", "ftp://127.0.0.1/x", "gopher:x"])
def test_a_redirect_to_where_a_feed_is_not_fetched_from(server, target):
    server.answers["/x"] = (302, {"Location": target, "Content-Length": "0"}, [])
    with pytest.raises(DownloadError):
        Fetcher(server.url).download_bytes(f"{server.url}/x", 100)
    assert len(server.requests) == 1


def test_a_redirect_loop_ends(server):
    server.answers["/x"] = (302, {"Location": "/x", "Content-Length": "0"}, [])
    with pytest.raises(DownloadError, match="redirects"):
        Fetcher(server.url).download_bytes(f"{server.url}/x", 100)
    assert len(server.requests) == fetch.REDIRECTS_MAX + 1


def test_https_never_becomes_http(monkeypatch):
    fetcher = Fetcher("https://feed.example")
    asked = []

    def ask(url, etag):
        asked.append(url)
        return SimpleNamespace(status=302, headers={"Location": "http://127.0.0.1/x"}, close=lambda: None)

    monkeypatch.setattr(fetcher, "_ask", ask)
    with pytest.raises(DownloadError, match="redirects"):
        fetcher.download_bytes("https://feed.example/x", 100)
    assert asked == ["https://feed.example/x"]


@pytest.mark.parametrize(
    "url", ["http://feed.example/x", "ftp://feed.example/x", "feed.example", "", "https:///x", "file://other.example/x", "HTTPS"]
)
def test_urls_that_are_not_fetched(url):
    with pytest.raises(Misconfigured):
        Fetcher(url)


@pytest.mark.parametrize(
    "url",
    ["https://feed.example", "http://localhost:8080", "http://127.0.0.1", "http://[::1]:80", "file:///srv/feed", "file://localhost/srv"],
)
def test_urls_that_are(url):
    Fetcher(url)


def test_plain_http_from_elsewhere_when_the_caller_says_so():
    Fetcher("http://mirror.example", allow_http=True)


# Members' access -----------------------------------------------------------------------------------------------------------------------


def test_the_token_goes_to_the_feeds_own_server_only(server, tmp_path):
    other = Server({"/y": b"here"}).start()
    try:
        token = tmp_path / "token"
        token.write_text("s3cret\n", encoding="ascii")
        server.answers["/x"] = (302, {"Location": f"{other.url}/y", "Content-Length": "0"}, [])
        assert Fetcher(server.url, token_file=token).download_bytes(f"{server.url}/x", 100) == b"here"
        assert server.requests[0][1]["Authorization"] == "Bearer s3cret"
        assert "Authorization" not in other.requests[0][1]
    finally:
        other.stop()


def test_the_token_never_goes_over_plain_http_off_this_machine(tmp_path):
    token = tmp_path / "token"
    token.write_text("s3cret", encoding="ascii")
    fetcher = Fetcher("http://mirror.example", allow_http=True, token_file=token)
    assert fetcher._credentials("http://mirror.example/x") == {}


def test_a_token_file_that_cannot_be_read(server, tmp_path):
    with pytest.raises((Misconfigured, DownloadError)):
        Fetcher(server.url, token_file=tmp_path / "none").download_bytes(f"{server.url}/x", 10)


def test_a_client_certificate_that_cannot_be_read(tmp_path):
    fetcher = Fetcher("https://127.0.0.1:1", client_certificate=tmp_path / "none.pem")
    with pytest.raises(DownloadError):
        fetcher.download_bytes("https://127.0.0.1:1/x", 10)


def test_a_proxy_of_the_environment_is_used(server, monkeypatch):
    server.answers["http://mirror.example/x"] = (200, {"Content-Length": "4"}, [b"here"])
    monkeypatch.setenv("http_proxy", server.url)
    fetcher = Fetcher("http://mirror.example", allow_http=True)
    assert fetcher.download_bytes("http://mirror.example/x", 100) == b"here"
    monkeypatch.setenv("no_proxy", "mirror.example")
    assert urls_of(fetcher, "http://mirror.example/x") is None


def urls_of(fetcher, url):
    return getattr(fetcher._pool(url), "proxy", None)


# Files ---------------------------------------------------------------------------------------------------------------------------------


def test_a_local_file(tmp_path):
    (tmp_path / "a b").write_bytes(b"here")
    fetcher = Fetcher(tmp_path.as_uri())
    assert fetcher.download_bytes(f"{tmp_path.as_uri()}/a%20b", 10) == b"here"


def test_a_local_file_that_is_not_there_is_a_404(tmp_path):
    for path in ("none", "none/below"):
        with pytest.raises(DownloadHTTPError) as caught:
            Fetcher(tmp_path.as_uri()).download_bytes(f"{tmp_path.as_uri()}/{path}", 10)
        assert caught.value.status_code == 404


def test_what_is_not_a_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    for name in ("fifo", "folder"):
        with pytest.raises(DownloadError):
            Fetcher(tmp_path.as_uri()).download_bytes(f"{tmp_path.as_uri()}/{name}", 10)


# Whole ---------------------------------------------------------------------------------------------------------------------------------


def test_a_subscription_over_http(server, publisher, tmp_path):
    def publish_to_server():
        for path in publisher.repo.rglob("*"):
            if path.is_file():
                server.files[f"/feed/{path.relative_to(publisher.repo)}"] = path.read_bytes()

    publisher.init()
    publisher.publish()
    publish_to_server()
    feed = SimpleNamespace(name="hotline", url=f"{server.url}/feed/", root=publisher.repo / "root.json")
    subscription = Subscription(feed, tmp_path / "state")
    assert subscription.refresh(NOW)
    assert subscription.download("gambling").path.read_bytes() == b"casino.example\n"
    server.requests.clear()
    assert not subscription.refresh(NOW)
    assert [path for path, _ in server.requests] == ["/feed/metadata/2.root.json", "/feed/metadata/timestamp.json"]
    assert "If-None-Match" in server.requests[1][1]
    publisher.publish(text="more.example\n")
    publish_to_server()
    assert subscription.refresh(NOW)
    assert subscription.download("gambling").version == 2
    server.answers["/feed/metadata/timestamp.json"] = (503, {"Content-Length": "0"}, [])
    with pytest.raises(Unavailable):
        subscription.refresh(NOW)
    server.answers["/feed/metadata/timestamp.json"] = (403, {"Content-Length": "0"}, [])
    with pytest.raises(Refused, match="does not let us in"):
        subscription.refresh(NOW)
