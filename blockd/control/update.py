"""What a new generation is made of, and what the record says about it. Pure: values in, values out.

A generation is decided from four things: the placements of the one in force, the list versions that were just found fit (`fresh`), the configuration,
and the levers. The same function is used for an update, a kill, its end, an expiry, a rollback and a start after a crash; so whatever was
interrupted, doing it again gives the generation that was meant.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blockd.audit.record import Entry, Event, at
from blockd.control.levers import LAPSED
from blockd.control.sources import Placement
from blockd.terms import Action, Kind, ListName, Mode, Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from blockd.config.schema import Config, ListPolicy
    from blockd.control.candidates import Candidate
    from blockd.control.judge import Change
    from blockd.control.levers import Levers
    from blockd.control.sources import Out, Source
    from blockd.counts.cells import PolicyKey
    from blockd.table.rules import Rule
    from blockd.terms import Instant

STAGES = ("dns",)
"""Where hits are counted by the parts built so far."""

COUNTED = frozenset({Kind.SUBTREE, Kind.EXACT})
"""Kinds that the DNS enforces."""

WITHDRAW = "withdraw"
GONE = "absent"


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that decides what should be in force."""

    config: Config
    levers: Levers
    expires: Mapping[ListName, Instant] = field(default_factory=dict)  # of the newest verified metadata

    def expired(self, policy: ListPolicy, source: Source, now: Instant) -> bool:
        """Whether the list's signatures have run out, as far as anyone has heard."""
        return max(self.expires.get(policy.name, source.expires), source.expires) <= now

    def out(self, policy: ListPolicy, source: Source, now: Instant) -> Out | None:
        """Why a list is not in the table; None when it is."""
        if self.levers.killed(policy.name, now):
            return "killed"
        if policy.on_expiry == WITHDRAW and self.expired(policy, source, now):
            return "expired"
        return None


def compose(
    situation: Situation, current: Mapping[ListName, Placement], fresh: Mapping[ListName, Source], now: Instant
) -> dict[ListName, Placement]:
    """What should be in force, in the order of the configuration. A list that the configuration leaves out or switches off is not in it."""
    placed = {}
    for policy in situation.config.lists:
        before = current.get(policy.name)
        source = fresh.get(policy.name) or (before.source if before else None)
        if source is not None and policy.mode is not Mode.OFF:
            placed[policy.name] = Placement(source, situation.out(policy, source, now))
    return placed


def changed_lists(current: Mapping[ListName, Placement], wanted: Mapping[ListName, Placement]) -> frozenset[ListName]:
    """Lists that are in both otherwise, or in one alone."""
    return frozenset(name for name in current.keys() | wanted.keys() if current.get(name) != wanted.get(name))


def wanted_cells(config: Config, rules: Iterable[Rule], actions: Mapping[ListName, Action]) -> set[PolicyKey]:
    """The counters that hits of these rules may need, whatever the configuration makes of their action. `actions`: the publishers'."""
    own = {policy.name: policy.action for policy in config.lists}
    keys: set[PolicyKey] = set()
    for rule in rules:
        if rule.kind not in COUNTED:
            continue
        asked = {rule.action or actions[rule.list], own.get(rule.list) or actions[rule.list]}
        if Action.STOP_PAGE in asked:
            asked.add(Action.NXDOMAIN)  # without an address to give, and for lists that tell nobody
        keys |= {(rule.list, rule.category, action, stage, shadow) for action in asked for stage in STAGES for shadow in (False, True)}
    return keys


def entries_about(
    number: int,
    current: Mapping[ListName, Placement],
    wanted: Mapping[ListName, Placement],
    changes: Mapping[ListName, Change],
    modes: Mapping[ListName, Mode],
    now: Instant,
) -> list[Entry]:
    """One entry for each list that generation `number` changes. `changes`: of the lists that were judged in this run."""
    entries = []
    for name in sorted(changed_lists(current, wanted)):
        before, after = current.get(name), wanted.get(name)
        if after is None:
            version = before.source.version if before else None
            entries.append(Entry(Event.WITHDRAWN, at(now), name, version=version, generation=number, code="configuration"))
        elif before is not None and before.source == after.source:
            entries += _about_out(number, before, after, now)
        else:
            change, source = changes.get(name), after.source
            entries.append(
                Entry(
                    Event.APPLIED,
                    at(now),
                    name,
                    version=source.version,
                    generation=number,
                    sha256=source.sha256,
                    entries=source.entries,
                    added=change.added if change else None,
                    removed=change.removed if change else None,
                    rejected=sum(source.rejected.values()),
                    protected=source.protected,
                    mode=modes[name].value if name in modes else None,
                    code=after.out,
                )
            )
    return entries


def _about_out(number: int, before: Placement, after: Placement, now: Instant) -> list[Entry]:
    """A list that leaves the table or comes back as it was. A kill and its end by a person have their own entry already."""
    name, version = after.source.name, after.source.version
    if after.out == "expired":
        return [Entry(Event.WITHDRAWN, at(now), name, version=version, generation=number, code="expired")]
    if after.out is None and before.out == "expired":
        return [
            Entry(
                Event.APPLIED, at(now), name, version=version, generation=number, sha256=after.source.sha256, entries=after.source.entries
            )
        ]
    return []


def lapsed_kills(levers: Levers, now: Instant) -> list[Entry]:
    """An entry for each kill that has run out by itself."""
    return [Entry(Event.RESUMED, at(now), name, code=LAPSED) for name, until in sorted(levers.kills.items()) if until <= now]


def policy_digest(policy: ListPolicy) -> str:
    """What the operator wants of a list, as 16 hex digits: two configurations that treat it alike have the same."""
    change = policy.max_change
    value = [
        policy.mode.value, policy.action and policy.action.value, [repr(change.add), repr(change.remove), change.floor],
        policy.on_expiry, policy.notify.value, policy.notify_basis,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(value, separators=(",", ":")).encode()).hexdigest()[:16]


def policy_entries(config: Config, levers: Levers, now: Instant) -> list[Entry]:
    """An entry for each list that the configuration treats otherwise than the record says."""
    wanted = {policy.name: (policy.mode.value, policy_digest(policy)) for policy in config.lists}
    entries = [
        Entry(Event.POLICY, at(now), name, mode=mode, code=digest)
        for name, (mode, digest) in sorted(wanted.items())
        if levers.policies.get(name) != (mode, digest)
    ]
    gone = [name for name, (mode, _) in sorted(levers.policies.items()) if name not in wanted and mode != GONE]
    return entries + [Entry(Event.POLICY, at(now), name, mode=GONE) for name in gone]


def entry_of_run(name: ListName, candidate: Candidate, result: Result, now: Instant) -> Entry | None:
    """What the record says of a run that put nothing in force. None for one that did: the generation's entries say it."""
    if result is Result.APPLIED:
        return None
    if result is Result.NOT_MODIFIED:
        return Entry(Event.UNCHANGED, at(now), name)
    source, change = candidate.held, candidate.change
    return Entry(
        Event.HELD if result in {Result.HELD, Result.CHANGE_CAP} else Event.REFUSED,
        at(now),
        name,
        version=source.version if source else None,
        sha256=source.sha256 if source else None,
        entries=source.entries if source else None,
        added=change.added if change else None,
        removed=change.removed if change else None,
        rejected=sum(source.rejected.values()) if source else None,
        protected=source.protected if source else None,
        code=result.value,
    )
