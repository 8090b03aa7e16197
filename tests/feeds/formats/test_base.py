from __future__ import annotations

from blockd.feeds.formats.base import Bad, Entry, RowReason, entries_of, name_entry, url_entries
from blockd.names import Reason
from blockd.terms import Kind


def test_entries_of_every_result():
    entry = Entry(Kind.SUBTREE)
    assert entries_of(entry) == (entry,)
    assert entries_of((entry, entry)) == (entry, entry)
    assert entries_of(None) == entries_of(Bad("x")) == ()


def test_reasons_of_rows_and_of_names_do_not_collide():
    assert not {r.value for r in RowReason} & {r.value for r in Reason}


def test_reasons_are_metric_labels():
    assert all(reason.value.replace("_", "").isalpha() and reason.value.islower() for reason in RowReason)


def test_name_entry_carries_what_it_is_given():
    entry = name_entry("a.example", Kind.ALLOW_SUBTREE, expires=5.0)
    assert (entry.kind, str(entry.name), entry.expires) == (Kind.ALLOW_SUBTREE, "a.example", 5.0)
    assert name_entry("a b", Kind.SUBTREE) == Bad("character")


def test_a_url_without_a_scheme_is_two_entries():
    assert len(url_entries("a.example/x")) == 2
    assert isinstance(url_entries("http://a.example/x"), Entry)
