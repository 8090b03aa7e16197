from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockd.control.sources import Placement, Source, dump_held, dump_placements, load_held, load_placements
from blockd.errors import Corrupt
from blockd.feeds.verified import ListMeta, Verified
from blockd.terms import Action, Basis, Category, Format, Instant, ListName
from tests.control.feeds import meta


def source(name="f/a", **changes) -> Source:
    values = {
        "name": ListName(name), "version": 3, "sha256": "ab" * 32, "meta": meta(), "expires": Instant(2e9), "compiled": "lists/f/a/3-ab.blkl",
        "entries": 10, "rows": 13, "rejected": {"protected": 1, "character": 2}, "positions": {"character": (4, 9), "protected": (7,)},
    }  # fmt: skip
    return Source(**{**values, **changes})


texts = st.none() | st.text(max_size=20)
metas = st.builds(
    ListMeta, format=st.sampled_from(Format), basis=st.sampled_from(Basis), category=st.sampled_from(Category), action=st.sampled_from(Action),
    secret=st.booleans(), canary=texts, authority=texts, reference=texts, deadline=texts, until=texts,
)  # fmt: skip
whole = st.integers(0, 2**40)
sources = st.builds(
    Source, name=st.sampled_from(["f/a", "f/b", "g/a"]).map(ListName), version=whole, sha256=st.text("0123456789abcdef", max_size=64), meta=metas,
    expires=whole.map(lambda n: Instant(float(n))), compiled=st.text(max_size=20), entries=whole, rows=whole,
    rejected=st.dictionaries(st.sampled_from(["protected", "label"]), whole), positions=st.dictionaries(st.sampled_from(["label"]), st.lists(whole).map(tuple)),
    next_expiry=st.none() | whole.map(lambda n: Instant(float(n))), enforceable=st.dictionaries(st.just("dns"), whole),
)  # fmt: skip


@given(st.lists(st.builds(Placement, sources, st.sampled_from([None, "killed", "expired"])), unique_by=lambda p: p.source.name), whole)
def test_what_is_written_is_read(placed, number):
    data = dump_placements(number, placed)
    said, back = load_placements(data)
    assert (said, list(back.values())) == (number, placed)
    assert not any(isinstance(x, float) for x in numbers(json.loads(data)))


def numbers(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from numbers(item)
    else:
        yield value


@given(sources)
def test_a_held_version_is_read_back(item):
    assert load_held(dump_held(item)) == item


@given(
    st.binary(max_size=200)
    | st.sampled_from([b"{}", b"[]", b"null", b'{"version":1,"generation":1,"lists":[{}]}', b'{"version":9}', b"[" * 9999])
)
def test_anything_else_is_corrupt_and_nothing_else(data):
    for load in (load_placements, load_held):
        with pytest.raises(Corrupt):
            load(data)


def test_positions_are_bounded_and_are_numbers():
    item = source(positions={"label": tuple(range(5000))})
    _, back = load_placements(dump_placements(1, [Placement(item)]))
    assert back[item.name].source.positions["label"] == tuple(range(1000))


def test_bad_rows_are_those_that_are_malformed():
    item = source(rejected={"protected": 5, "expired": 7, "label": 2, "character": 1})
    assert (item.bad, item.protected) == (3, 5)


def test_the_same_file_signed_otherwise_is_another_version():
    item = source()
    verified = Verified(item.name, item.version, item.meta, None, item.sha256, 1, Instant(0.0), 2)
    assert item.same_file(verified)
    assert item.same_file(replace(verified, expires=Instant(5.0)))
    assert not item.same_file(replace(verified, version=4))
    assert not item.same_file(replace(verified, sha256="00"))
    assert not item.same_file(replace(verified, meta=meta(category=Category.MALWARE)))


def test_workers_are_told_what_they_need():
    live = source(meta=meta(secret=True, canary="canary.example")).live()
    assert (live.version, live.entries, live.secret, live.canary) == (3, 10, True, "canary.example")
