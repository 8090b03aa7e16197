"""Lists: any octets in any of the seven formats give rows, each an entry or a reason, however the blocks are cut; or the file is refused.

The first octet chooses the format, the second where the octets are cut in two.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness import main

from blockd.errors import Refused
from blockd.feeds.formats import ROW_MAX_OCTETS, Bad, RowReason, entries_of, parse_row, read_rows, split_lines
from blockd.names import Reason, parse_domain, parse_url
from blockd.terms import Format, Kind

FORMATS = list(Format)
REASONS = {reason.value for reason in RowReason} | {reason.value for reason in Reason}
DICTIONARY = (
    *(
        b"\n",
        b"\r\n",
        b"#",
        b" # ",
        b"!",
        b";",
        b'"',
        b'""',
        b",",
        b"(",
        b")",
        b"\\",
        b"\\046",
        b"\xef\xbb\xbf",
        b"\xff",
        b"\xed\xa0\x80",
        "ü".encode(),
    ),
    *(
        b"a.example",
        b"*.a.example",
        b"||a.example^",
        b"^$third-party",
        b"@@",
        b"##",
        b"[Adblock]",
        b"0.0.0.0 ",
        b"::1 ",
        b"localhost",
        b"192.0.2.1",
        b".",
    ),
    *(
        b"http://",
        b"https://a.example/x?y#z",
        b"user@",
        b":8080",
        b"entry,category,note,expires\n",
        b"gambling",
        b"2036-12-31",
        b"T00:00:00Z",
        b"+24:00",
    ),
    *(
        b"$ORIGIN rpz.example.\n",
        b"$TTL 300\n",
        b"$INCLUDE x\n",
        b"@ IN SOA a. b. (\n1 2 3\n4 5 )\n",
        b" CNAME .\n",
        b"CNAME *.",
        b"rpz-passthru.",
        b"rpz-drop.",
        b"rpz-ip",
    ),
)


def target(data: bytes) -> object:
    """Any octets, as a list in any format, give rows or one refusal of the file."""
    if len(data) < 2:
        return None
    format_, cut, content = FORMATS[data[0] % len(FORMATS)], data[1] * 3, data[2:]
    try:
        rows = list(read_rows(format_, [content]))
    except Refused as refused:
        assert refused.reason == "shape"
        assert format_ is Format.CSV
        return format_, "refused"
    assert list(read_rows(format_, [content[:cut], content[cut:]])) == rows
    numbers = [number for number, _ in rows]
    lines = content.count(b"\n") + 1
    assert numbers == sorted(numbers)
    assert all(0 < number <= lines for number in numbers)
    behaviour: set[object] = {format_}
    for _, result in rows:
        behaviour.add(sound(format_, result))
    if format_ not in {Format.CSV, Format.RPZ}:
        by_line = {n: line for n, line in split_lines([content]) if not isinstance(line, Bad)}
        for number, result in rows:
            if number in by_line:
                assert len(by_line[number]) <= ROW_MAX_OCTETS
                assert parse_row(format_, by_line[number].decode("utf-8", "surrogateescape")) == result
    return frozenset(behaviour)


def sound(format_: Format, result: object) -> object:
    """What holds for one row."""
    if isinstance(result, Bad):
        assert result.reason in REASONS
        return result.reason
    entries = entries_of(result)  # type: ignore[arg-type]
    assert entries
    for entry in entries:
        assert (entry.kind is Kind.URL) == (entry.url is not None) == (entry.name is None)
        if entry.name is not None:
            assert parse_domain(str(entry.name)) == entry.name
        if entry.url is not None:
            assert parse_url(str(entry.url)) == entry.url
        if format_ is Format.HOSTS:
            assert entry.kind is Kind.EXACT
    return entries[0].kind, entries[0].action, len(entries), entries[0].category is not None, entries[0].expires is not None


if __name__ == "__main__":
    main("formats", target, dictionary=DICTIONARY, size_max=16_384)
