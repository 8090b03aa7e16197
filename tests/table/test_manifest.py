"""The manifest beside a table: what is written is read, and anything else is Corrupt."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockd.control.live import LiveList
from blockd.errors import Corrupt
from blockd.table.manifest import Manifest, dump_manifest, load_manifest
from blockd.terms import Action, Basis, Category, ListName, Stage

list_names = st.from_regex(r"[a-z0-9_.-]{1,9}/[a-z0-9_.-]{1,9}", fullmatch=True).map(ListName)
lists = st.builds(
    LiveList,
    list_names,
    st.integers(1, 1 << 40),
    st.sampled_from(Basis),
    st.sampled_from(Category),
    st.sampled_from(Action),
    st.booleans(),
    st.none() | st.just("canary.test"),
    st.integers(0, 10**8),
)
cells = st.dictionaries(
    st.tuples(list_names, st.sampled_from(Category), st.sampled_from(Action), st.sampled_from([s.value for s in Stage]), st.booleans()),
    st.integers(0, 65535),
    max_size=8,
)
manifests = st.builds(Manifest, st.integers(1, 10**9), st.lists(lists, max_size=5).map(lambda ls: {item.name: item for item in ls}), cells)


@given(manifests)
def test_what_is_written_is_read(manifest):
    data = dump_manifest(manifest)
    assert load_manifest(data) == manifest
    assert list(load_manifest(data).lists) == list(manifest.lists)
    assert dump_manifest(load_manifest(data)) == data


@given(st.binary(max_size=200) | manifests.map(dump_manifest).flatmap(lambda d: st.integers(0, len(d) - 1).map(lambda n: d[:n])))
def test_anything_else_is_corrupt(data):
    with pytest.raises(Corrupt):
        load_manifest(data)


@pytest.mark.parametrize("change", [{"version": 2}, {"lists": 7}, {"lists": [{}]}, {"cells": [[1]]}, {"generation": "x"}, {"cells": None}])
def test_what_it_cannot_mean_is_corrupt(change):
    value = json.loads(dump_manifest(Manifest(1, {}, {})))
    with pytest.raises(Corrupt):
        load_manifest(json.dumps(value | change).encode())


def test_deep_nesting_is_corrupt():
    with pytest.raises(Corrupt):
        load_manifest(b"[" * 200_000)
