"""The vocabulary that every part shares: closed sets of words and the types that are only a number or a text.

Values here come from the contract: what the signed metadata, the configuration, the metrics and the audit
record call things. Nothing in this file computes.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import NewType

Instant = NewType("Instant", float)
"""Seconds since the epoch, UTC. Always an argument, never read from a clock by a file that decides."""

ListName = NewType("ListName", str)
"""``FEED/LIST``, as in the configuration: lower-case letters, digits, ``-``, ``_`` and ``.`` on both sides."""


class Format(StrEnum):
    """How a list's bytes are read; declared per list in its signed metadata, never guessed."""

    DOMAINS = "domains"
    HOSTS = "hosts"
    WILDCARD = "wildcard"
    ADBLOCK = "adblock"
    RPZ = "rpz"
    URLS = "urls"
    CSV = "csv"


class Basis(StrEnum):
    """On whose authority a list blocks; decides the Extended DNS Error (RFC 8914 §4.16-4.18) and 451 or 403."""

    MANDATED = "mandated"
    OPERATOR = "operator"
    SUBSCRIBER = "subscriber"


EDE_BY_BASIS = {Basis.MANDATED: 16, Basis.OPERATOR: 15, Basis.SUBSCRIBER: 17}
"""RFC 8914: 16 Censored, 15 Blocked, 17 Filtered."""

BASIS_STRENGTH = {Basis.MANDATED: 3, Basis.OPERATOR: 2, Basis.SUBSCRIBER: 1}
"""When several lists match, the strongest basis gives the code: 16 over 15 over 17."""


class Action(StrEnum):
    """What a blocked name is answered with."""

    STOP_PAGE = "stop_page"
    NXDOMAIN = "nxdomain"
    NODATA = "nodata"
    REFUSED = "refused"
    DROP = "drop"


class Mode(StrEnum):
    """What the operator lets a list do."""

    SHADOW = "shadow"
    ENFORCE = "enforce"
    OFF = "off"


class Notify(StrEnum):
    """What a blocked client is told."""

    FULL = "full"
    CODE = "code"
    NONE = "none"


class Kind(IntEnum):
    """What one entry of a list covers. The numbers are stored in compiled lists: never renumber."""

    SUBTREE = 1  # the name and everything under it
    EXACT = 2  # the name alone
    URL = 3  # one canonical URL key
    ALLOW_SUBTREE = 4  # an exception within the same list
    ALLOW_EXACT = 5
    URL_HOST = 6  # the mark on a name that has URL entries; made by the compiler, never written by a publisher


class Category(StrEnum):
    """One vocabulary for all lists, mapped to the Luxembourg/INHOPE terms in the manual. Closed: it is a label."""

    CSAM = "csam"
    TERRORISM = "terrorism"
    GAMBLING = "gambling"
    MALWARE = "malware"
    PHISHING = "phishing"
    FRAUD = "fraud"
    STALKERWARE = "stalkerware"
    COPYRIGHT = "copyright"
    SANCTIONS = "sanctions"
    ADULT = "adult"
    ADVERTISING = "advertising"
    OTHER = "other"


class Result(StrEnum):
    """How one update run of one list ended; the label `result` of ``blockd_list_updates_total``."""

    APPLIED = "applied"
    NOT_MODIFIED = "not_modified"
    FETCH = "fetch"
    SIGNATURE = "signature"
    ROLLBACK = "rollback"
    EXPIRED = "expired"
    SHAPE = "shape"
    CHANGE_CAP = "change_cap"
    PROTECTED = "protected"
    HELD = "held"


class Transport(IntEnum):
    """The door a query came through; the numbers index counter cells and are known to the C core."""

    UDP = 0
    TCP = 1
    DOT = 2
    DOH = 3
    DOQ = 4


class Source(IntEnum):
    """Where an answer came from; the numbers index counter cells and are known to the C core."""

    POLICY = 0
    CACHE = 1
    UPSTREAM = 2
    ERROR = 3


class Stage(StrEnum):
    """Where a policy hit happened."""

    DNS = "dns"
    HTTP = "http"
    TLS = "tls"
    QUIC = "quic"
