"""The seven list formats: rows in, entries or reasons out. lists/formats/README.md is the specification."""

from blockd.feeds.formats.base import ROW_MAX_OCTETS, Bad, Entry, RowReason, entries_of
from blockd.feeds.formats.csv_rows import header as csv_header
from blockd.feeds.formats.reader import BUDGET_SHARE, Tally, parse_row, read_rows, split_lines, tally
from blockd.feeds.formats.rpz import Zone

__all__ = [
    "BUDGET_SHARE",
    "ROW_MAX_OCTETS",
    "Bad",
    "Entry",
    "RowReason",
    "Tally",
    "Zone",
    "csv_header",
    "entries_of",
    "parse_row",
    "read_rows",
    "split_lines",
    "tally",
]
