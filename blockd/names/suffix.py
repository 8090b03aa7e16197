"""Public suffixes: under which names do unrelated people register theirs? By the Public Suffix List's own algorithm.

A rail must not let an entry block ``co.uk`` or ``github.io``: everyone under it would be blocked with it. The shipped snapshot is
``lists/public-suffixes.dat``, unchanged from publicsuffix.org (its header carries version and licence); both of its sections count,
the ICANN one (registries) and the private one (hosting companies), unless the caller says otherwise.

The algorithm (publicsuffix.org/list, "Algorithm"): a rule matches a name when its labels are the name's last labels, ``*`` standing for
any one label; an exception rule (``!``) wins over all, else the rule with the most labels; no rule is the rule ``*``. The public suffix
is the labels matched, one fewer for an exception. The registrable domain is the public suffix and one label more. One point is left
open there (publicsuffix/list issues 694 and 1989): is ``kobe.jp`` a public suffix because ``*.kobe.jp`` is a rule? Browsers say yes, and so
does blockd: an entry that blocks ``kobe.jp`` would block everyone under it.

    >>> str(public_suffix("www.example.co.uk"))
    'co.uk'
    >>> str(registrable("www.example.co.uk"))
    'example.co.uk'
    >>> registrable("co.uk") is None
    True
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntFlag
from functools import cache
from typing import TYPE_CHECKING

from blockd.errors import Corrupt, Refused
from blockd.names import store
from blockd.names.domain import DomainName, parse_domain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FILE = "public-suffixes.dat"


class RuleKind(IntFlag):
    """What a rule says about its name. The numbers are those of the native builder's rails (blockd/native/_table.pyi)."""

    EXACT = 1  # the name is a public suffix
    WILDCARD = 2  # every name one label under it is one
    EXCEPTION = 4  # it is none, whatever the wildcard over it says


@dataclass(frozen=True, slots=True)
class SuffixRule:
    """One rule: ``co.uk`` (exact), ``*.ck`` (`name` is ``ck``: one exact, one wildcard), ``!www.ck`` (exception, `name` is ``www.ck``)."""

    name: DomainName
    kind: RuleKind
    private: bool


@dataclass(frozen=True, slots=True)
class SuffixList:
    """A parsed list. `icann` and `private`: wire form of a rule's name -> what the rules of that section say about it."""

    version: str  # the header's VERSION, "" when it has none
    icann: Mapping[bytes, RuleKind]
    private: Mapping[bytes, RuleKind]

    def __iter__(self) -> Iterator[SuffixRule]:
        """Every rule, once for each thing that is said about its name."""
        for section, private in ((self.icann, False), (self.private, True)):
            for wire, kinds in section.items():
                for kind in kinds:
                    yield SuffixRule(DomainName(wire), kind, private)

    def public_suffix(self, domain: DomainName, *, private: bool = True) -> DomainName:
        """Return the public suffix of `domain`, at the least its top-level domain."""
        names = list(domain.suffixes())  # the longest first
        kinds = [self._kinds(wire, private=private) for wire in names]
        for i, kind in enumerate(kinds):
            if kind & RuleKind.EXCEPTION and i + 1 < len(names):
                return DomainName(names[i + 1])
        for i, kind in enumerate(kinds):
            if kind & RuleKind.EXACT or (i + 1 < len(kinds) and kinds[i + 1] & RuleKind.WILDCARD):
                return DomainName(names[i])
        return DomainName(names[-1])

    def registrable(self, domain: DomainName, *, private: bool = True) -> DomainName | None:
        """Return the public suffix and one label more; None when `domain` is a public suffix itself."""
        suffix = self.public_suffix(domain, private=private).wire
        previous = None
        for wire in domain.suffixes():
            if wire == suffix:
                break
            previous = wire
        return DomainName(previous) if previous else None

    def _kinds(self, wire: bytes, *, private: bool) -> RuleKind:
        kinds = self.icann.get(wire, RuleKind(0))
        return kinds | self.private.get(wire, RuleKind(0)) if private else kinds


_VERSION = re.compile(r"^// VERSION: (\S+)", re.MULTILINE).search


def parse(data: bytes) -> SuffixList:
    """Read a list in publicsuffix.org's format. Corrupt: the line number of a rule that is none, or a section that is missing.

    A rule ends at the first white space; ``//`` starts a comment line (publicsuffix.org/list, "Format"). A ``*`` is read in front only,
    where every published rule has it.
    """
    text = data.decode("utf-8", "replace")
    icann: dict[bytes, RuleKind] = {}
    private: dict[bytes, RuleKind] = {}
    section = icann
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("// ===BEGIN PRIVATE DOMAINS==="):
            section = private
        if not line or line.startswith("//") or line.isspace():
            continue
        rule = line.split(None, 1)[0]
        kind = RuleKind.EXCEPTION if rule.startswith("!") else RuleKind.EXACT
        if rule.startswith("*."):
            kind |= RuleKind.WILDCARD
        try:
            wire = parse_domain(rule[1:] if kind is RuleKind.EXCEPTION else rule.removeprefix("*.")).wire
        except Refused as refused:
            raise Corrupt(f"line {number} of the public suffix list is no rule ({refused.reason})") from None
        section[wire] = section.get(wire, RuleKind(0)) | kind
    if not icann or not private:
        raise Corrupt("the public suffix list lacks a section")
    version = _VERSION(text[:4096])
    return SuffixList(version[1] if version else "", icann, private)


@cache
def shipped() -> SuffixList:
    """Read the snapshot that blockd ships, once."""
    return parse(store.read(FILE))


def _name(domain: DomainName | str) -> DomainName:
    return parse_domain(domain) if isinstance(domain, str) else domain


def public_suffix(domain: DomainName | str, *, private: bool = True) -> DomainName:
    """Return the public suffix of `domain` by the shipped list, at the least its top-level domain. Text raises InvalidName."""
    return shipped().public_suffix(_name(domain), private=private)


def registrable(domain: DomainName | str, *, private: bool = True) -> DomainName | None:
    """Return the public suffix and one label more by the shipped list; None when `domain` is a public suffix. Text raises InvalidName."""
    return shipped().registrable(_name(domain), private=private)
