from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockd.config.tree import DEPTH_MAX, merge, parse


def planted(text, file="a.toml"):
    node, wrong = parse(file, text.encode())
    assert not wrong
    return node


def test_a_value_knows_its_place():
    root = planted("[dns]\nlisten = [\n'a',\n'b']")
    assert root.find(("dns", "listen", 1)).place == "a.toml:4"
    assert root.find(("dns", "no", "such")).place == "a.toml:1"  # the nearest that is there
    assert root.find(("dns", "listen", 7)).place == "a.toml:2"
    assert root.plain() == {"dns": {"listen": ["a", "b"]}}


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"a = 1\nb = \n", "a.toml:2"),
        (b"a = 1\na = 2\n", "a.toml:2"),
        (b"a = 1\nb = [1,\n", "a.toml:2"),
        (b"a = 1\n\nb = '\xff'", "a.toml:3"),
        (b"a = 1" + b"0" * 5000, "a.toml:1"),
        (b"a = " + b"[" * 5000 + b"]" * 5000, "a.toml:1"),
        (b"a = " + b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1), "a.toml:1"),
        (b"\xef\xbb\xbfa = 1", "a.toml:1"),  # a byte order mark is not TOML
    ],
)
def test_what_is_not_toml_is_one_fault_with_its_line(data, place):
    node, wrong = parse("a.toml", data)
    assert node is None
    assert len(wrong) == 1
    assert wrong[0].startswith(f"{place}: ")
    assert "\n" not in wrong[0]


def test_tables_merge_arrays_of_tables_append():
    root = planted("[dns]\na = 1\n[[lists]]\nname = 'x'")
    assert merge(root, planted("[dns]\nb = 2\n[[lists]]\nname = 'y'\n[new]\nc = 3", "b.toml")) == []
    assert root.plain() == {"dns": {"a": 1, "b": 2}, "lists": [{"name": "x"}, {"name": "y"}], "new": {"c": 3}}
    assert root.find(("lists", 1, "name")).place == "b.toml:4"


@pytest.mark.parametrize(
    ("one", "other", "key"),
    [
        ("a = 1", "\na = 1", "a"),
        ("[t]\na = [1]", "\nt.a = [2]", "t.a"),
        ("[t]\na = 1", "\nt = 5", "t"),
        ("[[l]]\na = 1", "\nl = []", "l"),
        ("l = ['x']", "\n[[l]]\na = 1", "l"),
    ],
)
def test_a_value_set_twice_is_a_fault_that_names_both_places(one, other, key):
    root = planted(one)
    wrong = merge(root, planted(other, "b.toml"))
    assert len(wrong) == 1
    assert wrong[0].startswith(f"b.toml:2: {key}: ")
    assert "a.toml:" in wrong[0]


@given(st.binary(max_size=300))
def test_any_bytes_give_a_tree_or_one_fault(data):
    node, wrong = parse("a.toml", data)
    assert (node is None) == bool(wrong)
    assert all("\n" not in fault for fault in wrong)


@given(st.text(alphabet="ab=[]{}\"'.,#\\\n 1-:", max_size=80))
def test_texts_that_are_almost_toml_give_a_tree_or_one_fault(text):
    node, wrong = parse("a.toml", text.encode())
    assert (node is None) == bool(wrong)
