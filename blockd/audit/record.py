"""One entry of the record, as a value and as its canonical bytes.

An entry is canonical JSON: keys sorted, no spaces, no floats, UTF-8, one line. It says what happened to a list, with codes, digests, numbers and
pseudonyms. It never holds an entry of a list, anything of a client, a person's name, or free text: what an operator types stays on
the node (:mod:`blockd.audit.store`), and the entry carries a salted commitment to it.

===========  ===================================================================================================================
event        when
===========  ===================================================================================================================
start        the node begins to record, or a new version of blockd does
applied      a list version is about to be enforced (or shadowed); written before it is
generation   all of that generation's lists are recorded: from here it may be made current. `table` is its digest
activated    every worker answers from that generation
abandoned    a generation that was recorded cannot be made current: its files are damaged
withdrawn    a list is about to leave: `code` says why (expired, configuration)
unchanged    a list's feed is in order again after refusals
held         an update waits for a person: `code` says why
refused      an update was refused: `code` is the label of ``blockd_list_updates_total``
approved     a person let a held version go live
rolled_back  a person brought back the version before
killed       a list is no longer enforced until `until`
resumed      a killed or held list is enforced, or updated, again
hold         a person keeps the enforced version
expired      the signatures of the enforced version have expired; `code` is what is done (keep, withdraw)
policy       modes or lists of the configuration changed; `code` is the digest of what is in force
===========  ===================================================================================================================
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from blockd.errors import Corrupt

if TYPE_CHECKING:
    from blockd.terms import Instant, ListName

VERSION = 1
ENTRY_MAX_BYTES = 65_535  # C2SP tlog-tiles: an entry's length is a uint16
SALT_BYTES = 16


class Event(StrEnum):
    """What happened."""

    START = "start"
    APPLIED = "applied"
    GENERATION = "generation"
    ACTIVATED = "activated"
    ABANDONED = "abandoned"
    WITHDRAWN = "withdrawn"
    UNCHANGED = "unchanged"
    HELD = "held"
    REFUSED = "refused"
    APPROVED = "approved"
    ROLLED_BACK = "rolled_back"
    KILLED = "killed"
    RESUMED = "resumed"
    HOLD = "hold"
    EXPIRED = "expired"
    POLICY = "policy"


@dataclass(frozen=True, slots=True)
class Entry:
    """What is recorded. Fields that say nothing (None) are left out of the bytes."""

    event: Event
    time: int  # seconds since the epoch, whole
    list: ListName | None = None
    version: int | None = None  # of the list
    generation: int | None = None  # that carries it
    sha256: str | None = None  # of the list as published, hex
    table: str | None = None  # SHA-256 of the table file, hex
    entries: int | None = None
    added: int | None = None
    removed: int | None = None
    rejected: int | None = None  # rows
    protected: int | None = None  # rows that the rails dropped
    mode: str | None = None
    code: str | None = None  # a word of a closed set
    until: int | None = None  # seconds since the epoch
    actor: str | None = None  # a pseudonym
    reason: str | None = None  # the commitment to what the actor gave as reason, hex
    software: str | None = None


def encode(entry: Entry) -> bytes:
    """Canonical bytes, without a line feed."""
    value: dict[str, Any] = {"v": VERSION}
    for field in fields(entry):
        item = getattr(entry, field.name)
        if item is not None:
            value[field.name] = item.value if isinstance(item, Event) else item
    value["time"] = _text(entry.time)
    if entry.until is not None:
        value["until"] = _text(entry.until)
    data = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    if len(data) > ENTRY_MAX_BYTES or b"\n" in data:
        raise AssertionError("an entry holds codes and numbers: it is one short line")
    return data


def decode(data: bytes) -> Entry:
    """The inverse of :func:`encode`. Raises Corrupt."""
    try:
        value = json.loads(data)
        if value.pop("v") != VERSION:
            raise Corrupt("the entry is of another version")
        value["event"] = Event(value["event"])
        value["time"] = _seconds(value["time"])
        if "until" in value:
            value["until"] = _seconds(value["until"])
        return Entry(**value)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Corrupt(f"the entry cannot be read ({type(error).__name__})") from None


def at(now: Instant) -> int:
    """The whole second of an instant."""
    return int(now)


def commitment(salt: bytes, text: str) -> str:
    """SHA-256 of the salt and the text, hex: binds the node to the reason without telling it."""
    return hashlib.sha256(salt + text.encode()).hexdigest()


def pseudonym(key: bytes, who: str) -> str:
    """A stable name for a member of staff that the public record may hold. `key`: 16 octets that stay on the node."""
    return "op-" + hashlib.blake2b(who.encode(), key=key, digest_size=6).hexdigest()


def _text(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _seconds(text: str) -> int:
    return int(dt.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=dt.UTC).timestamp())
