r"""What a domain name is: octets in labels, compared without the case of ASCII letters (RFC 1035 §2.3.3, RFC 4343 §3).

A :class:`DomainName` holds the folded wire form and nothing else. Everything is matched, hashed and fingerprinted on those
octets, never on text: the one-label name ``a\.b`` and the two-label name ``a.b`` print almost alike.

Three readings of text, tried in this order by :func:`parse_domain`:

1. *Plain*: labels of ASCII letters, digits, ``-`` and ``_``, with or without the final dot. Nearly every list row and query. An
   ``xn--`` label is taken as the octets it is, valid Punycode or not: the DNS does not decode it, and ada's host parser lets an
   all-ASCII host stand as well. A listed name can therefore be matched even where no browser would show it.
2. *Presentation*: text with a backslash is ASCII with the escapes of RFC 1035 §5.1, ``\DDD`` (decimal octet) and ``\X``.
3. *International*: text beyond ASCII goes through UTS 46 (ada's host parser), and what comes out is read as plain text again.

Any other ASCII character (space, ``*``, ``/``, ``:``, a control) must be escaped: in a list it means that the row is no name. Text
whose last label is a number is an address to every URL parser (WHATWG URL §3.5, "ends in a number"), so it is refused as one,
and :meth:`DomainName.__str__` escapes a digit where a name off the wire would read so. Thus ``parse_domain(str(d)) == d`` for
every name. The root is not a :class:`DomainName`: it has nothing to block.

    >>> str(parse_domain("WWW.Bücher.example."))
    'www.xn--bcher-kva.example'
    >>> parse_domain(r"a\.b.example").labels
    (b'a.b', b'example')
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

from blockd.errors import Refused
from blockd.names import ada

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

WIRE_MAX_OCTETS = 255  # the root's zero included (RFC 1035 §2.3.4)
LABEL_MAX_OCTETS = 63  # RFC 1035 §2.3.4
DOMAIN_TEXT_MAX_CHARACTERS = 1024  # the longest name, every octet escaped, needs 1004


class Reason(StrEnum):
    """Why text is not a name or a URL. Closed: these are metric labels."""

    EMPTY = "empty"
    ROOT = "root"
    LENGTH = "length"
    LABEL = "label"
    EMPTY_LABEL = "empty_label"
    CHARACTER = "character"
    ESCAPE = "escape"
    IDNA = "idna"
    ADDRESS = "address"
    WIRE = "wire"
    SCHEME = "scheme"
    URL = "url"


_MESSAGES = {
    Reason.EMPTY: "empty text is no name",
    Reason.ROOT: "the root has no name to look up or to block",
    Reason.LENGTH: "too long: a name has at most 255 octets on the wire (RFC 1035 §2.3.4), a URL 8192 characters",
    Reason.LABEL: "a label has more than 63 octets (RFC 1035 §2.3.4)",
    Reason.EMPTY_LABEL: "two dots stand together, or a dot stands in front",
    Reason.CHARACTER: "a character that must be escaped as \\DDD in a name (RFC 1035 §5.1)",
    Reason.ESCAPE: "a backslash must be followed by three digits up to 255, or by one character that is no digit (RFC 1035 §5.1)",
    Reason.IDNA: "not a valid international name (UTS 46)",
    Reason.ADDRESS: "an IP address, or text that ends in a number as addresses do",
    Reason.WIRE: "not one whole uncompressed name (RFC 1035 §3.1)",
    Reason.SCHEME: "only http and https URLs are filtered; text without a scheme may not hold an @ before the path",
    Reason.URL: "not a valid URL (WHATWG)",
}


class InvalidName(Refused):
    """Text or octets that are no domain name or URL. `reason` is one of :class:`Reason`; the message never holds the text."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value, _MESSAGES[reason])


_PLAIN = re.compile(r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?").fullmatch
_PLAIN_OCTETS = re.compile(rb"[a-z0-9_.-]+").fullmatch
_ODD_ASCII = re.compile(r"[\x00-,/:-@\[-^`{-\x7f]").search  # ASCII but for letters, digits, "-", "_" and "."
_SURROGATE = re.compile("[\ud800-\udfff]").search
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*").fullmatch
_ESCAPED = re.compile(r"([^\\.]+)|(\.)|\\([0-9]{3})|\\([^0-9])")
_LENGTHS = tuple(bytes((n,)) for n in range(LABEL_MAX_OCTETS + 1))


@dataclass(frozen=True, slots=True, repr=False)
class DomainName:
    """A domain name other than the root. Made by :func:`parse_domain` and :func:`from_wire`, which check it.

    `wire`: uncompressed wire form with ASCII letters in lower case, the root's zero included, 3 to 255 octets.
    """

    wire: bytes

    @property
    def labels(self) -> tuple[bytes, ...]:
        """The labels from the left, without the root: ``(b"www", b"example")``."""
        wire, at = self.wire, 0
        labels = []
        while length := wire[at]:
            labels.append(wire[at + 1 : at + 1 + length])
            at += 1 + length
        return tuple(labels)

    @property
    def parent(self) -> DomainName | None:
        """The name without its first label; None for a top-level domain."""
        rest = self.wire[1 + self.wire[0] :]
        return DomainName(rest) if len(rest) > 1 else None

    def suffixes(self) -> Iterator[bytes]:
        """Yield the wire form of the name itself, then of each parent, the top-level domain last."""
        wire = self.wire
        while len(wire) > 1:
            yield wire
            wire = wire[1 + wire[0] :]

    def is_within(self, other: DomainName) -> bool:
        """Tell whether this name is `other` or lies under it."""
        return len(self.wire) >= len(other.wire) and any(suffix == other.wire for suffix in self.suffixes())

    def __str__(self) -> str:
        r"""Presentation text without the final dot; odd octets as ``\X`` or ``\DDD``. :func:`parse_domain` gives the same name."""
        labels = self.labels
        text = b".".join(labels)
        if _PLAIN_OCTETS(text) and text.count(b".") == len(labels) - 1:
            plain = text.decode("ascii")
            if not _ends_in_number(plain):
                return plain
        return _present(labels)

    def __repr__(self) -> str:
        """Says how long the name is, not which: a repr ends up in logs and tracebacks."""
        return f"<DomainName of {len(self.labels)} labels>"


def _ends_in_number(plain: str) -> bool:
    """WHATWG URL §3.5, "ends in a number checker": the last label is decimal digits or ``0x`` and hexadecimal ones."""
    last = plain[plain.rfind(".") + 1 :]
    return last[:1].isdigit() and _NUMBER(last) is not None


def _present(labels: tuple[bytes, ...]) -> str:
    """Escaped text. Where the last label would read as a number, its first digit is escaped too."""

    def octet(value: int) -> str:
        char = chr(value)
        if char.isascii() and (char.isalnum() or char in "-_"):
            return char
        return f"\\{char}" if 0x21 <= value <= 0x7E else f"\\{value:03d}"

    texts = ["".join(map(octet, label)) for label in labels]
    if _NUMBER(texts[-1]):
        texts[-1] = f"\\{labels[-1][0]:03d}{texts[-1][1:]}"
    return ".".join(texts)


def from_labels(labels: Iterable[bytes]) -> DomainName:
    """Make a name of these labels (any octets; ASCII letters are folded). InvalidName: root, empty_label, label, length."""
    wire = bytearray()
    for label in labels:
        if not label:
            raise InvalidName(Reason.EMPTY_LABEL)
        if len(label) > LABEL_MAX_OCTETS:
            raise InvalidName(Reason.LABEL)
        wire += _LENGTHS[len(label)]
        wire += label.lower()
    if not wire:
        raise InvalidName(Reason.ROOT)
    if len(wire) + 1 > WIRE_MAX_OCTETS:
        raise InvalidName(Reason.LENGTH)
    wire.append(0)
    return DomainName(bytes(wire))


def from_wire(wire: bytes) -> DomainName:
    """Read the name that is the whole of `wire`, folded. InvalidName: wire (pointer, cut short, octets behind it), length, root."""
    wire = bytes(wire)
    if len(wire) > WIRE_MAX_OCTETS:
        raise InvalidName(Reason.LENGTH)
    at, end = 0, len(wire)
    while at < end and wire[at]:
        if wire[at] > LABEL_MAX_OCTETS:
            raise InvalidName(Reason.WIRE)
        at += 1 + wire[at]
    if at != end - 1:
        raise InvalidName(Reason.WIRE)
    if at == 0:
        raise InvalidName(Reason.ROOT)
    return DomainName(wire.lower())  # a length octet is below 64, where nothing is folded


def parse_domain(text: str) -> DomainName:
    r"""Read the name that `text` stands for, as the module's documentation says. Any text gives a name or InvalidName.

    InvalidName: empty, root, length, label, empty_label, character, escape, idna, address.
    """
    if len(text) > DOMAIN_TEXT_MAX_CHARACTERS:
        raise InvalidName(Reason.LENGTH)
    if _PLAIN(text):
        return _plain(text)
    if not text:
        raise InvalidName(Reason.EMPTY)
    if "\\" in text:
        return from_labels(_unescape(text))
    if _is_ipv6(text):
        raise InvalidName(Reason.ADDRESS)
    if _ODD_ASCII(text) or _SURROGATE(text):
        raise InvalidName(Reason.CHARACTER)
    return _plain(text if text.isascii() else _international(text))


def _international(text: str) -> str:
    """Map text beyond ASCII by UTS 46; what comes out holds letters, digits, "-", "_" and "." only."""
    host = ada.host_to_ascii(text)
    if host is None:
        raise InvalidName(Reason.IDNA)
    if _ODD_ASCII(host):  # full-width forms are mapped to ASCII, and the host parser lets most of that through
        raise InvalidName(Reason.CHARACTER)
    return host


def _plain(text: str) -> DomainName:
    """Take text of letters, digits, "-", "_" and "."; what is wrong with it can only be a number, a length or an empty label."""
    text = text.removesuffix(".")
    if not text:
        raise InvalidName(Reason.ROOT)
    if _ends_in_number(text):
        raise InvalidName(Reason.ADDRESS)
    labels = text.lower().encode("ascii").split(b".")
    if len(text) + 2 <= WIRE_MAX_OCTETS and all(0 < len(label) <= LABEL_MAX_OCTETS for label in labels):
        return DomainName(b"".join([_LENGTHS[len(label)] + label for label in labels]) + b"\0")
    return from_labels(labels)


def _is_ipv6(text: str) -> bool:
    if ":" not in text:
        return False
    try:
        IPv6Address(text[1:-1] if text.startswith("[") and text.endswith("]") else text)
    except ValueError:
        return False
    return True


def _unescape(text: str) -> list[bytes]:
    r"""Split presentation text into labels: ``\DDD`` is an octet, ``\X`` the character X (RFC 1035 §5.1)."""
    if not text.isascii():
        raise InvalidName(Reason.CHARACTER)
    labels, at = [bytearray()], 0
    while at < len(text):
        found = _ESCAPED.match(text, at)
        if found is None:
            raise InvalidName(Reason.ESCAPE)
        run, dot, decimal, char = found.groups()
        if dot:
            labels.append(bytearray())
        elif run is not None:
            if _ODD_ASCII(run):
                raise InvalidName(Reason.CHARACTER)
            labels[-1] += run.encode("ascii")
        elif decimal is not None:
            if int(decimal) > 255:
                raise InvalidName(Reason.ESCAPE)
            labels[-1].append(int(decimal))
        else:
            labels[-1] += char.encode("ascii")
        at = found.end()
    if not labels[-1]:
        labels.pop()  # the final dot
    return [bytes(label) for label in labels]
