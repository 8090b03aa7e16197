r"""Whole lists, streamed: blocks of octets in, rows with their numbers out. And the count of what was bad.

A list is never in memory as a whole. A row longer than :data:`ROW_MAX_OCTETS` is bad and is skipped without being kept.

    >>> list(read_rows(Format.DOMAINS, [b"a.exa", b"mple\\n# c\\nno/name\\n"]))
    [(1, Entry(...)), (3, Bad(reason='character'))]
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blockd.errors import Refused
from blockd.feeds.formats import csv_rows, lines, rpz
from blockd.feeds.formats.base import BLANKS, ROW_MAX_OCTETS, Bad, Entry, RowReason
from blockd.terms import Format

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from blockd.feeds.formats.base import Columns, Result

BUDGET_SHARE = 0.01
"""More bad rows than this hold the update."""

NUMBERS_MAX_ROWS = 20
"""So many row numbers are kept for each reason."""

_BOM = b"\xef\xbb\xbf"

_LINES: dict[Format, Callable[[str], Result]] = {
    Format.DOMAINS: lines.domains,
    Format.HOSTS: lines.hosts,
    Format.WILDCARD: lines.wildcard,
    Format.ADBLOCK: lines.adblock,
    Format.URLS: lines.urls,
}


def parse_row(format: Format, text: str, columns: Columns | rpz.Zone | None = None) -> Result:  # noqa: A002 -- the contract's word
    """Read one row of `format`: an entry or several, Bad, or None for a comment or a blank.

    `text`: without its line feed. `columns`: for csv the header's columns (:func:`csv_rows.header`), by default ``("entry",)``; for rpz the
    :class:`rpz.Zone` that is carried from row to row. Total: any text gives a result.
    """
    if len(text) > ROW_MAX_OCTETS or (not text.isascii() and _octets(text) > ROW_MAX_OCTETS):
        return Bad(RowReason.TOO_LONG)
    if not text.isascii() and not _is_unicode(text):
        return Bad(RowReason.ENCODING)
    if format is Format.RPZ:
        return rpz.row(text, columns if isinstance(columns, rpz.Zone) else None)
    if format is Format.CSV:
        return csv_rows.row(text, ("entry",) if columns is None or isinstance(columns, rpz.Zone) else columns)
    return _LINES[format](text)


def _octets(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _is_unicode(text: str) -> bool:
    """False for text with lone surrogates, which is how octets that are no UTF-8 arrive."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def split_lines(blocks: Iterable[bytes]) -> Iterator[tuple[int, bytes | Bad]]:
    """Cut blocks of any size into numbered lines, the line feed left out; Bad for a line that is too long, whose octets are dropped."""
    number, rest, dropped = 1, b"", False
    for block in blocks:
        pieces = block.split(b"\n")
        for last, piece in enumerate(pieces, 1 - len(pieces)):
            rest = piece if dropped else rest + piece
            if len(rest) > ROW_MAX_OCTETS + len(_BOM):
                rest, dropped = b"", True
            if last < 0:
                yield number, Bad(RowReason.TOO_LONG) if dropped else _checked(number, rest)
                number, rest, dropped = number + 1, b"", False
            elif dropped:
                rest = b""
    if rest or dropped:
        yield number, Bad(RowReason.TOO_LONG) if dropped else _checked(number, rest)


def _checked(number: int, line: bytes) -> bytes | Bad:
    line = line.removeprefix(_BOM) if number == 1 else line
    return Bad(RowReason.TOO_LONG) if len(line) > ROW_MAX_OCTETS else line


def read_rows(format: Format, blocks: Iterable[bytes]) -> Iterator[tuple[int, Entry | tuple[Entry, ...] | Bad]]:  # noqa: A002
    """Read a whole list. Yields (number of the row's first line, what it says), comments and blanks left out.

    Refused("shape"): a csv file whose header cannot be read; no row of it means anything then.
    """
    texts: Iterator[tuple[int, str | Bad]] = (
        (number, line if isinstance(line, Bad) else line.decode("utf-8", "surrogateescape")) for number, line in split_lines(blocks)
    )
    if format is Format.CSV:
        results = _csv_rows(texts)
    elif format is Format.RPZ:
        results = _rpz_rows(texts)
    else:
        results = ((number, text if isinstance(text, Bad) else parse_row(format, text)) for number, text in texts)
    for number, result in results:
        if result is not None:
            yield number, result


def _csv_rows(texts: Iterator[tuple[int, str | Bad]]) -> Iterator[tuple[int, Result]]:
    columns: Columns | None = None
    for number, text in texts:
        if isinstance(text, Bad):
            raise Refused("shape", f"line {number}: the csv header is no text")
        if text.strip(BLANKS):
            columns = csv_rows.header(text)
            break
    if columns is None:
        raise Refused("shape", "the file is empty: csv needs a header, entry,category,note,expires")
    for number, record in csv_rows.records(texts):
        yield number, record if isinstance(record, Bad) else parse_row(Format.CSV, record, columns)


def _rpz_rows(texts: Iterator[tuple[int, str | Bad]]) -> Iterator[tuple[int, Result]]:
    zone = rpz.Zone()
    for number, record in rpz.records(texts):
        yield number, record if isinstance(record, Bad) else parse_row(Format.RPZ, record, zone)


@dataclass(slots=True)
class Tally:
    """What reading a list came to. `rows` counts rows that are entries or bad; `bad` by reason, with the first numbers of each."""

    rows: int = 0
    entries: int = 0
    bad: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, list[int]] = field(default_factory=dict)

    def add(self, number: int, result: Result) -> None:
        """Count one row."""
        if result is None:
            return
        self.rows += 1
        if not isinstance(result, Bad):
            self.entries += len(result) if isinstance(result, tuple) else 1
            return
        self.bad[result.reason] = self.bad.get(result.reason, 0) + 1
        kept = self.numbers.setdefault(result.reason, [])
        if len(kept) < NUMBERS_MAX_ROWS:
            kept.append(number)

    @property
    def bad_rows(self) -> int:
        """Bad rows of every reason."""
        return sum(self.bad.values())

    def exceeds_budget(self, share: float = BUDGET_SHARE) -> bool:
        """Tell whether so many rows are bad that the update must be held."""
        return self.bad_rows > share * self.rows


_NAME = rb"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z_-][A-Za-z0-9_-]{0,62}"
_PLAIN = {
    Format.DOMAINS: re.compile(_NAME),
    Format.HOSTS: re.compile(rb"(?:0\.0\.0\.0|127\.0\.0\.1|::1?) (?!local|broadcast|ip6-)" + _NAME),
    Format.WILDCARD: re.compile(rb"\*\." + _NAME),
    Format.ADBLOCK: re.compile(rb"\|\|" + _NAME + rb"\^"),
}
"""Rows that are one good entry whatever else: nearly all rows of large lists. Names beyond these go the long way, which gives reasons."""

_PLAIN_MAX_OCTETS = 253


def tally(format: Format, blocks: Iterable[bytes]) -> Tally:  # noqa: A002
    """Read a whole list only to count, which is faster than :func:`read_rows`. Refused("shape") as there."""
    counted = Tally()
    if format not in _PLAIN:
        for number, result in read_rows(format, blocks):
            counted.add(number, result)
        return counted
    plain = _PLAIN[format].fullmatch
    for number, line in split_lines(blocks):
        if isinstance(line, Bad):
            counted.add(number, line)
        elif len(line) <= _PLAIN_MAX_OCTETS and plain(line):
            counted.rows += 1
            counted.entries += 1
        else:
            counted.add(number, parse_row(format, line.decode("utf-8", "surrogateescape")))
    return counted
