"""From compiled lists to one table file, and the check that it says what they say.

Each compiled list numbers its own rules; the table has one numbering for all, the sorted union, so that its bytes follow from
the lists alone and not from their order or that of their rows. The native core does both passes (blockd/native/build.h, table_check.h).

    table file = build(path, key, lists)        # written, fsynced
    table      = check(path, key, lists)        # read back: digest, every bucket, every set, then every entry of every list
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from blockd.errors import Corrupt, Refused
from blockd.native._table import Table, build_table, check_table
from blockd.table.rules import dump_rules, load_rules

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from blockd.native._table import CompiledList
    from blockd.table.rules import Rule


SETS_MAX = 20_000
"""Combinations of rules in one table. Real lists make tens; workers decide about each beforehand, some 150 us apiece."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One numbering of rules for several lists. `numbers[i][j]`: what rule j of list i is in `rules`; -1: left out."""

    rules: tuple[Rule, ...]
    numbers: tuple[tuple[int, ...], ...]

    @property
    def kinds(self) -> list[int]:
        """The kind of each rule."""
        return [int(rule.kind) for rule in self.rules]


def plan(local: Sequence[Sequence[Rule]], leave_out: frozenset[Rule] = frozenset()) -> Plan:
    """Give the rules of all lists one numbering. `local`: each list's in its own order. `leave_out`: rules that the table does not get."""
    rules = tuple(sorted({rule for of_list in local for rule in of_list} - leave_out, key=_order))
    number = {rule: i for i, rule in enumerate(rules)}
    return Plan(rules, tuple(tuple(number.get(rule, -1) for rule in of_list) for of_list in local))


def _order(rule: Rule) -> tuple[str, int, str, str]:
    return rule.list, int(rule.kind), rule.category.value, rule.action.value if rule.action else ""


def rules_of(compiled: CompiledList) -> tuple[Rule, ...]:
    """Return what the rules of a compiled list say. Corrupt when they can't be read: another release wrote them."""
    try:
        return load_rules(compiled.rules)
    except (ValueError, KeyError, TypeError):
        raise Corrupt("a compiled list's rules can't be read: compile it again") from None


@dataclass(frozen=True, slots=True)
class BuiltTable:
    """A table file as it was written. `entries`: names and URLs, each once however many lists have it."""

    path: Path
    entries: int
    plan: Plan


def build(path: Path, key: bytes, lists: Sequence[CompiledList], leave_out: frozenset[Rule] = frozenset()) -> BuiltTable:
    """Write the table of these lists to `path`, durably; the same lists in any order give the same bytes.

    Corrupt: a list's rules can't be read. OSError: the disk. Refused("shape"): more lists, sets or rules than the format holds.
    """
    planned = plan([rules_of(compiled) for compiled in lists], leave_out)
    try:
        entries = build_table(path, key, list(zip(lists, planned.numbers, strict=True)), dump_rules(planned.rules), planned.kinds)
    except ValueError as error:
        raise Refused("shape", f"the lists together do not fit a table: {error}") from None
    return BuiltTable(path, entries, planned)


def check(built: BuiltTable, key: bytes, lists: Sequence[CompiledList]) -> Table:
    """Read the file back, every octet and every entry. Returns the open table. Corrupt: it is not what the lists say. Refused("shape"): SETS_MAX."""
    try:
        table = Table(built.path, key, verify=True)
        if table.sets > SETS_MAX:
            raise Refused("shape", f"the lists together make {table.sets} combinations of rules, and a table may have {SETS_MAX}")
        if table.rules != dump_rules(built.plan.rules) or table.entries != built.entries:
            raise Corrupt("the table on the disk is not the one that was built")
        check_table(table, list(zip(lists, built.plan.numbers, strict=True)), built.plan.kinds)
    except ValueError as error:
        raise Corrupt(f"the table failed its check: {error}") from None
    return table
