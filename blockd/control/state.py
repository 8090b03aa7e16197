"""What the updater tells of itself: one frozen value, made after every run, read by any thread."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blockd.admin.facts import Alarm, AuditFacts, ListFacts, TableFacts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blockd.counts.cells import PolicyKey


@dataclass(frozen=True, slots=True)
class State:
    """The lists of the configuration in their order, the generation in force, the record's head, what a person should look at."""

    table: TableFacts = field(default_factory=TableFacts)
    lists: tuple[ListFacts, ...] = ()
    audit: AuditFacts = field(default_factory=AuditFacts)
    alarms: tuple[Alarm, ...] = ()
    cells: Mapping[PolicyKey, int] = field(default_factory=dict)  # of the generation in force
