"""The native core's table half: fingerprints, compiled lists, the table file. Wire names are folded, uncompressed."""

import builtins
from collections.abc import Sequence
from os import PathLike
from typing import Final

from typing_extensions import Buffer

LINE_MAX_BYTES: Final[int]
"""Octets of one row of a line format; a longer one is bad."""

def fingerprint(key: bytes, wire: Buffer) -> bytes:
    """16 octets (hi, lo, little-endian each): name.h. ValueError when `wire` is not one whole name."""

def suffix_fingerprints(key: bytes, wire: Buffer) -> list[bytes]:
    """Shallowest suffix first."""

def url_fingerprint(key: bytes, url_key: Buffer) -> bytes: ...

class ListBuilder:
    """Collects one list's entries and writes its compiled file (24-octet records sorted by fingerprint).

    Compiled list: see compiled_list.h. A record is (fingerprint, row, rule); rule is an index that the caller gives meaning to
    (kind, action, category), the caller's canonical JSON of which is stored in the file. Entries with the same fingerprint
    and rule are one (the lowest row stays).
    """

    def __init__(self, key: bytes, rails: Buffer, threads: int = 0) -> None:
        """`rails`: 24-octet records {fingerprint, uint64 flags}: 1 protected itself, 2 every name one label under it
        is a public suffix, 4 an exception to 2. Compared with the names of blocking entries; single labels and the root are always
        protected. `threads`: 0 for one a processor (at most 8). ValueError: records that are not well-formed.
        """

    def add_text(self, data: Buffer, format: str, first_row: int, rule: int) -> list[tuple[int, int, int, str]]:
        """Parse a block of whole lines of `domains`, `hosts`, `wildcard`, `adblock`; plain ASCII rows are taken here (rows.h).

        Returns what is left to the caller: (row, start, end, why), offsets into `data`, rows counted from `first_row` (1 for the first of
        a file, where a byte order mark is passed over). why is "python" (not plain: IDNA, escapes, a bad row: feeds.formats judges
        the whole line), "protected" (the name that a rail protects) or "too_long" (a line over LINE_MAX_BYTES). A line is taken whole or
        left whole; of a `hosts` line only the protected names are dropped. Releases the GIL; one thread at a time.
        """

    @property
    def rows(self) -> int:
        """Rows that add_text took whole, those of protected names included; not comments, blanks and what it left."""
    @property
    def next_row(self) -> int:
        """The number of the row behind the last block of add_text; 1 before the first."""
    def add_name(self, wire: Buffer, kind: int, rule: int, row: int) -> bool:
        """False: a rail protects the name and it was not added. The root is never added."""

    def add_url(self, url_key: Buffer, host_wire: Buffer | None, rule: int, row: int) -> None:
        """A URL entry, and the mark on its host (None for an IP host).

        The mark is of rule `rule` + 1, which the caller gives Kind.URL_HOST.
        """

    def write(self, path: str | PathLike[str], rules: Buffer) -> tuple[int, int]:
        """Sort, drop doubles, write, fsync. Returns (entries, names or URLs that were doubles). The builder is then used up.

        `rules`: a JSON array, an item for each rule number. Marks count neither as entries nor as doubles. Releases the GIL.
        """

class CompiledList:
    """A compiled list, mapped. Raises ValueError with a phrase when the file fails its checks (digest included)."""

    def __init__(self, path: str | PathLike[str], key: bytes) -> None: ...
    @property
    def entries(self) -> int:
        """Without the marks on hosts of URL entries."""
    @property
    def rules(self) -> bytes: ...
    def find(self, fingerprint: bytes) -> list[tuple[int, int]]:
        """(row, rule) of each record with that fingerprint."""
    def diff(self, old: CompiledList | None) -> tuple[int, int]:
        """(added, removed) entries against an older version: (fingerprint, what the rule says) pairs that differ."""
    def close(self) -> None:
        """Unmap. BufferError while a buffer or another thread has it; every later use is a ValueError."""

def build_table(
    path: str | PathLike[str], key: bytes, lists: Sequence[tuple[CompiledList, Sequence[int]]], rules: Buffer, kinds: Sequence[int]
) -> int:
    """Merge compiled lists into one table file: written, fsynced, deterministic. Returns the entries.

    `lists`: each with the global rule index of each of its local rules (-1: leave those entries out). `kinds`: the terms.Kind of
    each global rule. `rules`: canonical JSON stored in the file. Releases the GIL.
    """

def check_table(table: Table, lists: Sequence[tuple[CompiledList, Sequence[int]]], kinds: Sequence[int]) -> None:
    """Read every entry of the lists back through the table: it must say what they say, and nothing else. ValueError with a phrase
    when it does not. Releases the GIL.
    """

class Table:
    """A mapped table. `verify` also checks the body's digest, every bucket and every set. ValueError with a phrase when it fails.

    Exposes its mapping through the buffer protocol (read-only), which is how the DNS core takes it.
    """

    def __init__(self, path: str | PathLike[str], key: builtins.bytes, verify: bool = False) -> None: ...
    @property
    def entries(self) -> int: ...
    @property
    def sets(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def rules(self) -> builtins.bytes: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def lookup(self, wire: Buffer) -> list[tuple[int, int, bool]]:
        """(set, depth in labels, is the whole name) of every entry that speaks about the name, shallowest first."""
    def lookup_url(self, url_key: Buffer) -> int | None:
        """The set of that URL entry."""
    def set_rules(self, set: int) -> tuple[int, ...]:
        """Global rule indexes of a set."""
    def url_host(self, wire: Buffer) -> bool:
        """True when a URL entry names this host."""
    def close(self) -> None:
        """Unmap. BufferError while a buffer or another thread has it; every later use is a ValueError."""
