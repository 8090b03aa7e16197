"""ListBuilder: what it takes of each format, what it leaves, rails, doubles, the file it writes."""

from __future__ import annotations

import resource
import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from blockd.native._table import LINE_MAX_BYTES, CompiledList, ListBuilder, fingerprint, url_fingerprint
from blockd.terms import Kind
from tests.native.rows import FORMATS, read, to_wire

KEY = bytes(range(16))
PROTECTED, WILDCARD, EXCEPTION = 1, 2, 4


def rail(name: bytes, flags: int) -> bytes:
    return fingerprint(KEY, to_wire(name)) + struct.pack("<Q", flags)


def compiled(builder: ListBuilder, folder, rules: bytes = b"[]") -> CompiledList:
    builder.write(folder / "list.blkl", rules)
    return CompiledList(folder / "list.blkl", KEY)


def rows_of(found: CompiledList, wire: bytes) -> list[tuple[int, int]]:
    return found.find(fingerprint(KEY, wire))


def agree(data: bytes, format: str, folder, *, threads: int = 2, first_row: int = 1) -> None:
    """Native and reference see the same rows in `data`."""
    builder = ListBuilder(KEY, b"", threads)
    left = builder.add_text(data, format, first_row, 0)
    taken, expected, rows, next_row = read(data, format, first_row)
    assert left == expected
    assert builder.rows == rows
    assert builder.next_row == next_row
    entries, doubles = builder.write(folder / "list.blkl", b"[0]")
    first = {}
    for row, wire in taken:
        first.setdefault(wire, row)
    assert (entries, doubles) == (len(first), len(taken) - len(first))
    found = CompiledList(folder / "list.blkl", KEY)
    for wire, row in first.items():
        assert rows_of(found, wire) == [(row, 0)]


# Text near the grammar: pieces that each format gives a meaning to.
pieces = st.sampled_from([
    b"example.com", b"a", b"com", b"WWW.Example.ORG", b"xn--bcher-kva.example", b"_dmarc.x.test", b"-a-.example", b"a..b", b".", b"..", b"1.2.3.4",
    b"x.0x1f", b"x.1a", b"||", b"^", b"*.", b"*", b"#", b" # c", b"!", b"[Adblock Plus 2.0]", b"0.0.0.0", b"127.0.0.1", b"::", b"::1", b"::2",
    b"localhost", b"LOCALHOST", b"ip6-loopback", b" ", b"\t", b"\r", b"\n", b"\n", b"\n", b"\0", b"\x0b", b"\xc3\xbc.example",
    b"\xef\xbb\xbf", b"\\046", b"$third-party",
    b"a" * 63 + b".test", b"a" * 64 + b".test", b"a." * 125 + b"bb", b"a." * 126 + b"b", b"a." * 126 + b"b.", b"a." * 127 + b"b", b"@@||x.test^",
])  # fmt: skip
texts = st.lists(st.one_of(pieces, st.binary(max_size=4)), max_size=30).map(b"".join)


@pytest.mark.parametrize("format", FORMATS)
def test_rows_are_read_as_the_reference_reads_them(format, tmp_path):
    @settings(max_examples=400, deadline=None)
    @given(texts, st.integers(1, 2))
    @example(b"\xef\xbb\xbfexample.com", 1)
    @example(b"\xef\xbb\xbfexample.com", 2)
    @example(b"example.com\r", 1)
    @example(b"\t*.example.com \t# why\r\n", 1)
    @example(b"0.0.0.0 a.test b.test#c", 1)
    @example(b"0.0.0.0 a.test b..test", 1)
    @example(b"0.0.0.0", 1)
    @example(b"0.0.0.0 # nothing", 1)
    @example(b"|| ^\n||^\n||a.test^^", 1)
    def check(data, first_row):
        agree(data, format, tmp_path, first_row=first_row)

    check()


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_a_block_that_threads_share_reads_as_one(format, threads, tmp_path):
    row = {
        "domains": b"w%d.example.com",
        "hosts": b"0.0.0.0 w%d.example.com x%d.example.org # c",
        "wildcard": b"*.w%d.example.com",
        "adblock": b"||w%d.example.com^",
    }[format]
    lines = []
    for i in range(6000):
        lines.append(row.replace(b"%d", b"%d" % (i % 5000)) if i % 97 else [b"", b"# c", b"a..b", b"com", b"\xff", b"! c"][i // 97 % 6])
    agree(b"\n".join(lines), format, tmp_path, threads=threads)


@pytest.mark.parametrize("size", [1 << 16, (1 << 16) + 1, 3 << 16])
def test_one_line_as_long_as_the_block(size, tmp_path):
    agree(b"a" * size, "domains", tmp_path)
    agree(b"a.test\n" + b"b" * size + b"\nc.test\n", "domains", tmp_path)
    agree(b"\n" * size, "domains", tmp_path)


def test_a_row_has_a_longest_length(tmp_path):
    pad = LINE_MAX_BYTES - len("a.test")
    agree(b"a.test" + b" " * pad, "domains", tmp_path)
    builder = ListBuilder(KEY, b"")
    assert builder.add_text(b"a.test" + b" " * (pad + 1), "domains", 1, 0) == [(1, 0, LINE_MAX_BYTES + 1, "too_long")]


def test_what_formats_cover(tmp_path):
    """The kind is the caller's rule; the name is the row's without its marks."""
    for form, row in (("domains", b"x.test"), ("hosts", b":: x.test"), ("wildcard", b"*.x.test"), ("adblock", b"||x.test^")):
        builder = ListBuilder(KEY, b"")
        assert builder.add_text(row, form, 7, 3) == []
        assert rows_of(compiled(builder, tmp_path), to_wire(b"x.test")) == [(7, 3)]


def test_rails_protect_names_and_what_is_one_label_under_a_wildcard(tmp_path):
    rails = rail(b"google.com", PROTECTED) + rail(b"ck", WILDCARD) + rail(b"www.ck", EXCEPTION) + rail(b"co.uk", PROTECTED)
    builder = ListBuilder(KEY, rails)
    text = b"google.com\nwww.google.com\nco.uk\nexample.co.uk\nfoo.ck\nwww.ck\nx.foo.ck\nck\ncom\n"
    left = builder.add_text(text, "domains", 1, 0)
    protected = [text[start:end] for _, start, end, why in left if why == "protected"]
    assert protected == [b"google.com", b"co.uk", b"foo.ck", b"ck", b"com"]
    assert len(left) == len(protected)
    found = compiled(builder, tmp_path)
    assert found.entries == 4
    for name in (b"www.google.com", b"example.co.uk", b"www.ck", b"x.foo.ck"):
        assert rows_of(found, to_wire(name))


def test_rails_are_compared_in_folded_form():
    builder = ListBuilder(KEY, rail(b"google.com", PROTECTED))
    assert [why for *_, why in builder.add_text(b"GOOGLE.com\nGoogle.COM.", "domains", 1, 0)] == ["protected", "protected"]


def test_rails_hold_for_blocking_entries_alone():
    builder = ListBuilder(KEY, rail(b"google.com", PROTECTED))
    wire = to_wire(b"google.com")
    assert not builder.add_name(wire, Kind.SUBTREE, 0, 1)
    assert not builder.add_name(wire, Kind.EXACT, 0, 1)
    assert builder.add_name(wire, Kind.ALLOW_SUBTREE, 1, 1)
    assert builder.add_name(wire, Kind.ALLOW_EXACT, 2, 1)
    assert not builder.add_name(b"\3com\0", Kind.EXACT, 0, 1)
    assert not builder.add_name(b"\0", Kind.ALLOW_SUBTREE, 0, 1)


def test_a_url_does_not_block_its_protected_host(tmp_path):
    """A URL entry never escalates to its whole domain."""
    builder = ListBuilder(KEY, rail(b"google.com", PROTECTED))
    builder.add_url(b"http://google.com/x", to_wire(b"google.com"), 0, 5)
    builder.add_url(b"http://192.0.2.1/x", None, 0, 6)
    found = compiled(builder, tmp_path)
    assert found.entries == 2
    assert found.find(url_fingerprint(KEY, b"http://google.com/x")) == [(5, 0)]
    assert rows_of(found, to_wire(b"google.com")) == [(5, 1)]


def test_marks_are_neither_entries_nor_doubles(tmp_path):
    builder = ListBuilder(KEY, b"")
    for i in range(10):
        builder.add_url(b"http://h.test/%d" % (i % 5), to_wire(b"h.test"), 0, i)
    assert builder.write(tmp_path / "x", b"[0,1]") == (5, 5)


def test_many_rails_and_their_flags_add_up():
    builder = ListBuilder(
        KEY, b"".join(rail(b"n%d.test" % i, PROTECTED) for i in range(20_000)) + rail(b"two.test", WILDCARD) + rail(b"two.test", PROTECTED)
    )
    text = b"\n".join([b"n%d.test" % i for i in range(20_000)] + [b"two.test", b"x.two.test", b"y.x.two.test"])
    assert [row for row, *_ in builder.add_text(text, "domains", 1, 0)] == list(range(1, 20_003))


@pytest.mark.parametrize("rails", [b"x", bytes(23), bytes(24), bytes(16) + struct.pack("<Q", 8), bytes(16) + struct.pack("<Q", 1 << 40)])
def test_rails_that_are_not_records_are_refused(rails):
    with pytest.raises(ValueError, match="rail"):
        ListBuilder(KEY, rails)


def test_the_lowest_row_of_a_double_stays_and_rules_stay_apart(tmp_path):
    builder = ListBuilder(KEY, b"")
    wire = to_wire(b"a.test")
    for row, rule in ((9, 0), (3, 0), (5, 1), (4, 1), (7, 0)):
        builder.add_name(wire, Kind.SUBTREE, rule, row)
    assert builder.write(tmp_path / "x", b"[0,1]") == (2, 3)
    assert rows_of(CompiledList(tmp_path / "x", KEY), wire) == [(3, 0), (4, 1)]


@pytest.mark.parametrize("count", [0, 1, 4095, 4096, 4097, 50_000])
def test_records_are_in_order_whatever_the_size(count, tmp_path):
    """CompiledList refuses a file that is out of order, so opening it is the check."""
    builder = ListBuilder(KEY, b"")
    builder.add_text(b"".join(b"w%d.example\n" % (i * 7919 % (count or 1)) for i in range(count)), "domains", 1, 0)
    assert compiled(builder, tmp_path).entries == count


def test_one_name_a_hundred_thousand_times_with_two_rules(tmp_path):
    """Crowding one bucket of the sort must not make it quadratic."""
    builder = ListBuilder(KEY, b"")
    for i in range(10):
        builder.add_text(b"a.test\n" * 10_000, "domains", 1 + i * 10_000, i % 2)
    assert builder.write(tmp_path / "x", b"[0,1]") == (2, 99_998)
    assert rows_of(CompiledList(tmp_path / "x", KEY), to_wire(b"a.test")) == [(1, 0), (10_001, 1)]


def test_a_builder_writes_once(tmp_path):
    builder = ListBuilder(KEY, b"")
    builder.write(tmp_path / "x", b"[]")
    for use in (
        lambda: builder.write(tmp_path / "y", b"[]"),
        lambda: builder.add_text(b"", "domains", 1, 0),
        lambda: builder.add_name(b"\1a\1b\0", 1, 0, 1),
    ):
        with pytest.raises(ValueError, match="has written"):
            use()


def test_arguments_out_of_range():
    builder = ListBuilder(KEY, b"")
    for call in (
        lambda: builder.add_text(b"", "rpz", 1, 0),
        lambda: builder.add_text(b"a.test", "domains", 1, -1),
        lambda: builder.add_text(b"a.test", "domains", 1, 65535),
        lambda: builder.add_text(b"a.test", "domains", 1 << 32, 0),
        lambda: builder.add_name(b"\1a", Kind.EXACT, 0, 1),
        lambda: builder.add_name(b"\1a\1b\0", Kind.URL, 0, 1),
        lambda: builder.add_name(b"\1a\1b\0", 0, 0, 1),
        lambda: builder.add_name(b"\1a\1b\0", Kind.EXACT, 0, 1 << 32),
        lambda: builder.add_url(b"x", b"\xc0\0", 0, 1),
        lambda: builder.add_url(b"x", None, 65534, 1),
    ):
        with pytest.raises(ValueError, match=r"\w"):
            call()


def test_a_disk_that_refuses_is_an_oserror_and_leaves_nothing(tmp_path):
    builder = ListBuilder(KEY, b"")
    builder.add_text(b"a.test", "domains", 1, 0)
    with pytest.raises(FileNotFoundError):
        builder.write(tmp_path / "none" / "x", b"[0]")
    with pytest.raises(OSError, match="Invalid"):
        ListBuilder(KEY, b"").write("/dev/null", b"[0]")
    full = ListBuilder(KEY, b"")
    full.add_text(b"".join(b"w%d.test\n" % i for i in range(100_000)), "domains", 1, 0)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limit[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            full.write(tmp_path / "full", b"[0]")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert not list(tmp_path.iterdir())


def test_the_file_follows_from_the_rows_alone(tmp_path):
    text = b"".join(b"w%d.example\n" % i for i in range(30_000))
    for i, (threads, block) in enumerate(((1, 1 << 30), (2, 70_000), (5, 1 << 17))):
        builder = ListBuilder(KEY, b"", threads)
        at = 0
        while at < len(text):
            end = text.find(b"\n", min(at + block, len(text) - 1)) + 1
            builder.add_text(text[at:end], "domains", builder.next_row, 0)
            at = end
        builder.write(tmp_path / str(i), b"[0]")
    assert (tmp_path / "0").read_bytes() == (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
