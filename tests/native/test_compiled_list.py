"""CompiledList: a file is what was written or is refused; finding and comparing entries."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockd.native._table import CompiledList, ListBuilder, fingerprint
from blockd.terms import Kind
from tests.native.damage import damages
from tests.native.rows import to_wire

KEY = bytes(range(16))


def write(path, entries, rules=("block", "allow"), key=KEY) -> CompiledList:
    """`entries`: (name, rule)."""
    builder = ListBuilder(key, b"")
    for row, (name, rule) in enumerate(entries, 1):
        builder.add_name(to_wire(name), Kind.ALLOW_SUBTREE, rule, row)
    builder.write(path, json.dumps(rules).encode())
    return CompiledList(path, key)


@pytest.fixture
def path(tmp_path):
    write(tmp_path / "list.blkl", [(b"n%d.test" % i, i % 2) for i in range(300)]).close()
    return tmp_path / "list.blkl"


def test_entries_are_found(path):
    found = CompiledList(path, KEY)
    assert (found.entries, found.rules) == (300, b'["block", "allow"]')
    for i in range(300):
        assert found.find(fingerprint(KEY, to_wire(b"n%d.test" % i))) == [(i + 1, i % 2)]
    assert found.find(bytes(16)) == []
    assert found.find(b"\xff" * 16) == []
    with pytest.raises(ValueError, match="16 octets"):
        found.find(b"")


def test_every_damage_is_refused(path):
    data = path.read_bytes()
    for what, damaged in damages(data, sections=(0, 96, 112, 144, 160, 256, 256 + 24 * 300)):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"\w"):
            CompiledList(path, KEY)
            pytest.fail(f"taken: {what}")
    path.write_bytes(data)
    CompiledList(path, KEY)


def test_another_keys_file_is_refused(path):
    with pytest.raises(ValueError, match="another key"):
        CompiledList(path, bytes(16))


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        CompiledList(tmp_path / "none", KEY)
    with pytest.raises(ValueError, match="not a regular file"):
        CompiledList(tmp_path, KEY)
    (tmp_path / "empty").touch()
    with pytest.raises(ValueError, match="empty"):
        CompiledList(tmp_path / "empty", KEY)


def test_a_closed_list_is_closed(path):
    found = CompiledList(path, KEY)
    found.close()
    found.close()
    for use in (lambda: found.find(bytes(16)), lambda: found.rules, lambda: found.diff(None)):
        with pytest.raises(ValueError, match="closed"):
            use()


entries = st.lists(st.tuples(st.integers(0, 30).map(lambda i: b"n%d.test" % i), st.integers(0, 1)), max_size=40)


def test_a_difference_is_that_of_the_sets(tmp_path):
    @settings(max_examples=200, deadline=None)
    @given(entries, entries, st.booleans())
    def check(new, old, turned):
        ours = write(tmp_path / "new", new)
        theirs = write(
            tmp_path / "old", [(n, 1 - r) for n, r in old] if turned else old, ("allow", "block") if turned else ("block", "allow")
        )
        assert ours.diff(theirs) == (len(set(new) - set(old)), len(set(old) - set(new)))
        assert ours.diff(None) == (len(set(new)), 0)
        assert ours.diff(ours) == (0, 0)

    check()


def test_a_rule_that_says_something_else_is_a_change(tmp_path):
    old = write(tmp_path / "old", [(b"a.test", 0), (b"b.test", 1)])
    new = write(tmp_path / "new", [(b"a.test", 0), (b"b.test", 1)], ("block", "allow more"))
    assert new.diff(old) == (1, 1)


def test_rules_that_say_too_little_are_a_valueerror(tmp_path):
    old, new = write(tmp_path / "old", [(b"a.test", 1)], ("one",)), write(tmp_path / "new", [(b"a.test", 1)])
    with pytest.raises(ValueError, match="rules"):
        new.diff(old)
    with pytest.raises(TypeError):
        new.diff("old")
