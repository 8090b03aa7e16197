from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockd.counts.saved import Saved, dump, load
from blockd.counts.tallies import Tallies
from blockd.counts.windows import ListKind, State
from blockd.errors import Corrupt
from blockd.terms import Category, Instant, ListName

words = st.tuples(st.text(min_size=1, max_size=5), st.text(max_size=5))
values = st.dictionaries(words, st.integers(0, 1 << 64), max_size=4)
cells = st.dictionaries(st.integers(0, 65535), st.integers(0, 1 << 64), max_size=4)
kinds = st.builds(
    ListKind, st.text(min_size=1, max_size=5).map(ListName), st.integers(0, 1 << 30), st.booleans(), st.sampled_from(Category)
)


@given(
    values, cells, st.dictionaries(st.text(max_size=5), cells, max_size=2), values, values, values, values,
    st.none() | st.floats(0, 1e10), st.lists(kinds, max_size=3), st.lists(st.text(max_size=5)),
)  # fmt: skip
def test_load_is_the_inverse_of_dump(base, unknown, slabs, upstreams, released, consumed, seen, opened, lists, folded):
    tallies = Tallies(Counter(base), Counter(unknown), slabs, upstreams)
    state = State(released, consumed, seen, None if opened is None else Instant(opened), {k.name: k for k in lists})
    saved = Saved(tallies, state, tuple(folded))
    assert load(dump(saved)) == saved
    assert dump(load(dump(saved))) == dump(saved)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_corrupt(data):
    try:
        load(data)
    except Corrupt:
        pass


GOOD = json.loads(dump(Saved(Tallies(base=Counter({("hit", "f/a"): 3})), State(released={("hit", "f/a"): 3}))))


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2}, {"base": [[["hit"], -1]]}, {"base": [[["hit"], 1.5]]}, {"base": [[["hit"], True]]}, {"base": [["hit", 1]]},
        {"base": [[[], 1]]}, {"base": None}, {"opened": "now"}, {"kinds": [["f/a", 1, False, "nonsense"]]}, {"slabs": []}, {"unknown": [[1]]},
    ],
)  # fmt: skip
def test_a_wrong_shape_is_corrupt(change):
    assert load(json.dumps(GOOD).encode())
    with pytest.raises(Corrupt):
        load(json.dumps(GOOD | change).encode())


def test_a_missing_part_and_deep_nesting_are_corrupt():
    for key in GOOD:
        with pytest.raises(Corrupt):
            load(json.dumps({k: v for k, v in GOOD.items() if k != key}).encode())
    with pytest.raises(Corrupt):
        load(b"[" * 100_000)
