"""From a verified list to its compiled file: the step between feeds and the table.

The file is read in blocks of whole lines. Of the four line formats the native core takes the plain rows, by several threads and without the
GIL, and leaves the rest; `feeds.formats` reads that rest and the other formats whole. Every row that says something is counted once:

- entry: goes into the compiled file. The rails have dropped names that nobody may block (``protected``);
- ``expired``: its own date has passed. Not bad: the row just does not count any more;
- bad: by its reason, with its number. More than 1 % of them hold the update, which is control's decision on :attr:`Compiled.bad_share`.

A file that cannot be a list at all (empty, a web page, a csv without its header) is ``Refused("shape")``.

What is compiled depends on the file, the key, the rails and, where rows have dates, on `now`: at :attr:`Compiled.next_expiry` it has to be
compiled again. The file is written under a draft's name, fsynced and renamed, so that a crash leaves a draft or the whole.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blockd.errors import Refused
from blockd.feeds.formats import Bad, Entry, entries_of, parse_row, read_rows
from blockd.native._table import ListBuilder
from blockd.table.rules import Rule, dump_rules
from blockd.table.store import fsync_directory
from blockd.terms import Format, Instant, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from typing_extensions import Buffer

    from blockd.feeds.verified import Verified

BLOCK_BYTES = 1 << 20
"""Read at a time. Bounds what is left to Python at once: a block of empty rows leaves half a million."""

POSITIONS_MAX_ROWS = 1000
"""So many row numbers are kept for each reason."""

BAD_SHARE_MAX = 0.01
BAD_ROWS_MAX = 100_000
"""Beyond both, reading stops: nobody approves such a file, and each bad row costs Python's time."""

PROTECTED = "protected"
EXPIRED = "expired"

LINE_KINDS = {Format.DOMAINS: Kind.SUBTREE, Format.HOSTS: Kind.EXACT, Format.WILDCARD: Kind.SUBTREE, Format.ADBLOCK: Kind.SUBTREE}
"""The formats that the native core reads, and what their entries cover."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """What compiling a list came to. Counts of rows, except `entries` and `doubles` (names and URLs)."""

    path: Path
    entries: int
    doubles: int
    rows: int  # rows that say something: no comments, no blanks
    rejected: Mapping[str, int] = field(default_factory=dict)  # by reason, PROTECTED and EXPIRED included
    positions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # the first row numbers of each reason
    next_expiry: Instant | None = None  # when the next row runs out by its own date
    enforceable: Mapping[str, int] = field(default_factory=dict)  # dns, http_path, unenforceable -> names and URLs read

    @property
    def protected(self) -> int:
        """Names that the rails dropped."""
        return self.rejected.get(PROTECTED, 0)

    @property
    def bad(self) -> int:
        """Rows that are malformed."""
        return sum(self.rejected.values()) - self.protected - self.rejected.get(EXPIRED, 0)

    @property
    def bad_share(self) -> float:
        """Malformed rows among those that say something."""
        return self.bad / self.rows if self.rows else 0.0


def compiled_path(lists_dir: Path, verified: Verified) -> Path:
    """Name the compiled file of a list version: ``FEED/LIST/VERSION-SHA.blkl``."""
    return lists_dir / verified.name / f"{verified.version}-{verified.sha256}.blkl"


def compile_list(verified: Verified, source: Buffer, key: bytes, rails: bytes, out_dir: Path, now: Instant) -> Compiled:
    """Compile `source`, the plain octets of `verified`, to :func:`compiled_path` under `out_dir`; durable when it returns.

    `rails`: records of policy/rails.py under the same key. Refused: ``shape`` (no list), ``held`` (so many bad rows that reading stopped).
    OSError: the disk.
    """
    with memoryview(source) as data:
        _look(data)
        work = _Compiler(verified, key, rails, now)
        if verified.meta.format in LINE_KINDS:
            work.read_lines(data)
        else:
            work.read_all(data)
    if not work.rows:
        raise Refused("shape", "the list has no rows: to take a list out of force, switch it off or withdraw it")
    path = compiled_path(out_dir, verified)
    _make_directory(path.parent, out_dir)
    draft = path.with_suffix(".draft")
    entries, doubles = work.builder.write(draft, dump_rules(work.rules))
    # Crash: a draft that nothing reads; the next try writes over it.
    draft.rename(path)
    fsync_directory(path.parent)
    # Crash: a compiled list that no generation uses yet; it is found again or pruned.
    positions = {reason: tuple(rows) for reason, rows in work.positions.items()}
    enforceable = {"dns": entries} if verified.meta.format in LINE_KINDS else dict(work.enforceable)
    return Compiled(path, entries, doubles, work.rows, dict(work.rejected), positions, work.next_expiry, enforceable)


def _make_directory(path: Path, base: Path) -> None:
    """Make `path` and what is missing above it, up to `base`, durably."""
    if path.is_dir():
        return
    if path != base:
        _make_directory(path.parent, base)
    path.mkdir(mode=0o750, exist_ok=True)
    fsync_directory(path.parent)


def _look(data: memoryview) -> None:
    """Refuse what can be no list in any format."""
    head = bytes(data[:1024]).removeprefix(b"\xef\xbb\xbf").lstrip()
    if not len(data):
        raise Refused("shape", "the file is empty: to take a list out of force, switch it off or withdraw it")
    if head.startswith(b"<"):
        raise Refused("shape", "the file is a web page or XML, not a list: a portal or an error page may have been published")


def blocks_of(data: memoryview, size: int = BLOCK_BYTES) -> Iterator[memoryview]:
    """Cut into blocks of whole lines, about `size` octets each (a longer line makes a longer block)."""
    at = 0
    while at < len(data):
        end = min(at + size, len(data))
        while end < len(data):
            feed = bytes(data[end : end + size]).find(b"\n")
            if feed >= 0:
                end += feed + 1
                break
            end = min(end + size, len(data))
        yield data[at:end]
        at = end


class _Compiler:
    """The counts and the builder of one run."""

    def __init__(self, verified: Verified, key: bytes, rails: bytes, now: Instant) -> None:
        self.verified = verified
        self.now = now
        self.builder = ListBuilder(key, rails)
        self.rules: list[Rule] = []
        self.rejected: Counter[str] = Counter()
        self.positions: dict[str, list[int]] = {}
        self.enforceable: Counter[str] = Counter()
        self.next_expiry: Instant | None = None
        self._numbers: dict[Rule, int] = {}
        self._bad = 0
        self._judged = 0  # rows that say something, of those that Python read

    @property
    def rows(self) -> int:
        """Rows that say something."""
        return self.builder.rows + self._judged

    def read_lines(self, data: memoryview) -> None:
        """Read a line format: plain rows natively, what is left here."""
        format_ = self.verified.meta.format
        kind = LINE_KINDS[format_]
        rule = self._number(kind, Entry(kind))
        for block in blocks_of(data):
            left = self.builder.add_text(block, format_.value, self.builder.next_row, rule)
            for row, start, end, why in left:
                if why == "python":
                    self._judge(row, parse_row(format_, bytes(block[start:end]).decode("utf-8", "surrogateescape")))
                elif why == PROTECTED:
                    self._reject(row, PROTECTED)
                else:
                    self._judge(row, Bad(why))
            self._enough()

    def read_all(self, data: memoryview) -> None:
        """Read a format that feeds.formats streams."""
        # Cut without regard to lines, which read_rows joins: one line as long as the file would come as one block, and be copied whole.
        blocks = (bytes(data[at : at + BLOCK_BYTES]) for at in range(0, len(data), BLOCK_BYTES))
        for row, result in read_rows(self.verified.meta.format, blocks):
            self._judge(row, result)
            if isinstance(result, Bad):
                self._enough()

    def _enough(self) -> None:
        """Stop where going on can't help."""
        if self._bad > BAD_ROWS_MAX and self._bad > BAD_SHARE_MAX * self.rows:
            raise Refused("held", f"{self._bad} of the first {self.rows} rows are malformed: is the list in the format that it declares?")

    def _judge(self, row: int, result: Entry | tuple[Entry, ...] | Bad | None) -> None:
        if result is None:
            return
        self._judged += 1
        if isinstance(result, Bad):
            self._bad += 1
            self._reject(row, str(result.reason))
            return
        for entry in entries_of(result):
            if entry.expires is not None and entry.expires <= self.now:
                self._reject(row, EXPIRED)
                return  # the entries of a row share its date
            self._add(row, entry)

    def _add(self, row: int, entry: Entry) -> None:
        if entry.expires is not None and (self.next_expiry is None or entry.expires < self.next_expiry):
            self.next_expiry = entry.expires
        rule = self._number(entry.kind, entry)
        if entry.url is not None:
            host = entry.url.domain.wire if entry.url.domain else None
            self.builder.add_url(entry.url.key(), host, rule, row)
            self.enforceable["http_path" if entry.url.scheme == "http" else "unenforceable"] += 1
        elif entry.name is not None:
            if self.builder.add_name(entry.name.wire, int(entry.kind), rule, row):
                self.enforceable["dns"] += 1
            else:
                self._reject(row, PROTECTED)

    def _reject(self, row: int, reason: str) -> None:
        self.rejected[reason] += 1
        rows = self.positions.setdefault(reason, [])
        if len(rows) < POSITIONS_MAX_ROWS:
            rows.append(row)

    def _number(self, kind: Kind, entry: Entry) -> int:
        """Number the rule of an entry. A URL's is followed by that of the mark on its host (native/_table.pyi)."""
        category = entry.category or self.verified.meta.category
        rule = Rule(self.verified.name, kind, category, entry.action)
        if rule not in self._numbers:
            self._numbers[rule] = len(self.rules)
            self.rules.append(rule)
            if kind is Kind.URL:
                self.rules.append(Rule(rule.list, Kind.URL_HOST, category, rule.action))
        return self._numbers[rule]
