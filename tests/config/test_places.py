from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockd.config import places as p
from blockd.config.values import BadValue

BASE = Path("/etc/blockd")


def refused(read, *args):
    with pytest.raises(BadValue) as caught:
        read(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("127.0.0.1:53", "127.0.0.1", 53), ("[::1]:0", "::1", 0), ("[2001:DB8:0::1]:65535", "2001:db8::1", 65535)],
)
def test_endpoints(text, host, port):
    assert p.endpoint(text) == p.Endpoint(host, port)


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1",
        "::1:53",
        "[::1]",
        "[127.0.0.1]:53",
        "localhost:53",
        ":53",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:53x",
        "127.1:53",
        "0127.0.0.1:53",
        "[fe80::1%eth0]:53",
        "",
        "1.2.3.4:5:6",
    ],
)
def test_bad_endpoints(text):
    refused(p.endpoint, text)


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)), st.integers(0, 65535))
def test_endpoints_are_read_as_written(address: IPv4Address | IPv6Address, port):
    made = p.Endpoint(str(address), port)
    assert p.endpoint(str(made)) == made


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("udp://192.0.2.53", "udp://192.0.2.53:53"),
        ("tcp://[2001:db8::53]:5353", "tcp://[2001:db8::53]:5353"),
        ("tls://Resolver.Example.@192.0.2.53", "tls://resolver.example@192.0.2.53:853"),
        ("tls://xn--bcher-kva.example@[2001:DB8::53]:8853", "tls://xn--bcher-kva.example@[2001:db8::53]:8853"),
    ],
)
def test_upstreams(text, shown):
    read = p.upstream(text)
    assert str(read) == shown
    assert p.upstream(shown) == read


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("192.0.2.53:53", "udp://"),
        ("tls://192.0.2.53", 'lacks the name that the certificate must have: "tls://resolver.example@192.0.2.53:853"'),
        ("tls://@192.0.2.53", "not the name of a host"),
        ("tls://192.0.2.53@192.0.2.53", "not the name of a host"),
        ("tls://b\u00fccher.example@192.0.2.53", "not the name of a host"),
        ("tls://*.example@192.0.2.53", "not the name of a host"),
        ("tls://a..example@192.0.2.53", "not the name of a host"),
        (f"tls://{'a' * 64}.example@192.0.2.53", "not the name of a host"),
        (f"tls://{'a.' * 130}example@192.0.2.53", "not the name of a host"),
        ("tls://resolver.example@resolver.example", "not looked up"),
        ("tls://a@b@192.0.2.53", "not the name of a host"),
        ("udp://resolver.example@192.0.2.53", "no certificate to check a name with"),
        ("https://192.0.2.53/dns-query", "not built yet"),
        ("ud://192.0.2.53", "did you mean"),
        ("udp://resolver.example:53", "not looked up"),
        ("udp://192.0.2.53:53/x", "behind the port"),
        ("udp://0.0.0.0:53", "can be asked"),
        ("udp://192.0.2.53:0", "can be asked"),
        ("udp://", "not an IP address"),
    ],
)
def test_bad_upstreams(text, says):
    assert says in refused(p.upstream, text)


def test_networks():
    assert p.network("192.0.2.0/24") == "192.0.2.0/24"
    assert p.network("192.0.2.7") == "192.0.2.7/32"
    assert p.network("2001:DB8::/32") == "2001:db8::/32"
    assert refused(p.network, "10.1.2.3/8") == '"10.1.2.3/8" has bits set behind its prefix: write "10.0.0.0/8"'
    refused(p.network, "10.0.0.0/33")
    refused(p.network, "everyone")


@given(st.ip_addresses(), st.integers(0, 128))
def test_networks_are_read_as_written(address, bits):
    written = str(ip_network((address, min(bits, address.max_prefixlen)), strict=False))
    assert p.network(written) == written


@pytest.mark.parametrize("text", ["0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "ff02::1", "page.example", "192.0.2.80:80"])
def test_an_address_that_is_no_host_is_refused(text):
    refused(p.page_address, text)


@pytest.mark.parametrize("text", ["mailto:abuse@example.net", "tel:+49-30-123456", "tel:112"])
def test_contacts(text):
    assert p.contact(text) == text


@pytest.mark.parametrize(
    "text", ["abuse@example.net", "https://example.net", "mailto:x", "mailto:a b@c", "tel:", "sip:x@y", 'mailto:"<script>"@x']
)
def test_a_scheme_that_a_structured_error_may_not_carry_is_refused(text):
    refused(p.contact, text)


def test_paths_start_from_the_folder_of_the_file():
    assert p.PATH.read("roots/x.json", BASE) == Path("/etc/blockd/roots/x.json")
    assert p.PATH.read("/x.json", BASE) == Path("/x.json")
    assert "empty" in refused(p.PATH.read, "", BASE)
    assert p.OPTIONAL_PATH.read("", BASE) is None
    refused(p.PATH.read, "a\0b", BASE)


@pytest.mark.parametrize("text", ["https://feeds.example/tuf", "http://192.0.2.1:8080", "https://[2001:db8::1]/x", "file:///srv/feed"])
def test_urls(text):
    assert p.url("https", "http", "file").read(text, BASE) == text
    assert p.url("https", "http", "file").read(f"{text}/", BASE) == text


@pytest.mark.parametrize(
    "text",
    [
        "feeds.example",
        "ftp://x",
        "https://",
        "https://user:secret@x/",
        "https://x/?q",
        "https://x/#f",
        "https://x y",
        "file://srv/feed",
        "file:feed",
        "https://x:123456/",
        "https://-x/",
        "",
    ],
)
def test_bad_urls(text):
    refused(p.url("https", "http", "file").read, text, BASE)


@pytest.mark.parametrize("text", ["", "0root", "a b", "x" * 40, "root:root"])
def test_bad_accounts(text):
    refused(p.account, text)
