"""What each list of a generation was compiled from: control's own file beside the table, ``generations/N/sources.json``.

Workers read `manifest.json` (blockd/table/manifest.py); this file holds what only control needs: the signed metadata, the digest of the
file as published, its expiry, what was rejected and where, and the compiled file. A list can be in a generation's sources and not in its
table: `out` says why (killed, expired), and that it can come back without being fetched again.

The form is canonical JSON with whole numbers. It names rows by number, never by text.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from blockd.control.live import LiveList
from blockd.errors import Corrupt
from blockd.feeds.verified import ListMeta
from blockd.terms import Action, Basis, Category, Format, Instant, ListName

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from blockd.feeds.verified import Verified

VERSION = 1
POSITIONS_MAX = 1000
"""Rejected rows that are remembered by number, for each reason; their count has no limit."""

NOT_BAD = frozenset({"protected", "expired"})
"""Reasons for which a row is left out though there is nothing wrong with its form."""

Out = Literal["killed", "expired"]


@dataclass(frozen=True, slots=True)
class Source:
    """One compiled version of a list."""

    name: ListName
    version: int
    sha256: str  # of the file as published, hex
    meta: ListMeta
    expires: Instant  # of the signatures, as known when it was compiled
    compiled: str  # path of the compiled list, relative to state_dir
    entries: int
    rows: int  # rows that said something: entries, doubles and rejected ones
    rejected: Mapping[str, int] = field(default_factory=dict)  # reason -> rows
    positions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # reason -> numbers of the first rejected rows
    next_expiry: Instant | None = None  # when the first row runs out by its own date
    enforceable: Mapping[str, int] = field(default_factory=dict)  # dns | http_path | ... -> entries

    @property
    def bad(self) -> int:
        """Rows that are malformed."""
        return sum(count for reason, count in self.rejected.items() if reason not in NOT_BAD)

    @property
    def protected(self) -> int:
        """Rows that the rails dropped."""
        return self.rejected.get("protected", 0)

    def same_file(self, verified: Verified) -> bool:
        """Whether it was compiled from this version, signed alike."""
        return (self.version, self.sha256, self.meta) == (verified.version, verified.sha256, verified.meta)

    def live(self) -> LiveList:
        """What workers need of it."""
        meta = self.meta
        return LiveList(self.name, self.version, meta.basis, meta.category, meta.action, meta.secret, meta.canary, self.entries)


@dataclass(frozen=True, slots=True)
class Placement:
    """A source's place in a generation: in its table, or out of it for a reason."""

    source: Source
    out: Out | None = None


def dump_source(source: Source) -> dict[str, Any]:
    """As JSON values."""
    meta = source.meta
    return {
        "name": source.name,
        "version": source.version,
        "sha256": source.sha256,
        "meta": {
            "format": meta.format.value,
            "basis": meta.basis.value,
            "category": meta.category.value,
            "action": meta.action.value,
            "secret": meta.secret,
            "canary": meta.canary,
            "authority": meta.authority,
            "reference": meta.reference,
            "deadline": meta.deadline,
            "until": meta.until,
        },
        "expires": int(source.expires),
        "compiled": source.compiled,
        "entries": source.entries,
        "rows": source.rows,
        "rejected": dict(source.rejected),
        "positions": {reason: list(rows[:POSITIONS_MAX]) for reason, rows in source.positions.items()},
        "next_expiry": None if source.next_expiry is None else int(source.next_expiry),
        "enforceable": dict(source.enforceable),
    }


def load_source(value: Any) -> Source:
    """The inverse. KeyError, ValueError, TypeError when it is none."""
    meta = dict(value["meta"])
    return Source(
        name=ListName(value["name"]),
        version=int(value["version"]),
        sha256=str(value["sha256"]),
        meta=ListMeta(
            format=Format(meta.pop("format")),
            basis=Basis(meta.pop("basis")),
            category=Category(meta.pop("category")),
            action=Action(meta.pop("action")),
            secret=bool(meta.pop("secret")),
            **meta,
        ),
        expires=Instant(float(value["expires"])),
        compiled=str(value["compiled"]),
        entries=int(value["entries"]),
        rows=int(value["rows"]),
        rejected={str(reason): int(count) for reason, count in value["rejected"].items()},
        positions={str(reason): tuple(map(int, rows)) for reason, rows in value["positions"].items()},
        next_expiry=None if value["next_expiry"] is None else Instant(float(value["next_expiry"])),
        enforceable={str(where): int(count) for where, count in value["enforceable"].items()},
    )


def dump_placements(number: int, placements: Iterable[Placement]) -> bytes:
    """``sources.json`` of generation `number`."""
    rows = [{"source": dump_source(placed.source), "out": placed.out} for placed in placements]
    return _canonical({"version": VERSION, "generation": number, "lists": rows})


def load_placements(data: bytes) -> tuple[int, dict[ListName, Placement]]:
    """(generation, placement of each list in order). Corrupt: this is no such file."""
    try:
        value = json.loads(data)
        if value["version"] != VERSION:
            raise Corrupt("the generation's sources are of another version")
        placed = [Placement(load_source(row["source"]), row["out"]) for row in value["lists"]]
        return int(value["generation"]), {item.source.name: item for item in placed}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Corrupt(f"the generation's sources are damaged ({type(error).__name__})") from None


def dump_held(source: Source) -> bytes:
    """The file of a version that waits for a person."""
    return _canonical({"version": VERSION, "source": dump_source(source)})


def load_held(data: bytes) -> Source:
    """The inverse. Corrupt."""
    try:
        value = json.loads(data)
        if value["version"] != VERSION:
            raise Corrupt("a held version is of another release")
        return load_source(value["source"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Corrupt(f"a held version's file is damaged ({type(error).__name__})") from None


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
