"""What a table must say, from dictionaries: the oracle for the C core. Names are tuples of labels from the right."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blockd.native._table import CompiledList, ListBuilder
from blockd.table.rules import Rule, dump_rules
from blockd.terms import Category, Kind, ListName

if TYPE_CHECKING:
    from pathlib import Path

KEY = bytes(range(100, 116))

UNDER = {Kind.SUBTREE, Kind.ALLOW_SUBTREE}
NAMED = UNDER | {Kind.EXACT, Kind.ALLOW_EXACT}

Labels = tuple[bytes, ...]


def wire(name: str | Labels) -> bytes:
    """``"www.example.com"``, or labels from the left."""
    labels = [label.encode() for label in name.split(".")] if isinstance(name, str) else name
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def labels_of(name: bytes) -> Labels:
    found, at = [], 0
    while name[at]:
        found.append(name[at + 1 : at + 1 + name[at]].lower())
        at += 1 + name[at]
    return tuple(found)


@dataclass
class Oracle:
    """Entries of several lists. `names`: labels from the left -> rules; `urls`: key -> rules; `marks`: hosts of URL entries."""

    names: dict[Labels, set[Rule]] = field(default_factory=lambda: defaultdict(set))
    urls: dict[bytes, set[Rule]] = field(default_factory=lambda: defaultdict(set))
    marks: dict[Labels, set[Rule]] = field(default_factory=lambda: defaultdict(set))

    def add_name(self, name: bytes, rule: Rule) -> None:
        self.names[labels_of(name)].add(rule)

    def add_url(self, key: bytes, host: bytes | None, rule: Rule) -> None:
        self.urls[key].add(rule)
        if host is not None and host != b"\0":
            self.marks[labels_of(host)].add(mark(rule))

    @property
    def entries(self) -> int:
        """Fingerprints in the table."""
        return len(self.names.keys() | self.marks.keys()) + len(self.urls)

    def lookup(self, name: bytes) -> list[tuple[frozenset[Rule], int, bool]]:
        """(all rules at that suffix, depth, is the whole name), shallowest first, of suffixes that say something about the name."""
        labels = labels_of(name)
        found = []
        for depth in range(1, len(labels) + 1):
            suffix = labels[-depth:]
            rules = self.names.get(suffix, set()) | self.marks.get(suffix, set())
            whole = depth == len(labels)
            if rules and (whole or any(rule.kind in UNDER for rule in rules)):
                found.append((frozenset(rules), depth, whole))
        return found[-16:]

    def matches(self, name: bytes) -> list[tuple[Rule, int, bool]]:
        """The rules that speak about the name."""
        return [
            (rule, depth, whole) for rules, depth, whole in self.lookup(name) for rule in rules if rule.kind in (NAMED if whole else UNDER)
        ]

    def url(self, key: bytes) -> frozenset[Rule]:
        return frozenset(self.urls.get(key, ()))


def mark(rule: Rule) -> Rule:
    return Rule(rule.list, Kind.URL_HOST, rule.category, rule.action)


@dataclass(frozen=True)
class Source:
    """One list as a test writes it: (wire or URL key, kind, host of a URL)."""

    name: ListName
    entries: tuple[tuple[bytes, Kind, bytes | None], ...]
    category: Category = Category.OTHER

    def rule(self, kind: Kind) -> Rule:
        return Rule(self.name, kind, self.category)

    def tell(self, oracle: Oracle) -> None:
        for key, kind, host in self.entries:
            if kind is Kind.URL:
                oracle.add_url(key, host, self.rule(kind))
            else:
                oracle.add_name(key, self.rule(kind))

    def compile(self, path: Path, key: bytes = KEY, rails: bytes = b"") -> CompiledList:
        kinds = [Kind.SUBTREE, Kind.EXACT, Kind.ALLOW_SUBTREE, Kind.ALLOW_EXACT, Kind.URL, Kind.URL_HOST]
        builder = ListBuilder(key, rails)
        for row, (text, kind, host) in enumerate(self.entries, 1):
            if kind is Kind.URL:
                builder.add_url(text, host, kinds.index(kind), row)
            else:
                builder.add_name(text, kind, kinds.index(kind), row)
        builder.write(path, dump_rules([self.rule(kind) for kind in kinds]))
        return CompiledList(path, key)
