"""Rules and their canonical JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockd.table.rules import Rule, dump_rules, load_rules
from blockd.terms import Action, Category, Kind, ListName

rules = st.builds(
    Rule,
    st.from_regex(r"[a-z0-9_.-]{1,20}/[a-z0-9_.-]{1,20}", fullmatch=True).map(ListName),
    st.sampled_from(Kind),
    st.sampled_from(Category),
    st.none() | st.sampled_from(Action),
)


@given(st.lists(rules, max_size=20))
def test_what_is_written_is_read(some):
    data = dump_rules(some)
    assert load_rules(data) == tuple(some)
    assert data == json.dumps(json.loads(data), sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize("data", [b"", b"[", b"{}x", b"[{}]", b'[{"list":"a/b","kind":9,"category":"other","action":null}]', b"[1]", b"7"])
def test_what_is_no_rules_is_an_error(data):
    with pytest.raises((ValueError, KeyError, TypeError)):
        load_rules(data)
