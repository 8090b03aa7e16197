"""Which generation is in force after a start: finish what the record has, fall back where files are damaged, forget nothing that is recorded.

=================================================  ====================================================================================
found                                              done
=================================================  ====================================================================================
the record has a newer generation than `current`   read back; whole: made current. Damaged: recorded as abandoned. The disk refuses:
                                                   `current` stays in force, and it is tried again
`current` is whole and recorded                    nothing
`current` is whole, the record does not have it    it stays (answers go on), and is built again, so that a record of it exists
`current` is damaged, or no link                   the newest older generation that is recorded and whole is made current
none is whole                                      none: lists are fetched again; until then `before_lists` applies
=================================================  ====================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blockd.audit.record import Entry, Event, at
from blockd.errors import BlockdError, Corrupt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blockd.control.generations import Generations
    from blockd.control.recorder import Recorder
    from blockd.control.sources import Placement
    from blockd.terms import Instant, ListName


@dataclass(slots=True)
class Settled:
    """What is in force. `finished`: it was recorded before, and made current now. `damaged`: lines for the log and the alarm.

    `refused`: the record has a newer generation, and the disk does not let it be made current: to be tried again.
    """

    number: int = 0
    placements: Mapping[ListName, Placement] = field(default_factory=dict)
    recorded: bool = True
    finished: bool = False
    damaged: list[str] = field(default_factory=list)
    refused: OSError | None = None


def settle(generations: Generations, recorder: Recorder, now: Instant) -> Settled:
    """By the table above. OSError: the disk refuses to move `current`, and what it points to is damaged."""
    settled = Settled()
    try:
        current = generations.current()
    except Corrupt as error:
        current = 0
        settled.damaged.append(str(error))
    try:
        if recorder.levers.generation > current and _finish(generations, recorder, recorder.levers.generation, settled, now):
            return settled
    except OSError as error:
        settled.refused = error  # a full disk must not take away what is in force
    if current and _keep(generations, recorder, current, settled):
        return settled
    digests = recorder.levers.digests
    for number in sorted(digests, reverse=True):
        if number != current and generations.directory(number).is_dir() and _make_current(generations, recorder, number, settled):
            settled.damaged.append(f"generation {number}, the newest good one, is in force instead")
            return settled
    return settled


def _finish(generations: Generations, recorder: Recorder, number: int, settled: Settled, now: Instant) -> bool:
    """The generation that the record has last."""
    if number not in recorder.levers.digests:
        return False  # abandoned before
    if _make_current(generations, recorder, number, settled):
        settled.finished = True
        return True
    recorder.write(Entry(Event.ABANDONED, at(now), generation=number))
    generations.forget(number)
    return False


def _make_current(generations: Generations, recorder: Recorder, number: int, settled: Settled) -> bool:
    try:
        checked = generations.reopen(number, recorder.levers.digests[number])
        recorded = recorder.recorded_before(checked)
    except BlockdError as error:
        settled.damaged.append(f"generation {number} is not used: {error}")
        return False
    generations.activate(recorded)
    settled.number, settled.placements = number, checked.built.placements
    return True


def _keep(generations: Generations, recorder: Recorder, number: int, settled: Settled) -> bool:
    """The current generation, when it is whole. Without a record nothing can be compared with it: its own checks have to do."""
    digest = recorder.levers.digests.get(number)
    try:
        checked = generations.reopen(number, digest)
    except Corrupt as error:
        settled.damaged.append(str(error))
        return False
    settled.number, settled.placements, settled.recorded = number, checked.built.placements, digest is not None
    return True
