from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockd.names import DomainName, parse_domain
from blockd.policy.verdict import resolve
from blockd.stop_page.reason import find, host_of, name_of
from blockd.terms import Basis, Category, Instant, ListName, Notify
from tests.stop_page.gateway import LISTS, NOW, configuration, generation


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    return generation(tmp_path_factory.mktemp("lists"))


@pytest.mark.parametrize(
    ("target", "hosts", "host"),
    [
        ("/", ["a.example"], "a.example"), ("/", [], None), ("/", ["a.example", "b.example"], None), ("/", [""], None), ("/", ["  "], None),
        ("http://a.example/x", ["b.example"], "a.example"), ("HTTPS://a.example:81", [], "a.example:81"), ("http://u:p@a.example/", ["b"], "a.example"),
        ("http:///x", ["b.example"], None), ("http://a.example?x", ["b"], "a.example"),
        ("*", ["a.example"], "a.example"), ("a.example:443", ["b.example"], "b.example"),
    ],
)  # fmt: skip
def test_which_host_a_request_is_for(target, hosts, host):
    assert host_of(target, hosts) == host


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("a.example", "a.example"), ("A.Example.", "a.example"), ("a.example:80", "a.example"), ("a.example:", "a.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("192.0.2.1", None), ("192.0.2.1:80", None), ("[2001:db8::1]", None), ("[2001:db8::1]:80", None), ("a.example:x", None), ("a.example:８０", None),
        ("", None), (".", None), ("a..example", None), ("a b", None), ("x" * 5000, None), ("\udcff.example", None),
    ],
)  # fmt: skip
def test_which_name_a_host_is(host, name):
    found = name_of(host)
    assert (None if found is None else str(found)) == name


@given(st.text(max_size=300))
def test_any_host_gives_a_name_or_none(host):
    assert name_of(host) is None or isinstance(name_of(host), DomainName)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("casino.example", ("ops/gambling", Basis.OPERATOR, Category.GAMBLING, Notify.FULL)),
        ("a.b.casino.example", ("ops/gambling", Basis.OPERATOR, Category.GAMBLING, Notify.FULL)),
        ("ordered.example", ("court/orders", Basis.MANDATED, Category.COPYRIGHT, Notify.FULL)),
        ("both.example", ("court/orders", Basis.MANDATED, Category.COPYRIGHT, Notify.FULL)),
        ("adult.example", ("home/filter", Basis.SUBSCRIBER, Category.ADULT, Notify.FULL)),
        ("www.adult.example", None),
        ("bare.example", ("court/bare", Basis.MANDATED, Category.OTHER, Notify.CODE)),
        ("shadow.example", None),
        ("fine.example", None),
    ],
)
def test_the_list_that_decides(live, name, expected):
    config = configuration()
    notify = {ListName(n): row[2] for n, row in LISTS.items()}
    found = find(live, resolve(live, config, {}, Instant(NOW)), notify, parse_domain(name))
    assert (None if found is None else (found.list, found.basis, found.category, found.notify)) == expected


def test_a_reason_never_holds_the_name(live):
    found = find(live, resolve(live, configuration(), {}, Instant(NOW)), {}, parse_domain("very-own.casino.example"))
    assert "casino" not in repr(found)
