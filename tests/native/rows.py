"""The plain rows of the four line formats, read slowly: the oracle for native/rows.h."""

from __future__ import annotations

import re

from blockd.native._table import LINE_MAX_BYTES

FORMATS = ("domains", "hosts", "wildcard", "adblock")
PLAIN = re.compile(rb"(?:[A-Za-z0-9_-]{1,63}\.)*(?![0-9])[A-Za-z0-9_-]{1,63}\.?").fullmatch
ADDRESSES = (b"0.0.0.0", b"127.0.0.1", b"::", b"::1")
LOCAL = {
    b"localhost", b"localhost.localdomain", b"localhost4", b"localhost6", b"localhost6.localdomain6", b"local", b"broadcasthost",
    b"ip6-localhost", b"ip6-loopback", b"ip6-localnet", b"ip6-mcastprefix", b"ip6-allnodes", b"ip6-allrouters", b"ip6-allhosts",
}  # fmt: skip


def to_wire(name: bytes) -> bytes:
    return b"".join(bytes((len(label),)) + label for label in name.lower().removesuffix(b".").split(b".")) + b"\0"


def plain(name: bytes) -> bytes | None:
    """The wire form of a plain name."""
    if not PLAIN(name):
        return None
    wire = to_wire(name)
    return wire if len(wire) <= 255 else None


def names_of(line: bytes, format: str) -> list[tuple[int, int]] | None:
    """Where the texts stand that must be plain names for the row to be taken; [] for a comment; None: ask."""
    if format == "hosts":
        words = [m.span() for m in re.finditer(rb"[^ \t\r]+", line.partition(b"#")[0])]
        if not words:
            return []
        if line[slice(*words[0])] not in ADDRESSES or len(words) < 2:
            return None
        return [span for span in words[1:] if line[slice(*span)] not in LOCAL]
    if re.fullmatch(rb"[ \t\r]*(?:%s.*)?" % (b"!" if format == "adblock" else b"#"), line, re.DOTALL):
        return []
    row = {
        "domains": rb"[ \t\r]*([^ \t\r]+)(?:[ \t\r]+#.*|[ \t\r]*)",
        "wildcard": rb"[ \t\r]*\*\.([^ \t\r]+)(?:[ \t\r]+#.*|[ \t\r]*)",
        "adblock": rb"[ \t\r]*\|\|([^ \t\r]+)\^[ \t\r]*",
    }[format]
    found = re.fullmatch(row, line, re.DOTALL)
    return [found.span(1)] if found else None


def read(data: bytes, format: str, first_row: int = 1, protected: frozenset[bytes] = frozenset()):
    """[(row, wire)] of what is taken, [(row, start, end, why)] of what is left, how many rows were taken whole, and the next row."""
    taken, left, rows = [], [], 0
    at = 3 if first_row == 1 and data.startswith(b"\xef\xbb\xbf") else 0
    row = first_row
    while at < len(data):
        feed = data.find(b"\n", at)
        end = len(data) if feed < 0 else feed
        line = data[at:end]
        spans = names_of(line, format)
        if len(line) > LINE_MAX_BYTES:
            left.append((row, at, end, "too_long"))
        elif spans is None or any(plain(line[slice(*span)]) is None for span in spans):
            left.append((row, at, end, "python"))
        else:
            rows += bool(spans)
            for start, stop in spans:
                wire = plain(line[start:stop])
                if wire[0] + 2 == len(wire) or wire in protected:
                    left.append((row, at + start, at + stop, "protected"))
                else:
                    taken.append((row, wire))
        at = end + 1
        row += 1
    return taken, left, rows, row
