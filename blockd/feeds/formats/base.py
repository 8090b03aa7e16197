"""What a reader of a list gives for each row: entries, nothing, or why the row is bad.

Reasons are a closed set of words, for they are metric labels: those of :class:`blockd.names.Reason` and those of :class:`RowReason`. A
:class:`Bad` holds no text of the row, so that a secret list cannot leak through a report.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from blockd.names import DomainName, InvalidName, parse_domain, parse_url_entry
from blockd.terms import Action, Category, Instant, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

ROW_MAX_OCTETS = 8192
"""Of one row, the line feed not counted: the same figure as LINE_MAX_BYTES in native/rows.h."""

BLANKS = " \t\r"
"""What may stand around a row and does not count: the same set as row_blank in native/rows.h."""


class RowReason(StrEnum):
    """Why a row is bad, beside the reasons of names and URLs."""

    TOO_LONG = "too_long"  # more than ROW_MAX_OCTETS
    ENCODING = "encoding"  # not UTF-8
    HOSTS_ADDRESS = "hosts_address"  # hosts: the address is not one of the four
    NO_NAME = "no_name"  # hosts: an address alone
    NOT_WILDCARD = "not_wildcard"  # wildcard: the row does not begin with "*."
    PATTERN = "pattern"  # adblock: not ||NAME^
    OPTIONS = "options"  # adblock: ||NAME^$...
    EXCEPTION = "exception"  # adblock: @@...
    COSMETIC = "cosmetic"  # adblock: ##...
    QUOTE = "quote"  # csv: a quote that does not end, or inside a bare field
    FIELDS = "fields"  # csv: more or fewer fields than the header has
    CATEGORY = "category"  # csv: no word of the vocabulary
    EXPIRES = "expires"  # csv: no ISO 8601 date, or a time without an offset
    SYNTAX = "syntax"  # rpz: not a record of a master file
    DIRECTIVE = "directive"  # rpz: $INCLUDE, $GENERATE
    OUTSIDE_ZONE = "outside_zone"  # rpz: an absolute owner elsewhere
    UNSUPPORTED_TRIGGER = "unsupported_trigger"  # rpz: rpz-ip, rpz-client-ip, rpz-nsip, rpz-nsdname
    UNSUPPORTED_ACTION = "unsupported_action"  # rpz: rpz-tcp-only, old passthru
    UNSUPPORTED_TYPE = "unsupported_type"  # rpz: NS or DNAME below the origin


@dataclass(frozen=True, slots=True)
class Bad:
    """A row that is no entry. `reason`: a value of :class:`RowReason` or of :class:`blockd.names.Reason`."""

    reason: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What one row says. `name` for every kind but URL, `url` for URL. None for the rest means: as the list has it, and never."""

    kind: Kind
    name: DomainName | None = None
    url: CanonicalURL | None = None
    category: Category | None = None
    action: Action | None = None
    expires: Instant | None = None


if TYPE_CHECKING:
    from blockd.names import CanonicalURL

    Result = Entry | tuple[Entry, ...] | Bad | None
    Columns = Sequence[str]


def entries_of(result: Result) -> tuple[Entry, ...]:
    """Return the entries of a result, none for a bad row or a comment."""
    if isinstance(result, Entry):
        return (result,)
    return result if isinstance(result, tuple) else ()


def name_entry(
    text: str, kind: Kind, *, category: Category | None = None, action: Action | None = None, expires: Instant | None = None
) -> Entry | Bad:
    """Read `text` as a domain name."""
    try:
        return Entry(kind, name=parse_domain(text), category=category, action=action, expires=expires)
    except InvalidName as invalid:
        return Bad(invalid.reason)


def url_entries(text: str, *, category: Category | None = None, expires: Instant | None = None) -> Entry | tuple[Entry, ...] | Bad:
    """Read `text` as a URL: one entry, or two (http and https) when it has no scheme."""
    try:
        urls = parse_url_entry(text)
    except InvalidName as invalid:
        return Bad(invalid.reason)
    entries = tuple(Entry(Kind.URL, url=url, category=category, expires=expires) for url in urls)
    return entries[0] if len(entries) == 1 else entries
