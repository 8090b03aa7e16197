"""What a person should look at, from the state of the lists. Pure.

Codes are stable words; the text says what happened, what it means, and what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockd.admin.facts import Alarm
from blockd.control.outcomes import GOOD
from blockd.terms import Mode, Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from blockd.config.schema import ListPolicy
    from blockd.control.outcomes import History
    from blockd.control.sources import Placement, Source
    from blockd.control.update import Situation
    from blockd.terms import Instant, ListName


def of_lists(
    situation: Situation,
    current: Mapping[ListName, Placement],
    held: Mapping[ListName, Source],
    histories: Mapping[ListName, History],
    now: Instant,
) -> Iterable[Alarm]:
    """Alarms of every list of the configuration that is not off."""
    for policy in situation.config.lists:
        if policy.mode is not Mode.OFF:
            placed = current.get(policy.name)
            yield from _of_list(situation, policy, placed.source if placed else None, held.get(policy.name), now)
            history = histories.get(policy.name)
            if history and history.last_result and history.last_result not in GOOD | {Result.CHANGE_CAP, Result.HELD}:
                yield _of_last(policy.name, history.last_result)
            elif history and history.last_result is Result.HELD and policy.name not in held and policy.name not in situation.levers.holds:
                yield Alarm(
                    "update_failed",
                    f"{policy.name}: this gateway could not take the last update, its log says why (a disk, a file of the configuration); what was good before "
                    "stays in force, it is tried again",
                )


def _of_last(name: ListName, result: Result) -> Alarm:
    """A server that is down and a forged feed are not the same night."""
    if result is Result.FETCH:
        return Alarm(
            "list_unreachable",
            f"{name}: its feed could not be fetched the last time; the last good version stays in force, it is tried again",
        )
    if result is Result.EXPIRED:
        return Alarm("list_stale", f"{name}: the feed's signatures have expired: ask its publisher; the last good version stays in force")
    what = f"the last update was refused ({result.value}); what was good before stays in force: call its publisher by a way that you know"
    return Alarm("list_refused", f"{name}: {what}")


def _of_list(situation: Situation, policy: ListPolicy, source: Source | None, held: Source | None, now: Instant) -> Iterable[Alarm]:
    name, levers = policy.name, situation.levers
    if held is not None:
        yield Alarm("list_held", f"{name}: version {held.version} waits for a person: blockd lists approve {name}, or ask its publisher")
    if name in levers.holds:
        yield Alarm("list_hold", f"{name}: takes no updates: blockd lists resume {name} ends that")
    if levers.killed(name, now):
        minutes = max(1, int((levers.kills[name] - now) // 60))
        yield Alarm("list_killed", f"{name}: is not enforced for {minutes} more minutes: blockd lists resume {name} ends that at once")
    if source is None:
        return
    if source.protected:
        yield Alarm(
            "protected_rows",
            f"{name}: {source.protected} rows of version {source.version} name what nobody may block and were left out: tell its publisher",
        )
    if situation.expired(policy, source, now):
        done = "it is withdrawn" if policy.on_expiry == "withdraw" else "it stays in force"
        yield Alarm("list_expired", f"{name}: its signatures have expired and no newer ones were seen; {done}: ask its publisher")
