"""The example lists hold reserved names only, in all seven formats; every name and URL in them is readable and none is protected."""

from __future__ import annotations

import csv
import ipaddress
import re

import pytest

from blockd.names import DomainName, parse_domain, parse_url_entry, protected_names, public_suffix, store
from blockd.terms import Category, Format

RESERVED = [parse_domain(n) for n in ("example", "example.com", "example.net", "example.org", "test", "invalid", "испытание")]
DOCUMENTATION = [ipaddress.ip_network(n) for n in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")]
FILES = {
    "gambling.domains": Format.DOMAINS,
    "malware.hosts": Format.HOSTS,
    "phishing.wildcard": Format.WILDCARD,
    "advertising.adblock": Format.ADBLOCK,
    "sanctions.rpz": Format.RPZ,
    "csam.urls": Format.URLS,
    "court.csv": Format.CSV,
}
LOCAL = {"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"}


def rows(name):
    text = store.read(f"examples/{name}").decode("utf-8")
    return [line.strip() for line in text.splitlines() if line.strip() and line.strip()[0] not in "#!;["]


def entries(name):
    """What the rows name, in the plainest way; the formats' own reader is tested in tests/feeds."""
    match FILES[name]:
        case Format.DOMAINS | Format.URLS:
            return rows(name)
        case Format.HOSTS:
            return [n for row in rows(name) for n in row.partition("#")[0].split()[1:] if n not in LOCAL]
        case Format.WILDCARD:
            return [row.removeprefix("*.") for row in rows(name)]
        case Format.ADBLOCK:
            return [re.fullmatch(r"\|\|(.*)\^", row)[1] for row in rows(name)]
        case Format.RPZ:
            found = [re.match(r"(\S+)\s+(CNAME|A)\s", row) for row in rows(name)]
            return [f[1].removeprefix("*.") for f in found if f]
        case Format.CSV:
            return [row["entry"] for row in csv.DictReader(store.read(f"examples/{name}").decode().splitlines())]


def reserved(domain: DomainName | None, host: str) -> bool:
    if domain is None:
        address = ipaddress.ip_address(host.strip("[]"))
        return any(address in net for net in DOCUMENTATION)
    return any(domain.is_within(parent) and domain != parent for parent in RESERVED)


def test_one_example_for_each_format():
    assert sorted(FILES.values()) == sorted(Format)
    there = {p.name for p in store.shipped("examples").iterdir()}
    assert there == {*FILES, "README.md"}


@pytest.mark.parametrize("name", FILES)
def test_every_entry_is_readable_reserved_and_blockable(name):
    found = entries(name)
    assert len(found) > 4
    protected = {suffix for known in protected_names() for suffix in known.suffixes()}
    for entry in found:
        if "/" in entry:
            for url in parse_url_entry(entry):
                assert reserved(url.domain, url.host), entry
        else:
            domain = parse_domain(entry)
            assert reserved(domain, entry), entry
            assert domain.wire not in protected, entry
            assert public_suffix(domain) != domain, entry
    assert len(set(found)) == len(found) or name == "sanctions.rpz"


@pytest.mark.parametrize("name", FILES)
def test_every_format_shows_an_international_name(name):
    assert any(not entry.isascii() or "xn--" in entry for entry in entries(name))


def test_what_the_demo_needs():
    gambling = entries("gambling.domains")
    assert len(gambling) > 250
    assert {"casino.example", "canary.casino.example"} <= set(gambling)
    assert "ordered.example" in entries("court.csv")
    assert not {"www.allowed.example", "new-arrival.example", "innocent.example"} & set(gambling)


def test_the_categories_of_the_csv_are_of_the_closed_set():
    for row in csv.DictReader(store.read("examples/court.csv").decode().splitlines()):
        assert row["category"] in set(Category)


def test_the_format_notes_speak_of_every_format():
    notes = store.read("formats/README.md").decode()
    for known in Format:
        assert re.search(rf"^## `{known.value}`", notes, re.MULTILINE), known
