from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockd.counts.cells import assign
from blockd.counts.layout import CELLS, POLICY
from blockd.errors import Misconfigured
from blockd.terms import Action, Category, ListName

keys = st.tuples(
    st.sampled_from(["f/a", "f/b", "g/c"]).map(ListName),
    st.sampled_from(Category),
    st.sampled_from(Action),
    st.sampled_from(["dns", "http"]),
    st.booleans(),
)


@given(st.lists(st.sets(keys, max_size=12), max_size=5))
def test_an_assignment_never_changes_and_never_doubles(generations):
    cells = {}
    for wanted in generations:
        longer = assign(cells, wanted)
        assert cells.items() <= longer.items()
        assert wanted <= longer.keys()
        assert len(set(longer.values())) == len(longer)
        assert all(POLICY <= cell < CELLS for cell in longer.values())
        cells = longer


@given(st.sets(keys))
def test_the_same_wish_gets_the_same_cells(wanted):
    assert assign({}, wanted) == assign({}, sorted(wanted, key=repr))


def test_a_slab_that_is_full_refuses():
    wanted = [(ListName(f"f/{n}"), Category.OTHER, Action.NXDOMAIN, "dns", False) for n in range(CELLS - POLICY + 1)]
    assert len(assign({}, wanted[:-1])) == CELLS - POLICY
    with pytest.raises(Misconfigured, match="fewer lists"):
        assign({}, wanted)
