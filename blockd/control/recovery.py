"""Which generation is in force after a start: finish what the record has, fall back where files are damaged, forget nothing that is recorded.

=================================================  ====================================================================================
found                                              done
=================================================  ====================================================================================
the record has a newer generation than `current`   read back; whole: made current. Damaged: recorded as abandoned. The disk refuses:
                                                   `current` stays in force, and it is tried again
`current` is whole and recorded                    nothing
`current` is whole, the record does not have it    it stays (answers go on), and is built again, so that a record of it exists
`current` is damaged, or no link                   built again from the lists that it names, as a new generation; a list whose compiled file is
                                                   damaged too is taken as the newest older generation has it. Where that cannot be done:
                                                   the newest older generation that is recorded and whole, or can be built again, is made current
none is whole                                      none: lists are fetched again; until then `before_lists` applies
=================================================  ====================================================================================

An older generation unblocks what newer list versions added, so it is the last resort: a full disk is no reason to abandon what the record has last.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from blockd.audit.record import Entry, Event, at
from blockd.control.pipeline import BrokenList
from blockd.errors import BlockdError, Corrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from blockd.control.generations import Generations
    from blockd.control.recorder import Recorder
    from blockd.control.sources import Placement
    from blockd.terms import Instant, ListName


Rebuild: TypeAlias = "Callable[[Mapping[ListName, Placement], Mapping[ListName, Placement]], tuple[int, Mapping[ListName, Placement]]]"
"""(what a generation had, what to take) -> the number of a new generation, now in force, and what is in it.

BrokenList: a compiled file is damaged; other BlockdErrors: it cannot be; OSError: the disk refuses."""


@dataclass(slots=True)
class Settled:
    """What is in force. `finished`: it was recorded before, and made current now. `damaged`: lines for the log and the alarm.

    `refused`: what the record has last is not in force, since the disk does not let it be made current or built again: to be tried again.
    """

    number: int = 0
    placements: Mapping[ListName, Placement] = field(default_factory=dict)
    recorded: bool = True
    finished: bool = False
    damaged: list[str] = field(default_factory=list)
    refused: OSError | None = None


def settle(generations: Generations, recorder: Recorder, rebuild: Rebuild, now: Instant) -> Settled:
    """By the table above. OSError: the disk refuses to move `current`, and what it points to is damaged."""
    work = _Settling(generations, recorder, rebuild)
    work.settle(now)
    return work.settled


class _Settling:
    """One run of `settle`."""

    def __init__(self, generations: Generations, recorder: Recorder, rebuild: Rebuild) -> None:
        self._generations = generations
        self._recorder = recorder
        self._rebuild = rebuild
        self.settled = Settled()

    def settle(self, now: Instant) -> None:
        try:
            current = self._generations.current()
        except Corrupt as error:
            current = 0
            self.settled.damaged.append(str(error))
        try:
            if self._recorder.levers.generation > current and self._finish(self._recorder.levers.generation, now):
                return
        except OSError as error:
            self.settled.refused = error  # a full disk must not take away what is in force
        if current and (self._keep(current) or self._build_again(current)):
            return
        for number in sorted(self._recorder.levers.digests, reverse=True):
            if number != current and self._generations.directory(number).is_dir() and self._use(number):
                self.settled.damaged.append(f"generation {self.settled.number}, the newest good one, is in force instead")
                return

    def _finish(self, number: int, now: Instant) -> bool:
        """The generation that the record has last."""
        if number not in self._recorder.levers.digests:
            return False  # abandoned before
        if self._make_current(number):
            self.settled.finished = True
            return True
        if self._build_again(number):
            return True
        if self.settled.refused is None:
            self._recorder.write(Entry(Event.ABANDONED, at(now), generation=number))
            self._generations.forget(number)
        return False

    def _use(self, number: int) -> bool:
        return self._make_current(number) or self._build_again(number)

    def _make_current(self, number: int) -> bool:
        try:
            checked = self._generations.reopen(number, self._recorder.levers.digests[number])
            recorded = self._recorder.recorded_before(checked)
        except BlockdError as error:
            self.settled.damaged.append(f"generation {number} is not used: {error}")
            return False
        self._generations.activate(recorded)
        self.settled.number, self.settled.placements = number, checked.built.placements
        return True

    def _keep(self, number: int) -> bool:
        """The current generation, when it is whole. Without a record nothing can be compared with it: its own checks have to do."""
        digest = self._recorder.levers.digests.get(number)
        try:
            checked = self._generations.reopen(number, digest)
        except Corrupt as error:
            self.settled.damaged.append(str(error))
            return False
        self.settled.number, self.settled.placements, self.settled.recorded = number, checked.built.placements, digest is not None
        return True

    def _build_again(self, number: int) -> bool:
        """A new generation of the same lists, where their compiled files are whole."""
        if number not in self._recorder.levers.digests:
            return False  # nobody knows that it was ever admitted
        try:
            had = wanted = self._generations.placements(number)
            built = None
            while built is None:
                try:
                    built = self._rebuild(had, wanted)
                except BrokenList as error:
                    self.settled.damaged.append(str(error))
                    wanted = wanted | {error.name: self._older(error.name, wanted[error.name], number)}
        except BlockdError as error:
            self.settled.damaged.append(f"generation {number} cannot be built again: {error}")
            return False
        except OSError as error:
            self.settled.refused = error
            return False
        self.settled.number, self.settled.placements = built
        self.settled.damaged.append(
            f"generation {number} was built again from its lists, as generation {self.settled.number}: look at the disk"
        )
        return True

    def _older(self, name: ListName, broken: Placement, number: int) -> Placement:
        """The list as the newest generation below `number` has it in an older version. Corrupt: none has."""
        for other in sorted(self._recorder.levers.digests, reverse=True):
            if other < number:
                with suppress(Corrupt):
                    placed = self._generations.placements(other).get(name)
                    if placed and placed.source.version < broken.source.version:
                        return placed
        raise Corrupt(f"no earlier version of {name} is kept on this node")
