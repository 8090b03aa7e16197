"""Every fault of every value in one pass, each with its line; nothing unknown is passed over."""

from __future__ import annotations

import pytest

from blockd.config.typed import FAULTS_MAX, dotted
from tests.config.documents import MINIMAL, faults, judged


def only(text):
    found = faults(MINIMAL + text)
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[stop_pages]\n", 'blockd.toml:3: stop_pages: unknown key; did you mean "stop_page"?'),
        ("cash = 1\n", 'blockd.toml:3: dns.cash: unknown key; did you mean "cache"?'),
        ("qqqq = 1\n", "blockd.toml:3: dns.qqqq: unknown key"),
        ("[admin.roles]\nviewer = []\n", "blockd.toml:4: admin.roles.viewer: unknown key"),
        ("[admin]\nroles = 5\n", "blockd.toml:4: admin.roles: expected a table, got a whole number"),
        ("[counts]\nthreshold = 9\n", "blockd.toml:4: counts.threshold: 9 is not between 10 and"),
        ('[counts]\nwindow = "59m"\n', 'blockd.toml:4: counts.window: "59m" is not between "1h" and "7d": a shorter window could show'),
        ("[[counts]]\n", "blockd.toml:3: counts: expected a table, got an array"),
        ("[feeds]\n", "blockd.toml:3: feeds: expected tables headed [[feeds]], got a table"),
        ('[audit]\norigin = "a b"\n', "blockd.toml:4: audit.origin:"),
        ('[audit]\norigin = "a/{month}"\n', "blockd.toml:4: audit.origin:"),
        ('[[lists]]\nname = "nofeed"\n', "blockd.toml:4: lists[1].name:"),
        ('[[lists]]\nname = "Hotline/Domains"\n', "blockd.toml:4: lists[1].name:"),
        ('[[lists]]\nname = "a/../b"\n', "blockd.toml:4: lists[1].name:"),
        ("[[stop_page.helplines]]\nphone = '1234'\n", "blockd.toml:3: stop_page.helplines[1].name: is missing"),
        ("cache = 2026-11-24\n", "blockd.toml:3: dns.cache: expected a size"),
    ],
)
def test_a_fault_has_its_line_and_says_what_to_do(text, says):
    assert only(text).startswith(says)


def test_every_fault_is_told_at_once():
    found = faults("bad = 1\n[dns]\nlisten = ['x', '127.0.0.1:53', 'y']\ncache = 1\n[[feeds]]\n[counts]\nthreshold = 'ten'\n")
    assert [fault.split(": ")[1] for fault in found] == [
        "bad",
        "dns.upstreams",
        "dns.listen[1]",
        "dns.listen[3]",
        "dns.cache",
        "feeds[1].name",
        "feeds[1].url",
        "feeds[1].root",
        "counts.threshold",
    ]


@pytest.mark.parametrize(
    "text",
    [
        'tls_listen = ["127.0.0.1:853"]',
        "https_listen = ['127.0.0.1:443']",
        'quic_listen = ["[::1]:853"]',
        'certificate = "cert.pem"',
        'private_key = "key.pem"',
        'proxy_protocol_from = ["10.0.0.0/8"]',
        "tls_listen = 5",
        '[stop_page]\ntls_listen = ["127.0.0.1:443"]',
        '[web]\nlisten = ["127.0.0.1:5129"]',
        '[web]\nintercept = "tproxy"',
        '[web]\non_failure = "open"',
        '[web]\nshared_addresses = "divert"',
        '[audit]\nlisten = ["127.0.0.1:8080"]',
        '[audit]\nwitnesses = ["x"]',
    ],
)
def test_a_key_whose_part_is_not_there_yet_is_refused_and_not_passed_over(text):
    assert only(text + "\n").endswith(": not built yet: remove it")


@pytest.mark.parametrize(
    "text",
    [
        "tls_listen = []",
        'certificate = ""',
        'xdp = "off"',
        '[web]\nintercept = "none"\non_failure = ""',
        "[audit]\nwitnesses = []",
    ],
)
def test_such_a_key_with_its_default_is_no_fault(text):
    assert judged(MINIMAL + text).config


def test_the_number_of_faults_is_bounded():
    found = faults("\n".join(f"k{n} = 1" for n in range(3 * FAULTS_MAX)))
    assert len(found) == FAULTS_MAX + 1
    assert found[-1].startswith("and more")


def test_places_are_named_as_people_count():
    assert dotted(("lists", 2, "max_change", "add")) == "lists[3].max_change.add"
