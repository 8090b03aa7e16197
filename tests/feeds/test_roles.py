from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockd.errors import Refused
from blockd.feeds import roles
from blockd.feeds.roles import from_custom, is_list_name, is_target_path, path_pattern, target_path, to_custom
from blockd.terms import Action, Basis, Category, Format
from tests.feeds.simulator import meta

TEXT = st.none() | st.text(st.characters(categories=["L", "N", "Zs"], exclude_characters="\u00a0"), max_size=50).filter(str.isprintable)


@given(
    format=st.sampled_from(Format), basis=st.sampled_from(Basis), category=st.sampled_from(Category), action=st.sampled_from(Action), secret=st.booleans(),
    authority=TEXT, reference=TEXT, deadline=TEXT, until=TEXT, canary=st.none() | st.just("canary.example"),
)  # fmt: skip
def test_what_is_signed_is_read_as_it_was_written(**values):
    assert from_custom(to_custom(meta(**values))) == meta(**values)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "domain"}, {"format": None}, {"format": ["domains"]}, {"basis": "court"}, {"category": "csam "}, {"category": 1}, {"action": "redirect"},
        {"secret": "yes"}, {"secret": 1}, {"canary": "a b"}, {"canary": 5}, {"authority": "two\nlines"}, {"reference": "x" * 501}, {"until": {}},
        {"deadline": "\x1b[31m"},
    ],
)  # fmt: skip
def test_a_word_that_is_not_known_is_refused(change):
    with pytest.raises(Refused) as caught:
        from_custom(to_custom(meta()) | change)
    assert caught.value.reason == "shape"
    assert next(iter(change)) in str(caught.value)


@pytest.mark.parametrize("key", ["format", "basis", "category", "action"])
def test_a_word_that_is_missing_is_refused(key):
    custom = to_custom(meta())
    del custom[key]
    with pytest.raises(Refused):
        from_custom(custom)


@pytest.mark.parametrize("custom", [None, [], "domains", 5])
def test_custom_that_is_none(custom):
    with pytest.raises(Refused):
        from_custom(custom)


def test_further_keys_are_left_alone():
    assert from_custom(to_custom(meta()) | {"from_the_future": True}) == meta()


def test_the_canary_becomes_canonical():
    assert from_custom(to_custom(meta(canary="BÜCHER.Example."))).canary == "xn--bcher-kva.example"


@pytest.mark.parametrize("name", ["a", "csam-urls", "0", "a.b_c-d", "x" * 63])
def test_list_names(name):
    assert is_list_name(name)


@pytest.mark.parametrize(
    "name", ["", "A", "a/b", "..", ".a", "-a", "root", "targets", "snapshot", "timestamp", "x" * 64, "a\n", "ü", "a%2fb"]
)
def test_names_that_are_none(name):
    assert not is_list_name(name)


@pytest.mark.parametrize("path", ["a/../b", "a/.hidden", "a/", "b/x", "a", "a/b/c", "a/x y", "a/x\n", "a/" + "x" * 101])
def test_target_paths_that_are_none(path):
    assert not is_target_path(path, "a")


def test_target_paths():
    assert target_path("a", "names.txt", meta()) == "a/names.txt"
    assert target_path("a", "names.txt", meta(secret=True)) == "a/names.txt.age"
    assert target_path("a", "my names.txt", meta()) == "a/a.domains"
    assert target_path("a", "../x", meta()) == "a/a.domains"
    assert all(is_target_path(target_path("a", file, meta()), "a") for file in ("x", "ü", "", "..", "a/b"))
    assert path_pattern("a") == "a/*"


def test_the_release_was_made_before_now():
    assert time.time() > roles.BUILT
