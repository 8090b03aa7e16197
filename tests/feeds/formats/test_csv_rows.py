from __future__ import annotations

import pytest

from blockd.errors import Refused
from blockd.feeds.formats import Bad, entries_of, parse_row, read_rows
from blockd.feeds.formats.csv_rows import header, instant, records, row
from blockd.terms import Category, Format, Kind

ALL = ("entry", "category", "note", "expires")


def read(data: bytes):
    return [
        (n, str(r.reason) if isinstance(r, Bad) else [str(e.name or e.url) for e in entries_of(r)])
        for n, r in read_rows(Format.CSV, [data])
    ]


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("entry", ("entry",)),
        (" entry , note\r", ("entry", "note")),
        ('"expires","entry"', ("expires", "entry")),
        ("note,category,expires,entry", ("note", "category", "expires", "entry")),
    ],
)
def test_header(text, columns):
    assert header(text) == columns


@pytest.mark.parametrize("text", ["", "name", "Entry", "entry,entry", "entry,reason", "entry,", 'entry,"no', "entry;note"])
def test_a_header_that_cannot_be_read_makes_the_file_unreadable(text):
    with pytest.raises(Refused) as caught:
        header(text)
    assert caught.value.reason == "shape"


@pytest.mark.parametrize("data", [b"", b"\n \n", b"\xff\n", b"x" * 9000 + b"\na.example\n"])
def test_a_file_without_a_header(data):
    with pytest.raises(Refused):
        read(data)


def test_a_row_with_everything():
    entry = row('a.example,fraud,"a note, with ""quotes""",2036-12-31', ALL)
    assert (entry.kind, str(entry.name), entry.category, entry.expires) == (Kind.SUBTREE, "a.example", Category.FRAUD, 2114380800.0)


def test_a_url_and_the_same_without_a_scheme():
    assert [e.kind for e in entries_of(row("http://a.example/x,fraud,,", ALL))] == [Kind.URL]
    both = entries_of(row("a.example/x,fraud,,", ALL))
    assert [e.kind for e in both] == [Kind.URL, Kind.URL]
    assert {e.category for e in both} == {Category.FRAUD}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a.example", "fields"), ("a.example,,,,", "fields"), ("a.example,Fraud,,", "category"), ("a.example,,,soon", "expires"),
        ("a.example,,,2036-02-30", "expires"), ("a.example,,,2036-01-01T00:00:00", "expires"), ('a"b.example,,,', "quote"), ('"a.example" x,,,', "quote"),
        ("a b,,,", "character"), (",,,", "empty"), ("192.0.2.1,,,", "address"), ("*.a.example,,,", "character"), ("ftp://a.example/,,,", "scheme"),
    ],
)  # fmt: skip
def test_bad_rows(text, reason):
    assert row(text, ALL) == Bad(reason)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01", 86400.0), ("1970-01-01T01:00:00Z", 3600.0), ("1970-01-01T01:00:00+01:00", 0.0), ("1970-01-01t01:00:00z", 3600.0),
        ("1970-01-01 01:00:00Z", None), ("1970-01-01T01:00", None), ("9999-12-31", 253402300800.0), ("0000-00-00", None), ("", None), ("1970", None),
        ("19700101", None),
    ],
)  # fmt: skip
def test_expires(text, seconds):
    assert instant(text) == seconds


def test_rows_have_the_number_of_their_first_line():
    data = b'\xef\xbb\xbfentry,note\r\n\na.example,"two\nlines"\r\nb.example,x\nc d,x\n'
    assert read(data) == [(3, ["a.example"]), (5, ["b.example"]), (6, "character")]


def test_a_stray_quote_costs_its_line_and_no_more():
    lines = [b"entry,note", b'a.example,"never closed', *(b"n%d.example,x" % i for i in range(2000)), b"last.example,x"]
    result = read(b"\n".join(lines))
    assert result[0] == (2, "quote")
    assert len(result) == 2002
    assert result[-1] == (2003, ["last.example"])


def test_a_quote_that_closes_in_a_later_row_by_accident_is_seen():
    assert read(b'entry,note\na.example,"open\nb.example,x\nc.example,"y"\n')[0][1] == "quote"


def test_a_long_line_inside_quotes_is_counted_by_itself_and_in_its_place():
    # Found by the fuzzer: the long line came out before the row that it ended.
    assert read(b'entry,note\na.example,"x\n' + b"y" * 9000 + b"\nb.example,\n") == [(2, "quote"), (3, "too_long"), (4, ["b.example"])]


def test_a_file_of_quotes_takes_no_longer_than_it_should():
    # Each stray quote reads ahead at most one row's limit; this finishes at once or the design is wrong.
    assert sum(1 for _ in records((n, '"' if n % 3000 == 0 else "x") for n in range(60_000))) > 10_000


def test_parse_row_takes_columns():
    assert parse_row(Format.CSV, "x,a.example", ("note", "entry")).name is not None
    assert parse_row(Format.CSV, "a.example").name is not None
    assert parse_row(Format.CSV, "   ") is None
