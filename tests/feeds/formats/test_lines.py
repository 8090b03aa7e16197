"""Each row of lists/formats/README.md that is about the line formats."""

from __future__ import annotations

import pytest

from blockd.feeds.formats import Bad, Entry, entries_of, parse_row
from blockd.terms import Format, Kind


def said(format: Format, text: str):
    """A row's result as plain values: [(kind, name or URL)], a reason, or None."""
    result = parse_row(format, text)
    if isinstance(result, Bad):
        return str(result.reason)
    if result is None:
        return None
    return [(entry.kind, str(entry.name or entry.url)) for entry in entries_of(result)]


SUBTREE, EXACT, URL = Kind.SUBTREE, Kind.EXACT, Kind.URL


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("casino.example", [(SUBTREE, "casino.example")]),
        ("  CASINO.Example.\r", [(SUBTREE, "casino.example")]),
        ("", None),
        (" \t\r", None),
        ("# a comment", None),
        ("  # a comment", None),
        ("casino.example # a comment", [(SUBTREE, "casino.example")]),
        ("casino.example\t#", [(SUBTREE, "casino.example")]),
        ("casino.example#comment", "character"),
        ("two names.example", "character"),
        ("two names.example # comment", "character"),
        (".casino.example", "empty_label"),
        ("a..example", "empty_label"),
        ("casino.example/path", "character"),
        ("http://casino.example/", "character"),
        ("casino.example:8080", "character"),
        ("*.casino.example", "character"),
        ("192.0.2.1", "address"),
        ("foo.09", "address"),
        ("2001:db8::1", "address"),
        (".", "root"),
        ("a" * 64 + ".example", "label"),
        ("bücher.example", [(SUBTREE, "xn--bcher-kva.example")]),
        ("faß.example", [(SUBTREE, "xn--fa-hia.example")]),
        ("_dmarc.-odd-.example", [(SUBTREE, "_dmarc.-odd-.example")]),
        (r"a\046b.example", [(SUBTREE, r"a\.b.example")]),
        (r"a\.b.example", [(SUBTREE, r"a\.b.example")]),
        (r"a\9.example", "escape"),
        ("x\x0b.example", "character"),
        ("\udcff.example", "encoding"),
        ("a" * 8193, "too_long"),
        ("ü" * 4097, "too_long"),
    ],
)
def test_domains(text, expected):
    assert said(Format.DOMAINS, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.0.0.0 a.example", [(EXACT, "a.example")]),
        ("127.0.0.1\ta.example  b.example # c.example", [(EXACT, "a.example"), (EXACT, "b.example")]),
        ("::1 a.example#comment", [(EXACT, "a.example")]),
        (":: a.example", [(EXACT, "a.example")]),
        ("0.0.0.0 localhost", None),
        ("127.0.0.1 localhost localhost.localdomain", None),
        ("::1 ip6-localhost a.example", [(EXACT, "a.example")]),
        ("# nothing", None),
        ("", None),
        ("192.0.2.1 a.example", "hosts_address"),
        ("0.0.0.00 a.example", "hosts_address"),
        ("a.example", "hosts_address"),
        ("0.0.0.0", "no_name"),
        ("0.0.0.0 # a.example", "no_name"),
        ("0.0.0.0 0.0.0.0", "address"),
        ("0.0.0.0 good.example bad/name", "character"),
        ("0.0.0.0 bücher.example", [(EXACT, "xn--bcher-kva.example")]),
    ],
)
def test_hosts(text, expected):
    assert said(Format.HOSTS, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*.a.example", [(SUBTREE, "a.example")]),
        ("*.a.example # why", [(SUBTREE, "a.example")]),
        ("# *.a.example", None),
        ("a.example", "not_wildcard"),
        ("*a.example", "not_wildcard"),
        ("*", "not_wildcard"),
        ("*.", "empty"),
        ("*.*.a.example", "character"),
        ("*.ad*.example", "character"),
        ("*.192.0.2.1", "address"),
    ],
)
def test_wildcard(text, expected):
    assert said(Format.WILDCARD, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("||a.example^", [(SUBTREE, "a.example")]),
        ("||bücher.example^", [(SUBTREE, "xn--bcher-kva.example")]),
        ("! a comment", None),
        ("[Adblock Plus 2.0]", None),
        ("[adguard]", None),
        ("[$path=/x]||a.example^", "pattern"),
        ("||a.example", "pattern"),
        ("|a.example^", "pattern"),
        ("a.example", "pattern"),
        ("||a.example/ads/^", "pattern"),
        ("||a.example^x", "pattern"),
        ("/banner[0-9]+/", "pattern"),
        ("||a.example^$third-party", "options"),
        ("||a.example^$", "options"),
        ("@@||a.example^", "exception"),
        ("a.example##.ad", "cosmetic"),
        ("a.example#@#.ad", "cosmetic"),
        ("a.example#?#.ad", "cosmetic"),
        ("##.ad", "cosmetic"),
        ("# comment", "pattern"),
        ("||^", "empty"),
        ("||*.a.example^", "character"),
        ("||192.0.2.1^", "address"),
    ],
)
def test_adblock(text, expected):
    assert said(Format.ADBLOCK, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://a.example/x?y=1#z", [(URL, "https://a.example/x?y=1")]),
        ("a.example/x", [(URL, "http://a.example/x"), (URL, "https://a.example/x")]),
        ("a.example", [(URL, "http://a.example/"), (URL, "https://a.example/")]),
        ("192.0.2.1/x", [(URL, "http://192.0.2.1/x"), (URL, "https://192.0.2.1/x")]),
        ("http://[2001:db8::1]:8080/x", [(URL, "http://[2001:db8::1]:8080/x")]),
        ("HTTP://A.example:80/a b", [(URL, "http://a.example/a%20b")]),
        ("# comment", None),
        ("", None),
        ("ftp://a.example/", "scheme"),
        ("user@a.example", "scheme"),
        ("http://", "url"),
    ],
)
def test_urls(text, expected):
    assert said(Format.URLS, text) == expected


def test_an_address_host_has_no_domain_and_a_name_has_one():
    by_address = entries_of(parse_row(Format.URLS, "http://192.0.2.1/x"))[0]
    by_name = entries_of(parse_row(Format.URLS, "http://a.example/x"))[0]
    assert by_address.url.domain is None
    assert str(by_name.url.domain) == "a.example"


@pytest.mark.parametrize("format", list(Format))
def test_a_bad_row_says_nothing_of_its_text(format):
    result = parse_row(format, "secret name.example/ \\9")
    assert "secret" not in repr(result)


@pytest.mark.parametrize("format", [Format.DOMAINS, Format.WILDCARD, Format.ADBLOCK, Format.HOSTS])
def test_one_name_is_one_entry(format):
    text = {"domains": "a.example", "wildcard": "*.a.example", "adblock": "||a.example^", "hosts": "0.0.0.0 a.example"}[format]
    assert isinstance(parse_row(format, text), Entry)
