from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockd.feeds.formats import Bad, Tally, entries_of, parse_row, read_rows, split_lines, tally
from blockd.feeds.formats.reader import NUMBERS_MAX_ROWS
from blockd.names.store import shipped
from blockd.terms import Format


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    at = sorted({min(cut, len(data)) for cut in cuts})
    return [data[a:b] for a, b in zip([0, *at], [*at, len(data)], strict=True)]


CONTENT = st.lists(
    st.sampled_from(
        [b"a.example", b"\n", b"\r\n", b'"', b",", b"(", b")", b"CNAME .", b" ", b"\xff", b"#", b"entry", b"\xef\xbb\xbf", b"x" * 4000]
    )
).map(b"".join)


@given(data=CONTENT, cuts=st.lists(st.integers(0, 20_000), max_size=6))
def test_lines_do_not_depend_on_how_the_blocks_were_cut(data, cuts):
    assert list(split_lines(pieces(data, cuts))) == list(split_lines([data]))


@given(data=CONTENT, cuts=st.lists(st.integers(0, 20_000), max_size=4), format=st.sampled_from([f for f in Format if f is not Format.CSV]))
def test_rows_do_not_depend_on_how_the_blocks_were_cut(data, cuts, format):
    assert list(read_rows(format, pieces(data, cuts))) == list(read_rows(format, [data]))


@given(data=CONTENT)
def test_csv_rows_have_rising_numbers(data):
    numbers = [number for number, _ in read_rows(Format.CSV, [b"entry,note\n" + data])]
    assert numbers == sorted(set(numbers))
    assert all(number > 1 for number in numbers)


def test_byte_order_mark_only_in_front():
    rows = list(read_rows(Format.DOMAINS, [b"\xef\xbb\xbfa.example\n\xef\xbb\xbfb.example\n"]))
    assert str(rows[0][1].name) == "a.example"
    assert rows[1][0] == 2


def test_the_last_line_may_lack_its_line_feed():
    assert [n for n, _ in read_rows(Format.DOMAINS, [b"a.example\nb.example"])] == [1, 2]


@pytest.mark.parametrize("length", [8191, 8192, 8193, 8194, 8195, 8196, 100_000])
def test_the_limit_of_a_row_is_exact_and_nothing_behind_it_is_lost(length):
    data = b"#" * length + b"\nb.example\n"
    rows = list(read_rows(Format.DOMAINS, [data]))
    assert rows[:-1] == ([(1, Bad("too_long"))] if length > 8192 else [])
    assert rows[-1][0] == 2


def test_a_line_without_an_end_is_not_kept_in_memory():
    blocks = (b"x" * 65536 for _ in range(2000))
    assert list(split_lines(blocks)) == [(1, Bad("too_long"))]


def test_tally_counts_rows_entries_and_reasons():
    counted = tally(Format.HOSTS, [b"0.0.0.0 a.example b.example\n# c\n\nbad\n0.0.0.0\nbad\n"])
    assert (counted.rows, counted.entries, counted.bad_rows) == (4, 2, 3)
    assert counted.bad == {"hosts_address": 2, "no_name": 1}
    assert counted.numbers == {"hosts_address": [4, 6], "no_name": [5]}


ROWS = st.sampled_from(
    [b"a.example", b"A.Example.", b"localhost", b"local.example", b"ip6-x", b"9.example", b"x.9", b"a" * 64,
        b"a." * 126 + b"b", b"a." * 127 + b"b", b"x y", b"", b"-._", b"_a-"]
)  # fmt: skip
FRAMES = st.sampled_from([b"%b", b"*.%b", b"||%b^", b"0.0.0.0 %b", b"::1 %b", b":: %b ", b"127.0.0.1\t%b", b"#%b", b"%b # c", b"||%b^$x"])


@given(rows=st.lists(st.tuples(FRAMES, ROWS)), format=st.sampled_from(list(Format)))
def test_counting_fast_and_reading_agree(rows, format):
    data = b"entry\n" + b"\n".join(frame % row for frame, row in rows)
    slow = Tally()
    for number, result in read_rows(format, [data]):
        slow.add(number, result)
    assert tally(format, [data]) == slow


def test_the_budget_is_one_percent():
    counted = Tally(rows=1000, bad={"character": 10})
    assert not counted.exceeds_budget()
    counted.bad["address"] = 1
    assert counted.exceeds_budget()
    assert not Tally().exceeds_budget()


def test_the_numbers_that_are_kept_are_few():
    counted = tally(Format.DOMAINS, [b"a b\n" * 1000])
    assert counted.bad == {"character": 1000}
    assert len(counted.numbers["character"]) == NUMBERS_MAX_ROWS


@pytest.mark.parametrize(
    "name", ["gambling.domains", "malware.hosts", "phishing.wildcard", "advertising.adblock", "sanctions.rpz", "csam.urls", "court.csv"]
)
def test_the_example_lists_have_no_bad_row(name):
    counted = tally(Format(name.rpartition(".")[2]), [shipped(f"examples/{name}").read_bytes()])
    assert counted.rows > 0
    assert not counted.bad


def real_lists() -> Path | None:
    places = [os.environ.get("BLOCKD_REAL_LISTS"), Path(__file__).resolve().parents[4] / "shared" / "real-lists"]
    return next((Path(place) for place in places if place and Path(place).is_dir()), None)


@pytest.mark.skipif(real_lists() is None, reason="no real lists: name their folder in BLOCKD_REAL_LISTS")
@pytest.mark.parametrize(
    ("name", "format", "rows", "bad"),
    [
        ("stalkerware.hosts", Format.DOMAINS, 925, {}),
        ("blp-scam.hosts", Format.HOSTS, 8527, {}),
        ("blp-scam.adblock", Format.ADBLOCK, 8527, {}),
        ("blp-ransomware.hosts", Format.HOSTS, 1904, {}),
        ("ut1-gambling.domains", Format.DOMAINS, 32247, {"address": 14}),
        ("ut1-malware.urls", Format.URLS, 19226, {}),
    ],
)
def test_real_lists(name, format, rows, bad):
    folder = real_lists()
    assert folder is not None
    counted = tally(format, [(folder / name).read_bytes()])
    assert (counted.rows, counted.bad) == (rows, bad)


@pytest.mark.skipif(real_lists() is None, reason="no real lists: name their folder in BLOCKD_REAL_LISTS")
def test_real_lists_in_two_formats_hold_the_same_names():
    folder = real_lists()
    assert folder is not None
    hosts, adblock = (
        {str(e.name) for _, r in read_rows(f, [(folder / f"blp-scam.{f.value}").read_bytes()]) for e in entries_of(r)}
        for f in (Format.HOSTS, Format.ADBLOCK)
    )
    assert hosts == adblock


@pytest.mark.parametrize("format", list(Format))
@given(text=st.text(st.characters(codec=None), max_size=60))
def test_any_text_gives_a_result(format, text):
    result = parse_row(format, text)
    assert result is None or isinstance(result, Bad) or entries_of(result)
