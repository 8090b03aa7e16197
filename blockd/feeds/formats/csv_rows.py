r"""The csv format: RFC 4180 with a header that names the columns ``entry, category, note, expires`` in any order.

A record may run over several lines inside quotes. So that one stray quote cannot swallow the rest of a file, a record has the length
limit of a row; when the quotes do not close within it, the line where it began is bad and reading goes on with the line after that.

    >>> columns = header("entry,note")
    >>> row('a.example,"a note, ""quoted"" in part"', columns).name
    <DomainName of 2 labels>
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from blockd.errors import Refused
from blockd.feeds.formats.base import BLANKS, ROW_MAX_OCTETS, Bad, RowReason, name_entry, url_entries
from blockd.terms import Category, Instant, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from blockd.feeds.formats.base import Columns, Result

DAY_S = 86_400
COLUMNS = ("entry", "category", "note", "expires")

# A field: quoted (quotes doubled inside), or bare (no quote in it); blanks around it do not count. Then a comma, or the end.
_FIELD = re.compile(r'[ \t\r]*(?:"((?:[^"]|"")*)"[ \t\r]*|([^",]*))(,|\Z)').match
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}").fullmatch
_WORDS = {category.value: category for category in Category}


def header(text: str) -> tuple[str, ...]:
    """Read the header. Refused("shape") when `entry` is missing, a name is unknown, or one stands twice: the file is unreadable then."""
    names = fields(text)
    if isinstance(names, Bad):
        raise Refused("shape", "the csv header has a quote that does not end: its columns are entry,category,note,expires")
    if "entry" not in names:
        raise Refused("shape", "the csv header has no column entry: its columns are entry,category,note,expires")
    if len(set(names)) != len(names) or not set(names) <= set(COLUMNS):
        raise Refused("shape", "the csv header names an unknown column, or one twice: its columns are entry,category,note,expires")
    return tuple(names)


def fields(text: str) -> list[str] | Bad:
    """Split one whole record."""
    found: list[str] = []
    at = 0
    while True:
        field = _FIELD(text, at)
        if field is None:
            return Bad(RowReason.QUOTE)
        quoted, bare, end = field.groups()
        found.append(quoted.replace('""', '"') if quoted is not None else bare.strip(BLANKS))
        at = field.end()
        if not end:
            return found


def row(text: str, columns: Columns) -> Result:  # noqa: PLR0911 -- one return for each thing that can be wrong
    """Read one whole record under the columns of :func:`header`."""
    if not text.strip(BLANKS + "\n"):
        return None
    values = fields(text)
    if isinstance(values, Bad):
        return values
    if len(values) != len(columns):
        return Bad(RowReason.FIELDS)
    by_name = dict(zip(columns, values, strict=True))
    word = by_name.get("category", "").strip(BLANKS)
    if word and word not in _WORDS:
        return Bad(RowReason.CATEGORY)
    expires: Instant | None = None
    if when := by_name.get("expires", "").strip(BLANKS):
        expires = instant(when)
        if expires is None:
            return Bad(RowReason.EXPIRES)
    entry = by_name["entry"].strip(BLANKS)
    category = _WORDS.get(word)
    if "/" in entry:
        return url_entries(entry, category=category, expires=expires)
    return name_entry(entry, Kind.SUBTREE, category=category, expires=expires)


def instant(text: str) -> Instant | None:
    """Read an ISO 8601 date (its end, UTC) or a time with an offset; None for anything else."""
    try:
        if _DATE(text):
            day = date.fromisoformat(text)
            return Instant(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() + DAY_S)
        time = datetime.fromisoformat(text.upper())
        return Instant(time.timestamp()) if time.tzinfo is not None and "T" in text.upper() else None
    except (ValueError, OverflowError):
        return None


def records(lines: Iterable[tuple[int, str | Bad]]) -> Iterator[tuple[int, str | Bad]]:
    """Join lines to records. Yields (number of the first line, the record); a quote that does not end gives Bad for its first line.

    A line that is no text stands by itself, and no quote reaches over it.
    """
    waiting: list[tuple[int, str | Bad]] = []  # lines that are to be read (again), the first one next
    source = iter(lines)
    while True:
        line = waiting.pop(0) if waiting else next(source, None)
        if line is None:
            return
        number, text = line
        if isinstance(text, Bad) or text.count('"') % 2 == 0:
            yield number, text
            continue
        taken: list[tuple[int, str | Bad]] = []
        parts, open_quote, size = [text], True, len(text.encode("utf-8", "surrogateescape"))
        while open_quote and size <= ROW_MAX_OCTETS:
            more = waiting.pop(0) if waiting else next(source, None)
            if more is None:
                break
            taken.append(more)
            if isinstance(more[1], Bad):
                break
            parts.append(more[1])
            size += 1 + len(more[1].encode("utf-8", "surrogateescape"))
            open_quote = more[1].count('"') % 2 == 0
        if open_quote or size > ROW_MAX_OCTETS:
            waiting[:0] = taken
            yield number, Bad(RowReason.QUOTE)
        else:
            yield number, "\n".join(parts)
