from __future__ import annotations

import pytest

from blockd.feeds.formats import Bad, Zone, entries_of, parse_row, read_rows
from blockd.feeds.formats.rpz import records, tokens
from blockd.terms import Action, Format, Kind

HEAD = "$TTL 300\n@ IN SOA localhost. root.localhost. (1 3600\n 600 86400 300) ; serial\n IN NS localhost.\n"


def read(text: str):
    found = []
    for number, result in read_rows(Format.RPZ, [text.encode()]):
        if isinstance(result, Bad):
            found.append((number, str(result.reason)))
        else:
            found += [(number, e.kind, str(e.name), e.action) for e in entries_of(result)]
    return found


def one(record: str, head: str = "$ORIGIN rpz.example.\n"):
    found = read(head + record + "\n")
    assert len(found) <= 1
    return found[0][1:] if found else None


B, A = Kind.SUBTREE, Kind.ALLOW_SUBTREE


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ("bad.example CNAME .", (B, "bad.example", Action.NXDOMAIN)),
        ("*.bad.example CNAME .", (B, "bad.example", Action.NXDOMAIN)),
        ("bad.example 60 IN CNAME *.", (B, "bad.example", Action.NODATA)),
        ("bad.example IN 1h30m CNAME rpz-drop.", (B, "bad.example", Action.DROP)),
        ("good.example CNAME rpz-passthru.", (A, "good.example", None)),
        ("good.example CNAME RPZ-Passthru.", (A, "good.example", None)),
        ("bad.example CNAME rpz-tcp-only.", ("unsupported_action",)),
        ("bad.example CNAME rpz-passthru", ("unsupported_action",)),
        ("bad.example CNAME bad.example.", ("unsupported_action",)),
        ("bad.example CNAME bad.example", ("unsupported_action",)),
        ("bad.example CNAME garden.isp.example.", (B, "bad.example", None)),
        ("bad.example CNAME *.garden.isp.example.", (B, "bad.example", None)),
        ("bad.example A 192.0.2.1", (B, "bad.example", None)),
        ("bad.example AAAA 2001:db8::1", (B, "bad.example", None)),
        ('bad.example TXT "why; (because)"', (B, "bad.example", None)),
        ("bad.example MX 10 mx.example.", (B, "bad.example", None)),
        ("BAD.Example.RPZ.example. CNAME .", (B, "bad.example", Action.NXDOMAIN)),
        ("bad.example.other. CNAME .", ("outside_zone",)),
        ("bücher.example CNAME .", (B, "xn--bcher-kva.example", Action.NXDOMAIN)),
        (r"a\.b.example CNAME .", (B, r"a\.b.example", Action.NXDOMAIN)),
        ("32.1.2.0.192.rpz-ip CNAME .", ("unsupported_trigger",)),
        ("32.1.2.0.192.rpz-client-ip CNAME rpz-drop.", ("unsupported_trigger",)),
        ("ns.example.rpz-nsdname CNAME .", ("unsupported_trigger",)),
        ("32.1.2.0.192.RPZ-NSIP CNAME .", ("unsupported_trigger",)),
        ("bad.example NS ns.example.", ("unsupported_type",)),
        ("bad.example DNAME x.example.", ("unsupported_type",)),
        ("bad.example RRSIG A 13 2 300 x y z w v u", None),
        ("@ NS localhost.", None),
        ("@ DNSKEY 257 3 13 abc", None),
        ("* CNAME .", ("root",)),
        ("192.0.2.1 CNAME .", ("address",)),
        ("bad.*.example CNAME .", ("character",)),
        ("bad.example CNAME", ("syntax",)),
        ("bad.example", ("syntax",)),
        ("bad.example CNAME . extra", ("syntax",)),
        ("bad.example CNAME a..b.", ("syntax",)),
        ('bad.example TXT "open', ("syntax",)),
        ("bad.example CNAME . )", ("syntax",)),
        ("bad.example CNAME ((.))", ("syntax",)),
        ("$INCLUDE other.zone", ("directive",)),
        ("$GENERATE 1-9 h$ CNAME .", ("directive",)),
        ("$TTL", ("directive",)),
        ("$TTL 1d", None),
        ("; a comment", None),
        ("", None),
    ],
)
def test_records(record, expected):
    assert one(record) == expected


def test_octets_that_are_no_text():
    rows = list(read_rows(Format.RPZ, [b"$ORIGIN r.\n\xff.example CNAME .\nok.example CNAME .\n"]))
    assert rows[0] == (2, Bad("encoding"))
    assert len(rows) == 2


def test_the_origin_is_that_of_the_soa():
    assert read("rpz.example. IN SOA a. b. 1 2 3 4 5\nbad.example CNAME .\nworse.example.rpz.example. CNAME .\n") == [
        (2, B, "bad.example", Action.NXDOMAIN),
        (3, B, "worse.example", Action.NXDOMAIN),
    ]


def test_without_an_origin_names_are_as_they_stand():
    assert read(HEAD + "bad.example CNAME .\nbad.example.org. CNAME .\n") == [
        (5, B, "bad.example", Action.NXDOMAIN),
        (6, B, "bad.example.org", Action.NXDOMAIN),
    ]


def test_an_origin_in_between_moves_owners_not_the_apex():
    text = "$ORIGIN rpz.example.\n@ SOA a. b. 1 2 3 4 5\n$ORIGIN com.rpz.example.\nbad CNAME .\n$ORIGIN net\nodd CNAME .\n"
    assert read(text) == [(4, B, "bad.com", Action.NXDOMAIN), (6, B, "odd.net.com", Action.NXDOMAIN)]


def test_an_owner_left_out_is_the_last_one_and_says_nothing_new():
    assert read("$ORIGIN rpz.\nbad.example CNAME .\n   TXT why\nnext.example A 192.0.2.1\n AAAA 2001:db8::1\n") == [
        (2, B, "bad.example", Action.NXDOMAIN),
        (4, B, "next.example", None),
    ]
    assert read(" CNAME .\n") == [(1, "syntax")]


def test_several_records_the_first_stays():
    assert read("$ORIGIN rpz.\nbad.example CNAME .\nbad.example CNAME *.\n") == [(2, B, "bad.example", Action.NXDOMAIN)]


def test_parentheses_over_lines():
    assert read("$ORIGIN rpz.\nbad.example ( ; why\n CNAME ; what\n . )\nnext.example CNAME .\n") == [
        (2, B, "bad.example", Action.NXDOMAIN),
        (5, B, "next.example", Action.NXDOMAIN),
    ]


def test_a_stray_parenthesis_costs_its_line_and_no_more():
    text = "$ORIGIN rpz.\nbad.example ( CNAME .\n" + "".join(f"n{i}.example CNAME .\n" for i in range(1500))
    found = read(text)
    assert found[0] == (2, "syntax")
    assert len(found) == 1501


def test_a_file_of_parentheses_takes_no_longer_than_it_should():
    assert sum(1 for _ in records((n, "(") for n in range(100_000))) == 100_000


def test_parse_row_without_a_zone_is_relative_to_the_root():
    assert str(parse_row(Format.RPZ, "bad.example CNAME .").name) == "bad.example"


def test_parse_row_carries_its_zone():
    zone = Zone()
    for text in ("$ORIGIN rpz.example.", "@ SOA a. b. 1 2 3 4 5"):
        assert parse_row(Format.RPZ, text, zone) is None
    assert str(parse_row(Format.RPZ, "bad.example CNAME .", zone).name) == "bad.example"
    assert parse_row(Format.RPZ, "bad.example. CNAME .", zone) == Bad("outside_zone")


def test_tokens():
    assert tokens('a "b c" (d) ; e') == (["a", '"b c"', "d"], 0)
    assert tokens(r"a\ b \; c") == ([r"a\ b", r"\;", "c"], 0)
    assert tokens("a (") == (["a"], 1)
    assert tokens(")", 1) == ([], 0)
    assert tokens("a\\") is None
