from __future__ import annotations

from pathlib import Path

import pytest

from blockd.config.schema import Audit, Config, Dns, Endpoint, Feed, StopPage, Upstream
from blockd.names import parse_domain
from blockd.native._table import ListBuilder
from blockd.policy.rails import RECORD_BYTES, all_protected, own_names, rails
from blockd.terms import Kind

KEY = bytes(range(16))


@pytest.fixture(scope="module")
def records():
    return rails(KEY, [parse_domain("www.hotline.example"), parse_domain("cdn.example.co.uk")])


def admitted(records: bytes, text: str) -> bool:
    return ListBuilder(KEY, records).add_name(parse_domain(text).wire, int(Kind.SUBTREE), 0, 1)


@pytest.mark.parametrize(
    "text",
    [
        "com",
        "example",
        "co.uk",
        "bet.br",
        "github.io",
        "amazonaws.com",
        "anything.ck",
        "kobe.jp",
        "www.hotline.example",
        "hotline.example",
        "example.co.uk",
    ],
)
def test_a_protected_name_is_not_admitted(records, text):
    assert not admitted(records, text)


@pytest.mark.parametrize(
    "text", ["casino.example", "www.ck", "a.b.ck", "someone.github.io", "under.www.hotline.example", "city.kobe.jp", "a.example.co.uk"]
)
def test_any_other_name_is_admitted(records, text):
    assert admitted(records, text)


def test_an_allow_entry_is_not_held_back(records):
    assert ListBuilder(KEY, records).add_name(parse_domain("hotline.example").wire, int(Kind.ALLOW_SUBTREE), 0, 1)


def test_the_records_are_sorted_and_each_name_is_there_once(records):
    rows = [records[i : i + RECORD_BYTES] for i in range(0, len(records), RECORD_BYTES)]
    assert rows == sorted(rows)
    assert len({row[:16] for row in rows}) == len(rows) > 9000


def test_blockds_own_names_are_protected():
    config = Config(
        path=Path("blockd.toml"),
        feeds=(Feed("h", "https://user@feeds.hotline.example:8443/tuf", Path("r")), Feed("f", "file:///srv/feed", Path("r"))),
        dns=Dns(
            upstreams=(Upstream("udp", Endpoint("192.0.2.53", 53)), Upstream("tls", Endpoint("192.0.2.54", 853), "dns.provider.example"))
        ),
        stop_page=StopPage(contact=("mailto:abuse@isp.example?subject=x", "https://help.isp.example/blocked", "tel:+441234")),
        audit=Audit(origin="log.isp.example/gw1/{year}"),
    )
    assert own_names(config) == ("dns.provider.example", "feeds.hotline.example", "help.isp.example", "isp.example", "log.isp.example")
    protected = {str(name) for name in all_protected(config)}
    assert {"feeds.hotline.example", "log.isp.example", "root-servers.net"} <= protected
