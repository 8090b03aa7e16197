"""Names that are answered here and never forwarded, whatever the upstream would say.

=================  ==========================================================  ===================
name               answer                                                      source
=================  ==========================================================  ===================
localhost          loopback addresses; other types NODATA                      RFC 6761 §6.3
invalid            NXDOMAIN                                                    RFC 6761 §6.4
onion              NXDOMAIN: such names must not leak into the DNS             RFC 7686 §2
alt                NXDOMAIN: the same for names of other systems               RFC 9476 §2
resolver.arpa      NODATA for the name and its children: no encrypted door is  RFC 9462 §4, §6.1
                   advertised yet, and the upstream's would bypass the filter
=================  ==========================================================  ===================

Reverse zones of private addresses (RFC 6303) and home.arpa are forwarded: an operator's resolver often serves them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

A, AAAA, ANY, DS = 1, 28, 255, 43


class Answer(Enum):
    """What kind of answer."""

    ADDRESS = "address"
    NODATA = "nodata"
    NXDOMAIN = "nxdomain"


@dataclass(frozen=True, slots=True)
class Special:
    """A local answer. `zone`: the owner of its SOA, wire form; `addresses`: text, of the type that was asked."""

    answer: Answer
    zone: bytes
    addresses: tuple[str, ...] = ()


_ZONES = {
    b"\x09localhost\0": Answer.ADDRESS,
    b"\x07invalid\0": Answer.NXDOMAIN,
    b"\x05onion\0": Answer.NXDOMAIN,
    b"\x03alt\0": Answer.NXDOMAIN,
    b"\x08resolver\x04arpa\0": Answer.NODATA,
}
ZONES = tuple(_ZONES)
"""Wire names: a query for one of these or for a name below it is never forwarded."""

_LONGEST = max(map(len, _ZONES))
_LOOPBACK = {A: ("127.0.0.1",), AAAA: ("::1",), ANY: ("127.0.0.1",)}


def special(wire: bytes, qtype: int) -> Special | None:
    """Find the local answer for a folded, uncompressed name; None for a name that is forwarded."""
    at = 0
    while wire[at]:
        rest = len(wire) - at
        if rest <= _LONGEST:
            answer = _ZONES.get(wire[at:])
            if answer is Answer.ADDRESS:
                addresses = _LOOPBACK.get(qtype, ())
                return Special(Answer.ADDRESS if addresses else Answer.NODATA, wire[at:], addresses)
            if answer is not None:
                return Special(answer, wire[at:])
        at += 1 + wire[at]
    return None
