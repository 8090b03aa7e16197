"""Rows of the four line formats: the C parser against a slow reader, in blocks of any size, by one thread and by several.

Any bytes: each row is taken, left to Python, or left for a named reason; what is taken is what the slow reader takes, whatever the
division into blocks; and where feeds' own reader has an opinion on a row that C took, it is the same name.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from blockd.errors import Refused
from blockd.names import parse_domain
from blockd.native._table import ListBuilder
from tests.fuzz.harness import main
from tests.native.rows import FORMATS, read

KEY = bytes(range(16))
DICTIONARY = (
    b"0.0.0.0 ", b"127.0.0.1\t", b":: ", b"::1 ", b"localhost", b"||", b"^", b"*.", b"#", b" # ", b"!", b"\n", b"\r\n", b"\xef\xbb\xbf", b".com",
    b"a" * 63, b"a." * 126, b"xn--", b"\\", b"\0", b" ", b"\t", b"0x", b"x" * 8192,
)  # fmt: skip


def blocks(data: bytes, format: str, at: int) -> list[tuple[int, int, int, str]]:
    """What is left when the data come in two blocks of whole lines, cut behind the line feed before `at`."""
    cut = data.rfind(b"\n", 0, at) + 1
    builder = ListBuilder(KEY, b"", 1)
    left = builder.add_text(data[:cut], format, 1, 0) if cut else []
    return left + [(row, start + cut, end + cut, why) for row, start, end, why in builder.add_text(data[cut:], format, builder.next_row, 0)]


def target(data: bytes) -> object:
    """C and the slow reader agree on every row of every format."""
    seen = []
    for form in FORMATS:
        builder = ListBuilder(KEY, b"", 2)
        left = builder.add_text(data, form, 1, 0)
        taken, expected, rows, next_row = read(data, form)
        assert left == expected, form
        assert (builder.rows, builder.next_row) == (rows, next_row), form
        assert blocks(data, form, len(data) // 2) == left, form
        for _, wire in taken[:50]:
            agrees(wire)
        seen.append((min(rows, 8), min(len(left), 8), frozenset(why for *_, why in left)))
    return tuple(seen)


def agrees(wire: bytes) -> None:
    """The names part reads the same text as the same name."""
    labels, at = [], 0
    while wire[at]:
        labels.append(wire[at + 1 : at + 1 + wire[at]])
        at += 1 + wire[at]
    try:
        assert parse_domain(b".".join(labels).decode("ascii")).wire == wire
    except Refused as refused:
        raise AssertionError(f"taken here and refused there: {refused.reason}") from None


if __name__ == "__main__":
    main("rows", target, dictionary=DICTIONARY, size_max=1 << 14)
