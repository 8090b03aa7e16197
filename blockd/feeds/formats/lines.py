"""One row of the line formats: domains, hosts, wildcard, adblock, urls.

The native core (native/rows.h) takes the plain rows of the first four and leaves every other to these functions, which are the
reference: what is plain there must give the same entry here. lists/formats/README.md has each ambiguity and its decision.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from blockd.feeds.formats.base import BLANKS, Bad, Entry, RowReason, name_entry, url_entries
from blockd.terms import Kind

if TYPE_CHECKING:
    from blockd.feeds.formats.base import Result

HOSTS_ADDRESSES = frozenset({"0.0.0.0", "127.0.0.1", "::", "::1"})
HOSTS_LOCAL = frozenset(
    {
        "localhost", "localhost.localdomain", "localhost4", "localhost6", "localhost6.localdomain6", "local", "broadcasthost",
        "ip6-localhost", "ip6-loopback", "ip6-localnet", "ip6-mcastprefix", "ip6-allnodes", "ip6-allrouters", "ip6-allhosts",
    }
)  # fmt: skip

_BEFORE_COMMENT = re.compile(r"([^ \t\r]+)[ \t\r]+#").match
_WORDS = re.compile(r"[^ \t\r]+").findall
_HEADER = re.compile(r"\[(?:adblock|adguard|ublock)[^\[\]]*\]", re.IGNORECASE).fullmatch
_COSMETIC = re.compile(r"#@?[?$%]{0,2}#").search


def _without_comment(row: str) -> str:
    found = _BEFORE_COMMENT(row)
    return found[1] if found else row


def domains(text: str) -> Result:
    """Read ``NAME``: the name and everything under it."""
    row = text.strip(BLANKS)
    if not row or row.startswith("#"):
        return None
    return name_entry(_without_comment(row), Kind.SUBTREE)


def wildcard(text: str) -> Result:
    """Read ``*.NAME``: the name and everything under it."""
    row = text.strip(BLANKS)
    if not row or row.startswith("#"):
        return None
    name = _without_comment(row)
    if not name.startswith("*."):
        return Bad(RowReason.NOT_WILDCARD)
    return name_entry(name[2:], Kind.SUBTREE)


def hosts(text: str) -> Result:
    """Read ``ADDR NAME...``: exactly each name. One bad name makes the row bad."""
    words = _WORDS(text.partition("#")[0])
    if not words:
        return None
    if words[0] not in HOSTS_ADDRESSES:
        return Bad(RowReason.HOSTS_ADDRESS)
    if len(words) == 1:
        return Bad(RowReason.NO_NAME)
    entries: list[Entry] = []
    for word in words[1:]:
        if word in HOSTS_LOCAL:
            continue
        entry = name_entry(word, Kind.EXACT)
        if isinstance(entry, Bad):
            return entry
        entries.append(entry)
    return tuple(entries) if len(entries) > 1 else entries[0] if entries else None


def adblock(text: str) -> Result:
    """Read ``||NAME^``: the name and everything under it. Everything that says more, or less, is bad."""
    row = text.strip(BLANKS)
    if not row or row.startswith("!") or _HEADER(row):
        return None
    if row.startswith("@@"):
        return Bad(RowReason.EXCEPTION)
    if _COSMETIC(row):
        return Bad(RowReason.COSMETIC)
    name, caret, options = row.removeprefix("||").partition("^")
    if not row.startswith("||") or not caret or "/" in name:
        return Bad(RowReason.PATTERN)
    if options:
        return Bad(RowReason.OPTIONS if options.startswith("$") else RowReason.PATTERN)
    return name_entry(name, Kind.SUBTREE)


def urls(text: str) -> Result:
    """Read one URL; without a scheme it is two, for http and https."""
    row = text.strip(BLANKS)
    if not row or row.startswith("#"):
        return None
    return url_entries(row)
