"""The updater's state as people see it: one line a list, the record's head, alarms. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from blockd.admin.facts import Alarm, AuditFacts, ListFacts, TableFacts
from blockd.control import alarms
from blockd.control.outcomes import History
from blockd.control.state import State
from blockd.terms import Mode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blockd.admin.facts import ListState
    from blockd.config.schema import ListPolicy
    from blockd.control.sources import Placement, Source
    from blockd.control.update import Situation
    from blockd.counts.cells import PolicyKey
    from blockd.terms import Instant, ListName


@dataclass(frozen=True, slots=True)
class Shown:
    """What the state is made of."""

    situation: Situation
    placements: Mapping[ListName, Placement]
    waiting: Mapping[ListName, Source]
    histories: Mapping[ListName, History]
    table: TableFacts
    audit: AuditFacts
    cells: Mapping[PolicyKey, int]
    trouble: Mapping[str, str]  # alarm code -> text, of the updater itself


def show(shown: Shown, now: Instant) -> State:
    """Put it together."""
    own = [Alarm(code, text) for code, text in shown.trouble.items()]
    of_lists = alarms.of_lists(shown.situation, shown.placements, shown.waiting, shown.histories, now)
    return State(
        table=shown.table,
        lists=tuple(_list(shown, policy, now) for policy in shown.situation.config.lists),
        audit=shown.audit,
        alarms=(*own, *of_lists),
        cells=shown.cells,
    )


def _list(shown: Shown, policy: ListPolicy, now: Instant) -> ListFacts:
    name, levers = policy.name, shown.situation.levers
    placed, waiting = shown.placements.get(name), shown.waiting.get(name)
    history = shown.histories.get(name, History())
    state: ListState = "live" if placed and placed.out is None else "none"
    if waiting is not None or name in levers.holds or levers.killed(name, now):
        state = "held"
    known = placed.source if placed else waiting
    source = placed.source if placed else None
    off = levers.killed(name, now)
    return ListFacts(
        name=name,
        mode=Mode.OFF if off else policy.mode,
        state=state,
        version=source.version if source else 0,
        entries=source.entries if source else 0,
        enforceable=source.enforceable if source else {},
        rejected=known.rejected if known else {},
        updates=history.updates,
        last_result=history.last_result,
        last_success=history.last_success,
        expires=history.expires or (source.expires if source else None),
        basis=known.meta.basis if known else None,
        category=known.meta.category if known else None,
        action=policy.action or (known.meta.action if known else None),
        secret=known.meta.secret if known else False,
    )
