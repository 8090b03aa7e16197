r"""Response policy zones as text: the master file format (RFC 1035 §5.1) read record by record, without a DNS library.

Only owners and the targets of CNAME records have a meaning here (lists/formats/README.md has the table):

    $TTL 300
    @                IN SOA  localhost. root.localhost. 1 3600 600 86400 300
    bad.example      CNAME   .                 ; NXDOMAIN, for the name and everything under it
    *.bad.example    CNAME   .                 ; the same entry again
    soft.example     CNAME   *.                ; NODATA
    good.bad.example CNAME   rpz-passthru.     ; an exception within this list
    mute.example     CNAME   rpz-drop.         ; no answer
    page.example     A       192.0.2.1         ; the list's own action; the address is not used

A :class:`Zone` is the state that a record needs from those before it: origin, apex, the last owner. Owners are handled as text, since
``parse_domain`` has to see just what the publisher wrote to name the right reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blockd.feeds.formats.base import ROW_MAX_OCTETS, Bad, Entry, RowReason, name_entry
from blockd.names import InvalidName, Reason, parse_domain
from blockd.terms import Action, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from blockd.feeds.formats.base import Result

TRIGGERS = frozenset({"rpz-ip", "rpz-client-ip", "rpz-nsip", "rpz-nsdname"})
_ACTIONS = {".": Action.NXDOMAIN, "*.": Action.NODATA, "rpz-drop.": Action.DROP}
_IGNORED = frozenset({"SOA", "RRSIG", "NSEC", "NSEC3", "NSEC3PARAM", "DNSKEY", "CDS", "CDNSKEY", "ZONEMD", "DS", "TYPE65534"})
_REFUSED_TYPES = frozenset({"NS", "DNAME"})

# One token: a quoted text, a parenthesis, or a run of other characters in which a backslash takes the next one with it.
_TOKEN = re.compile(r'[ \t\r\n]*(?:("(?:[^"\\\n]|\\[^\n])*")|([()])|((?:[^ \t\r\n"();\\]|\\.)+)|(;[^\n]*)|(.)|\Z)', re.DOTALL).match
_TTL = re.compile(r"\d+|(?:\d+[smhdw])+", re.IGNORECASE).fullmatch
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9-]*").fullmatch
_CLASSES = frozenset({"IN", "CH", "HS", "CS"})


@dataclass(slots=True)
class Zone:
    """What a record depends on. Texts end in a dot, in lower case; "." is the root."""

    origin: str = "."
    apex: str | None = None
    owner: str | None = None  # of the last record, absolute
    entered: str | None = None  # the last owner that gave an entry: its further records say nothing new


def tokens(text: str, depth: int = 0) -> tuple[list[str], int] | None:
    """Split into tokens, comments left out; `depth` 1: begin inside parentheses. Returns them and the depth at the end.

    None: a quote that does not end on its line, a stray ``)``, or parentheses in parentheses, which no record needs and which would let a
    file of ``(`` alone cost much time.
    """
    found: list[str] = []
    at = 0
    while True:
        token = _TOKEN(text, at)
        if token is None or token[5]:
            return None
        at = token.end()
        if token[2]:
            depth += 1 if token[2] == "(" else -1
            if depth not in (0, 1):
                return None
        elif token[1] is not None or token[3]:
            found.append(token[1] if token[1] is not None else token[3])
        elif not token[4]:
            return found, depth


def row(text: str, zone: Zone | None = None) -> Result:
    """Read one whole record or directive; `zone` is carried on. Without one, owners are relative to the root."""
    zone = zone if zone is not None else Zone()
    split = tokens(text)
    if split is None or split[1]:
        return Bad(RowReason.SYNTAX)
    words = split[0]
    if not words:
        return None
    if words[0].startswith("$"):
        return _directive(words, zone)
    if text[:1] in (" ", "\t"):
        if zone.owner is None:
            return Bad(RowReason.SYNTAX)
        rest = words
    else:
        zone.owner = _absolute(words[0], zone.origin)
        rest = words[1:]
    while rest and (rest[0].upper() in _CLASSES or _TTL(rest[0])):
        rest = rest[1:]
    if not rest or not _TYPE(rest[0]):
        return Bad(RowReason.SYNTAX)
    return _record(zone.owner, rest[0].upper(), rest[1:], zone)


def _directive(words: list[str], zone: Zone) -> Bad | None:
    word = words[0].upper()
    if word == "$TTL" and len(words) == 2 and _TTL(words[1]):
        return None
    if word == "$ORIGIN" and len(words) == 2:
        zone.origin = _absolute(words[1], zone.origin)
        return None
    return Bad(RowReason.DIRECTIVE)


def _absolute(text: str, origin: str) -> str:
    """Write an owner or a target in full, in lower case."""
    if text == "@":
        return origin
    text = text.lower()
    if text.endswith(".") and not text.endswith("\\."):
        return text
    return f"{text}." if origin == "." else f"{text}.{origin}"


def _within(name: str, apex: str) -> str | None:
    """Cut the apex off a name: "" for the apex itself, None for a name elsewhere."""
    if name == apex:
        return ""
    if apex == ".":
        return name[:-1]
    return name[: -len(apex) - 1] if name.endswith(f".{apex}") else None


def _record(owner: str, rtype: str, rdata: list[str], zone: Zone) -> Result:  # noqa: C901, PLR0911 -- one return for each case of the table
    if rtype == "SOA":
        if zone.apex is None and zone.origin == ".":
            zone.origin = owner
        zone.apex = owner
        return None
    if zone.apex is None:
        zone.apex = zone.origin
    name = _within(owner, zone.apex)
    if name is None:
        return Bad(RowReason.OUTSIDE_ZONE)
    if not name or rtype in _IGNORED:
        return None
    if name.rpartition(".")[2] in TRIGGERS:
        return Bad(RowReason.UNSUPPORTED_TRIGGER)
    if rtype in _REFUSED_TYPES:
        return Bad(RowReason.UNSUPPORTED_TYPE)
    if not rdata:
        return Bad(RowReason.SYNTAX)
    says = _says(name, owner, rdata, zone) if rtype == "CNAME" else (Kind.SUBTREE, None)
    if isinstance(says, Bad):
        return says
    if name == "*":
        return Bad(Reason.ROOT)
    entry = name_entry(name.removeprefix("*."), says[0], action=says[1])
    if isinstance(entry, Entry):
        if zone.entered == owner:
            return None
        zone.entered = owner
    return entry


def _says(name: str, owner: str, rdata: list[str], zone: Zone) -> tuple[Kind, Action | None] | Bad:  # noqa: PLR0911 -- the same
    """What a CNAME's target means."""
    if len(rdata) != 1:
        return Bad(RowReason.SYNTAX)
    target = rdata[0].lower()
    if target == "rpz-passthru.":
        return Kind.ALLOW_SUBTREE, None
    if target in _ACTIONS:
        return Kind.SUBTREE, _ACTIONS[target]
    if target.startswith("rpz-"):  # rpz-tcp-only., and any of these without its dot, which would turn an exception into a block
        return Bad(RowReason.UNSUPPORTED_ACTION)
    if _absolute(target, zone.origin) in {owner, f"{name}."}:
        return Bad(RowReason.UNSUPPORTED_ACTION)
    try:
        parse_domain(target.removeprefix("*."))
    except InvalidName:
        return Bad(RowReason.SYNTAX)
    return Kind.SUBTREE, None


def records(lines: Iterable[tuple[int, str | Bad]]) -> Iterator[tuple[int, str | Bad]]:
    """Join the lines of a record in parentheses. Yields (number of its first line, the record).

    Parentheses that do not close within a row's length make the first line bad; reading goes on with the line after it.
    """
    waiting: list[tuple[int, str | Bad]] = []
    source = iter(lines)
    while True:
        line = waiting.pop(0) if waiting else next(source, None)
        if line is None:
            return
        number, text = line
        if isinstance(text, Bad) or not _opens(text):
            yield number, text
            continue
        taken: list[tuple[int, str | Bad]] = []
        parts, is_open, size = [text], True, len(text)
        while is_open and size <= ROW_MAX_OCTETS:
            more = waiting.pop(0) if waiting else next(source, None)
            if more is None:
                break
            taken.append(more)
            if isinstance(more[1], Bad):
                break
            parts.append(more[1])
            size += 1 + len(more[1])
            split = tokens(more[1], 1)
            if split is None:
                break
            is_open = split[1] == 1
        if is_open:
            waiting[:0] = taken
            yield number, Bad(RowReason.SYNTAX)
        else:
            yield number, "\n".join(parts)


def _opens(text: str) -> bool:
    """Tell whether the line leaves a parenthesis open."""
    split = tokens(text) if "(" in text else None
    return split is not None and split[1] == 1
