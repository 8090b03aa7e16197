"""Matches of a live generation against the dictionary oracle."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blockd.control.live import LiveGeneration
from blockd.table.build import build, check
from blockd.table.lookup import has_url_entries, name_matches, set_matches, url_matches
from blockd.terms import Kind, ListName
from tests.table.oracle import KEY, Oracle, Source, wire
from tests.table.test_build import names, sources


def live_of(folder, lists) -> LiveGeneration:
    compiled = [source.compile(folder / f"{i}.blkl") for i, source in enumerate(lists)]
    built = build(folder / "t", KEY, compiled)
    return LiveGeneration(1, check(built, KEY, compiled), KEY, {}, built.plan.rules, {})


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sources, st.lists(names, max_size=6))
def test_matches_are_the_oracles(tmp_path, lists, asked):
    live = live_of(tmp_path, lists)
    oracle = Oracle()
    for source in lists:
        source.tell(oracle)
    for key in (*asked, *(k for source in lists for k, kind, _ in source.entries if kind is not Kind.URL)):
        found = name_matches(live, key)
        assert sorted((m.rule, m.depth, m.full) for m in found) == sorted(oracle.matches(key))
        assert [m.depth for m in found] == sorted(m.depth for m in found)
    for key in oracle.urls:
        assert {m.rule for m in url_matches(live, key)} == oracle.url(key)
    assert url_matches(live, b"http://nowhere.test/") == ()


def test_an_exact_entry_is_silent_about_what_is_under_it(tmp_path):
    """Both lists have the name, so they share the entry; only one of them speaks about names under it."""
    subtree = Source(ListName("f/s"), ((wire("a.test"), Kind.SUBTREE, None),))
    exact = Source(ListName("f/e"), ((wire("a.test"), Kind.EXACT, None), (wire("a.test"), Kind.ALLOW_EXACT, None)))
    live = live_of(tmp_path, [subtree, exact])
    assert {(m.list, m.kind) for m in name_matches(live, wire("a.test"))} == {
        ("f/s", Kind.SUBTREE),
        ("f/e", Kind.EXACT),
        ("f/e", Kind.ALLOW_EXACT),
    }
    assert [(m.list, m.depth, m.full) for m in name_matches(live, wire("www.a.test"))] == [("f/s", 2, False)]


def test_a_mark_blocks_nothing(tmp_path):
    """A URL entry never escalates to its host."""
    live = live_of(tmp_path, [Source(ListName("f/u"), ((b"http://a.test/x", Kind.URL, wire("a.test")),))])
    assert name_matches(live, wire("a.test")) == ()
    assert name_matches(live, wire("www.a.test")) == ()
    assert [(m.list, m.kind, m.depth) for m in url_matches(live, b"http://a.test/x")] == [("f/u", Kind.URL, 0)]
    assert has_url_entries(live, wire("a.test"))
    assert not has_url_entries(live, wire("www.a.test"))


def test_what_is_no_set_or_no_name_is_a_valueerror(tmp_path):
    live = live_of(tmp_path, [Source(ListName("f/s"), ((wire("a.test"), Kind.SUBTREE, None),))])
    for number in (1, 1 << 24, 1 << 40):
        with pytest.raises(ValueError, match="no such set"):
            set_matches(live, number, 1, full=True)
    with pytest.raises(ValueError, match="whole"):
        name_matches(live, b"\1a")
