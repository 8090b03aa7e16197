"""Compiling verified lists: every format, what is rejected and where, what is no list at all."""

from __future__ import annotations

import mmap
import random
from pathlib import Path

import pytest

from blockd.control import compile as compiling
from blockd.control.compile import BLOCK_BYTES, blocks_of, compile_list, compiled_path
from blockd.errors import Refused
from blockd.feeds.formats import Bad, entries_of, read_rows
from blockd.feeds.verified import ListMeta, Verified
from blockd.names import parse_domain, parse_url
from blockd.native._table import CompiledList, fingerprint, url_fingerprint
from blockd.table.build import rules_of
from blockd.terms import Action, Basis, Category, Format, Instant, Kind, ListName

KEY = bytes(range(16))
NOW = Instant(1_800_000_000.0)


def verified(format: Format, name: str = "hotline/list", version: int = 3) -> Verified:
    meta = ListMeta(format, Basis.OPERATOR, Category.GAMBLING, Action.NXDOMAIN, secret=False, canary=None)
    return Verified(ListName(name), version, meta, Path("unused"), "ab" * 32, 0, NOW, 2)


def rail(*names: str) -> bytes:
    return b"".join(fingerprint(KEY, parse_domain(name).wire) + (1).to_bytes(8, "little") for name in names)


@pytest.fixture
def compiled(tmp_path):
    def run(text: str | bytes, format: Format = Format.DOMAINS, rails: bytes = b""):
        data = text.encode() if isinstance(text, str) else text
        return compile_list(verified(format), data, KEY, rails, tmp_path / "lists", NOW)

    return run


def what(done, name: str) -> list[tuple[int, Kind, Category, Action | None]]:
    """(row, kind, category, action) of the entries at a name."""
    opened = CompiledList(done.path, KEY)
    rules = rules_of(opened)
    found = opened.find(fingerprint(KEY, parse_domain(name).wire))
    return [(row, rules[rule].kind, rules[rule].category, rules[rule].action) for row, rule in found]


def plain(row: int, kind: Kind):
    return [(row, kind, Category.GAMBLING, None)]


def test_domains(compiled):
    done = compiled("# c\nexample.com\nbücher.example\n\\046.x.test\nA.test. # why\na.test\nbad..name\n\n1.2.3.4\n")
    assert what(done, "example.com") == plain(2, Kind.SUBTREE)
    assert what(done, "xn--bcher-kva.example") == plain(3, Kind.SUBTREE)
    assert what(done, r"\..x.test") == plain(4, Kind.SUBTREE)
    assert what(done, "a.test") == plain(5, Kind.SUBTREE)
    assert (done.entries, done.doubles, done.rows) == (4, 1, 7)
    assert done.rejected == {"empty_label": 1, "address": 1}
    assert done.positions == {"empty_label": (7,), "address": (9,)}
    assert (done.bad, round(done.bad_share, 3)) == (2, 0.286)
    assert done.enforceable == {"dns": 4}


def test_hosts_are_exact(compiled):
    done = compiled("0.0.0.0 a.test bücher.test # c\n192.0.2.1 b.test\n127.0.0.1 localhost\n::1 c.test\n", Format.HOSTS)
    assert what(done, "a.test") == plain(1, Kind.EXACT)
    assert what(done, "xn--bcher-kva.test") == plain(1, Kind.EXACT)
    assert what(done, "c.test") == plain(4, Kind.EXACT)
    assert done.rejected == {"hosts_address": 1}
    assert (done.rows, done.entries) == (3, 3)


def test_wildcard_and_adblock_are_subtrees(compiled):
    assert what(compiled("*.a.test\n", Format.WILDCARD), "a.test") == plain(1, Kind.SUBTREE)
    done = compiled("[Adblock Plus 2.0]\n! c\n||a.test^\n@@||b.test^\n||c.test^$third-party\n", Format.ADBLOCK)
    assert what(done, "a.test") == plain(3, Kind.SUBTREE)
    assert done.rejected == {"exception": 1, "options": 1}


def test_rpz_has_actions_and_exceptions_of_its_own(compiled):
    done = compiled(
        "$TTL 60\n@ SOA . . 1 1 1 1 1\na.test CNAME .\n*.b.test CNAME *.\nok.a.test CNAME rpz-passthru.\nd.test CNAME rpz-drop.\n",
        Format.RPZ,
    )
    assert what(done, "a.test") == [(3, Kind.SUBTREE, Category.GAMBLING, Action.NXDOMAIN)]
    assert what(done, "b.test") == [(4, Kind.SUBTREE, Category.GAMBLING, Action.NODATA)]
    assert what(done, "d.test") == [(6, Kind.SUBTREE, Category.GAMBLING, Action.DROP)]
    ((row, kind, _, _),) = what(done, "ok.a.test")
    assert row == 5
    assert kind in {Kind.ALLOW_SUBTREE, Kind.ALLOW_EXACT}


def test_an_exception_may_name_what_the_rails_protect(compiled):
    done = compiled(
        "@ SOA . . 1 1 1 1 1\ngoogle.com CNAME rpz-passthru.\nexample.com CNAME .\n", Format.RPZ, rail("google.com", "example.com")
    )
    assert (done.entries, done.protected) == (1, 1)


def test_urls_have_keys_and_marks(compiled):
    done = compiled("a.test/x\nhttps://a.test/y\nhttp://192.0.2.1:8080/z\nftp://a.test/\na.test/x\n", Format.URLS)
    opened = CompiledList(done.path, KEY)
    rules = rules_of(opened)
    for text, row in (("http://a.test/x", 1), ("https://a.test/x", 1), ("https://a.test/y", 2), ("http://192.0.2.1:8080/z", 3)):
        ((found, rule),) = opened.find(url_fingerprint(KEY, parse_url(text).key()))
        assert (found, rules[rule].kind) == (row, Kind.URL)
    assert what(done, "a.test") == plain(1, Kind.URL_HOST)
    assert (done.entries, done.doubles, done.rows) == (4, 2, 5)
    assert done.rejected == {"scheme": 1}
    assert done.enforceable == {"http_path": 3, "unenforceable": 3}


def test_a_url_on_a_protected_host_stays(compiled):
    assert compiled("http://google.com/x\n", Format.URLS, rail("google.com")).entries == 1


def test_csv_has_categories_and_dates(compiled):
    text = "entry,category,expires\na.test,malware,2020-01-01\nb.test,phishing,2030-01-01\nc.test,,2029-01-01\nd.test,nonsense,\nhttp://e.test/,adult,\n"
    done = compiled(text, Format.CSV)
    assert what(done, "a.test") == []
    assert what(done, "b.test") == [(3, Kind.SUBTREE, Category.PHISHING, None)]
    assert what(done, "c.test") == plain(4, Kind.SUBTREE)
    assert what(done, "e.test") == [(6, Kind.URL_HOST, Category.ADULT, None)]
    assert done.rejected == {"expired": 1, "category": 1}
    assert (done.bad, done.rows, done.entries) == (1, 5, 3)
    assert done.next_expiry == 1861920000.0 + 86400  # the end of 2029-01-01


def test_protected_rows_are_dropped_counted_and_not_bad(compiled):
    done = compiled("bet.br\nx.bet.br\ncom\n\\098et.br\n", Format.DOMAINS, rail("bet.br"))
    assert (done.protected, done.bad, done.entries) == (3, 0, 1)
    assert done.positions == {"protected": (1, 3, 4)}


@pytest.mark.parametrize(
    ("data", "format"),
    [
        (b"", Format.DOMAINS),
        (b"", Format.CSV),
        (b"# only a comment\n\n", Format.DOMAINS),
        (b"! only a comment\n", Format.ADBLOCK),
        (b"<!DOCTYPE html>\n<html><body>Not found</body></html>\n", Format.DOMAINS),
        (b"\xef\xbb\xbf \n <html>", Format.HOSTS),
        (b"<?xml version='1.0'?><Error/>", Format.URLS),
        (b"name,category\na.test,\n", Format.CSV),
        (b"\n\n", Format.CSV),
    ],
)
def test_what_is_no_list_is_refused_for_its_shape(tmp_path, data, format):
    with pytest.raises(Refused) as caught:
        compile_list(verified(format), data, KEY, b"", tmp_path / "lists", NOW)
    assert caught.value.reason == "shape"
    assert not (tmp_path / "lists").exists()


def test_a_list_in_another_format_than_it_declares_is_mostly_bad(compiled):
    hosts = "".join(f"0.0.0.0 w{i}.test\n" for i in range(1000))
    assert compiled(hosts + "a.test\n", Format.DOMAINS).bad_share > 0.99


def test_reading_stops_when_most_of_very_many_rows_are_bad(tmp_path, monkeypatch):
    monkeypatch.setattr(compiling, "BAD_ROWS_MAX", 1000)
    for form in (Format.DOMAINS, Format.URLS):
        with pytest.raises(Refused, match="malformed") as caught:
            compile_list(verified(form), b"a..b//@\n" * 2000, KEY, b"", tmp_path, NOW)
        assert caught.value.reason == "held"
    assert not list(tmp_path.rglob("*.blkl"))
    few = b"".join(b"w%d.test\n" % i for i in range(150_000)) + b"a..b\n" * 1400
    assert compile_list(verified(Format.DOMAINS), few, KEY, b"", tmp_path, NOW).bad == 1400


def test_positions_are_bounded_counts_are_not(compiled):
    done = compiled("a.test\n" + "a..b\n" * 3000)
    assert done.rejected == {"empty_label": 3000}
    assert done.positions["empty_label"] == tuple(range(2, 1002))


def test_hostile_octets_are_rows_like_others(compiled):
    done = compiled(
        b"\xff\xfe\n\0\n\xed\xa0\x80.test\na\0b.test\r\n" + b"x" * 9000 + b"\n\xf0\x9f\x92\xa9.test\n" + b"y" * (3 * BLOCK_BYTES)
    )
    assert done.rejected["encoding"] == 2
    assert done.rejected["too_long"] == 2
    assert done.rows == 7


def test_every_row_is_read_once_whatever_the_blocks(tmp_path):
    """The native way and the slow one count the same, over block edges too."""
    rng = random.Random(5)
    lines = [
        rng.choice([f"w{i}.example.com", f"w{i % 50}.test", "#c", "", "a..b", "bücher.test", "com", "x y", f"{'a' * 70}.test"])
        for i in range(60_000)
    ]
    data = "\n".join(lines).encode()
    assert len(data) > BLOCK_BYTES / 2
    done = compile_list(verified(Format.DOMAINS), data, KEY, b"", tmp_path, NOW)
    results = list(read_rows(Format.DOMAINS, [data]))
    bad = [(row, str(r.reason)) for row, r in results if isinstance(r, Bad)]
    names = [(row, e.name) for row, r in results for e in entries_of(r) if len(e.name.labels) > 1]
    assert done.rows == len(results)
    assert done.bad == len(bad)
    assert done.protected == sum(not isinstance(r, Bad) and len(r.name.labels) == 1 for _, r in results)
    assert done.entries == len({name for _, name in names})
    opened = CompiledList(done.path, KEY)
    first: dict = {}
    for row, name in names:
        first.setdefault(name, row)
    for name, row in first.items():
        assert opened.find(fingerprint(KEY, name.wire)) == [(row, 0)]


def test_blocks_are_whole_lines():
    data = b"".join(b"x" * n + b"\n" for n in range(400)) + b"no line feed"
    for size in (1, 7, 100, 1 << 20):
        blocks = [bytes(block) for block in blocks_of(memoryview(data), size)]
        assert b"".join(blocks) == data
        assert all(block.endswith(b"\n") for block in blocks[:-1])


def test_a_mapped_file_is_a_source_and_can_be_closed(tmp_path):
    (tmp_path / "list").write_bytes(b"a.test\nb.test\n")
    with (tmp_path / "list").open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        done = compile_list(verified(Format.DOMAINS), mapped, KEY, b"", tmp_path / "lists", NOW)
        mapped.close()
    assert done.entries == 2


def test_the_file_lies_where_the_state_directory_says(compiled, tmp_path):
    done = compiled("a.test\n")
    assert (
        done.path == compiled_path(tmp_path / "lists", verified(Format.DOMAINS)) == tmp_path / "lists/hotline/list" / f"3-{'ab' * 32}.blkl"
    )
    assert [p.name for p in done.path.parent.iterdir()] == [done.path.name]
    assert compiled("a.test\nb.test\n").path == done.path
    assert CompiledList(done.path, KEY).entries == 2


def test_a_disk_that_refuses_is_an_oserror(tmp_path):
    (tmp_path / "lists").write_text("a file in the way")
    with pytest.raises(OSError):
        compile_list(verified(Format.DOMAINS), b"a.test\n", KEY, b"", tmp_path / "lists", NOW)


def test_refusals_do_not_quote_the_list(tmp_path):
    for data, form in ((b"<secret.test>", Format.DOMAINS), (b"secret.test\n", Format.CSV)):
        with pytest.raises(Refused) as caught:
            compile_list(verified(form), data, KEY, b"", tmp_path, NOW)
        assert "secret" not in str(caught.value)
