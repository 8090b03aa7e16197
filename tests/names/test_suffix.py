"""Public suffixes: the algorithm on small lists, the list's own published cases, and an independent implementation as the oracle."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st
from publicsuffixlist import PublicSuffixList

from blockd.errors import Corrupt
from blockd.names import InvalidName, parse_domain, public_suffix, registrable, store
from blockd.names.suffix import FILE, RuleKind, SuffixRule, parse, shipped

SMALL = b"""// ===BEGIN ICANN DOMAINS===
com
uk
co.uk
*.ck
!www.ck
jp
*.kawasaki.jp
!city.kawasaki.jp
\xe5\x85\xac\xe5\x8f\xb8.cn  a comment behind white space
a.b.c.d
*.c.d
// ===END ICANN DOMAINS===
// ===BEGIN PRIVATE DOMAINS===
blog.example
*.host.example
com
"""


@pytest.mark.parametrize(
    ("domain", "suffix", "site"),
    [
        ("com", "com", None),
        ("example.com", "com", "example.com"),
        ("a.b.example.com", "com", "example.com"),
        ("uk", "uk", None),
        ("co.uk", "co.uk", None),
        ("example.co.uk", "co.uk", "example.co.uk"),
        ("notco.uk", "uk", "notco.uk"),
        # no rule: the rule "*"
        ("unlisted", "unlisted", None),
        ("a.b.unlisted", "unlisted", "b.unlisted"),
        # a wildcard makes its own name a public suffix, as in browsers
        ("ck", "ck", None),
        ("a.ck", "a.ck", None),
        ("b.a.ck", "a.ck", "b.a.ck"),
        ("www.ck", "ck", "www.ck"),
        ("a.www.ck", "ck", "www.ck"),
        ("kawasaki.jp", "kawasaki.jp", None),
        ("a.kawasaki.jp", "a.kawasaki.jp", None),
        ("b.a.kawasaki.jp", "a.kawasaki.jp", "b.a.kawasaki.jp"),
        ("city.kawasaki.jp", "kawasaki.jp", "city.kawasaki.jp"),
        ("a.city.kawasaki.jp", "kawasaki.jp", "city.kawasaki.jp"),
        ("a.公司.cn", "xn--55qx5d.cn", "a.xn--55qx5d.cn"),
        # the rule with the most labels
        ("x.a.b.c.d", "a.b.c.d", "x.a.b.c.d"),
        ("x.b.c.d", "b.c.d", "x.b.c.d"),
        # the private section
        ("me.blog.example", "blog.example", "me.blog.example"),
        ("host.example", "host.example", None),
        ("me.host.example", "me.host.example", None),
    ],
)
def test_the_algorithm(domain, suffix, site):
    rules, name = parse(SMALL), parse_domain(domain)
    assert rules.public_suffix(name) == parse_domain(suffix)
    assert rules.registrable(name) == (parse_domain(site) if site else None)


def test_the_private_section_can_be_left_out():
    rules = parse(SMALL)
    assert rules.public_suffix(parse_domain("me.blog.example"), private=False) == parse_domain("example")
    assert rules.registrable(parse_domain("me.host.example"), private=False) == parse_domain("host.example")
    assert rules.registrable(parse_domain("host.example"), private=False) == parse_domain("host.example")


def test_rules_for_the_rails():
    rules = set(parse(SMALL))
    assert SuffixRule(parse_domain("co.uk"), RuleKind.EXACT, private=False) in rules
    assert SuffixRule(parse_domain("ck"), RuleKind.WILDCARD, private=False) in rules
    assert SuffixRule(parse_domain("ck"), RuleKind.EXACT, private=False) in rules
    assert SuffixRule(parse_domain("www.ck"), RuleKind.EXCEPTION, private=False) in rules
    assert SuffixRule(parse_domain("host.example"), RuleKind.WILDCARD, private=True) in rules
    assert len(rules) == len(list(parse(SMALL))) == 14 + 4
    # The numbers that the native builder takes as flags.
    assert (RuleKind.EXACT, RuleKind.WILDCARD, RuleKind.EXCEPTION) == (1, 2, 4)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"com\n",
        b"// ===BEGIN PRIVATE DOMAINS===\ncom\n",
        SMALL + b"a..b\n",
        SMALL + b"*\n",
        SMALL + b"a.*.b\n",
        SMALL + b"!\n",
        SMALL + b"\xff\xfe.example\n",
        SMALL + b"192.0.2.1\n",
    ],
)
def test_a_broken_list_is_refused(data):
    with pytest.raises(Corrupt):
        parse(data)


def test_windows_line_ends_and_white_space_lines():
    assert dict(parse(SMALL.replace(b"\n", b"\r\n") + b" \r\n\t\n").icann) == dict(parse(SMALL).icann)


def published_cases():
    """checkPublicSuffix('www.test.jp', 'test.jp'), the cases that publicsuffix.org publishes (public domain)."""
    text = (resources.files("publicsuffixlist") / "test_psl.txt").read_text(encoding="utf-8")
    cases = re.findall(r"^checkPublicSuffix\((null|'[^']*'), (null|'[^']*')\);", text, re.MULTILINE)
    return [tuple(None if part == "null" else part.strip("'") for part in case) for case in cases]


@pytest.mark.parametrize(("domain", "site"), published_cases())
def test_published_cases(domain, site):
    if domain is None or domain.startswith("."):
        with pytest.raises(InvalidName):
            registrable(domain or "")
    else:
        assert registrable(domain) == (parse_domain(site) if site else None)


def test_the_published_cases_are_there():
    assert len(published_cases()) > 70


ORACLE = PublicSuffixList(store.read(FILE).decode().splitlines(), accept_unknown=True)
RULES = [str(rule.name) for rule in shipped()]
PREFIXES = st.lists(st.sampled_from(["a", "www", "city", "bucket", "xn--p1ai", "co"]), max_size=3)


@given(PREFIXES, st.sampled_from(RULES))
def test_the_oracle_agrees_around_every_kind_of_rule(prefix, rule):
    name = parse_domain(".".join([*prefix, rule]))
    assert str(public_suffix(name)) == ORACLE.publicsuffix(str(name))
    assert registrable(name) == (parse_domain(site) if (site := ORACLE.privatesuffix(str(name))) else None)


@given(st.sampled_from(RULES))
def test_a_registrable_name_is_its_own_site(rule):
    site = registrable(parse_domain(f"a.b.c.{rule}"))
    assert site is not None
    assert registrable(site) == site
    assert site.parent == public_suffix(site)


def test_the_snapshot_is_dated_whole_and_licensed():
    rules = shipped()
    assert re.fullmatch(r"20\d\d-\d\d-\d\d_.*", rules.version)
    assert rules.version in (store.read("README.md").decode())
    assert len(rules.icann) > 6000
    assert len(rules.private) > 2500
    assert b"Mozilla Public" in store.read(FILE)[:200]
    for known in ("com", "co.uk", "bet.br", "github.io", "s3.amazonaws.com", "blogspot.com", "xn--p1ai", "in-addr.arpa"):
        assert public_suffix(known) == parse_domain(known), known


def test_text_or_name():
    assert public_suffix("www.example.co.uk") == public_suffix(parse_domain("www.example.co.uk")) == parse_domain("co.uk")
    assert registrable("WWW.Example.CO.UK.") == parse_domain("example.co.uk")
    with pytest.raises(InvalidName):
        public_suffix("192.0.2.1")


def test_loading_takes_less_than_a_tenth_of_a_second():
    data = store.read(FILE)

    def once():
        start = time.thread_time()
        parse(data)
        return time.thread_time() - start

    assert min(once() for _ in range(5)) < 0.1


def test_importing_the_package_loads_nothing():
    code = "from blockd.names import protected, suffix; print(suffix.shipped.cache_info(), protected.protected_names.cache_info())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=store.CHECKOUT.parent)
    assert done.stdout.count("misses=0") == 2
