"""What is in force, and how it is changed: the one holder of the current generation's number and placements.

The levers, the clock, the configuration and new list versions all come to the same question: what should be in force (control/update.py), and is it? When
it is not, the pipeline puts it there. Errors that can wait are kept as `trouble`, which people see as alarms.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from blockd.admin.facts import TableFacts
from blockd.control import update as plan
from blockd.control.candidates import disk
from blockd.control.judge import ADMITTED
from blockd.control.pipeline import BrokenList
from blockd.control.recovery import settle
from blockd.control.steps import Step, around
from blockd.errors import BlockdError, Corrupt, Refused
from blockd.terms import Instant, ListName, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from blockd.config.schema import Config
    from blockd.control.candidates import Candidate
    from blockd.control.generations import Generations
    from blockd.control.judge import Change, Judgement
    from blockd.control.pipeline import Pipeline
    from blockd.control.recorder import Recorder
    from blockd.control.runs import Runs
    from blockd.control.sources import Placement, Source
    from blockd.control.steps import Steps
    from blockd.control.waiting import Waiting
    from blockd.counts.cells import PolicyKey

LOG = logging.getLogger("blockd.control")

CONFIRM_EVERY_S = 10.0


class InForce:
    """One process has one, inside the updater. Empty until `settle`."""

    def __init__(
        self, config: Config, generations: Generations, recorder: Recorder, pipeline: Pipeline, waiting: Waiting, runs: Runs, steps: Steps
    ) -> None:
        self.config = config
        self._generations = generations
        self._recorder = recorder
        self._pipeline = pipeline
        self._waiting = waiting
        self._runs = runs
        self._steps = steps
        self.number = 0
        self.placements: Mapping[ListName, Placement] = {}
        self.table = TableFacts()
        self.cells: Mapping[PolicyKey, int] = {}
        self.broken: set[ListName] = set()  # lists whose compiled file is lost
        self.trouble: dict[str, str] = {}  # alarm code -> text
        self._recorded = True  # the record has what is in force
        self._confirm_at = Instant(0.0)

    def situation(self) -> plan.Situation:
        """All that decides what should be in force, beside what is."""
        return plan.Situation(self.config, self._recorder.levers, self._runs.expires())

    def settle(self, now: Instant) -> None:
        """After a start, or an error behind the record: take what the record and the disk agree on (control/recovery.py).

        OSError: the record has a newer generation, which the disk does not let us make current. What is current is in force.
        """
        try:
            settled = settle(self._generations, self._recorder, lambda had, wanted: self._build_again(had, wanted, now), now)
        except (OSError, BlockdError) as error:
            self.say("disk", disk(error) if isinstance(error, OSError) else str(error))
            return
        if settled.finished:
            LOG.warning("generation %d was recorded earlier and is in force now", settled.number)
        for line in settled.damaged:
            self.say("generation_damaged", line)
        self.number, self.placements, self._recorded = settled.number, settled.placements, settled.recorded
        self._read_table()
        if settled.refused:
            raise settled.refused

    def _build_again(
        self, had: Mapping[ListName, Placement], kept: Mapping[ListName, Placement], now: Instant
    ) -> tuple[int, Mapping[ListName, Placement]]:
        """A damaged generation, which had `had`, as a new one of `kept`; every version was admitted before. Raises as Pipeline.go_live does."""
        wanted = plan.compose(self.situation(), kept, {}, now)
        judgements: dict[ListName, Judgement] = dict.fromkeys(plan.changed_lists(had, wanted), ADMITTED)
        number = self._pipeline.go_live(self.config, had, wanted, judgements, {}, now)
        self._confirm_at = Instant(now + CONFIRM_EVERY_S)
        return number, wanted

    def go_live(self, fresh: Mapping[ListName, Candidate], now: Instant) -> bool:
        """Put in force what should be, with these versions. False when that is in force already. Raises as Pipeline.go_live does."""
        sources = {name: c.source for name, c in fresh.items() if c.source is not None}
        wanted = plan.compose(self.situation(), self.placements, sources, now)
        before = self.placements if self._recorded else {}
        changed = plan.changed_lists(before, wanted)
        if not changed and self._recorded and not self._missing_cells(wanted):
            self._mended(sources)
            return False
        judgements: dict[ListName, Judgement] = dict.fromkeys(changed, ADMITTED)
        judgements |= {name: c.judgement for name, c in fresh.items() if c.judgement is not None}
        changes: dict[ListName, Change] = {name: c.change for name, c in fresh.items() if c.change is not None}
        self._confirm_at = Instant(now + CONFIRM_EVERY_S)
        try:
            self.number = self._pipeline.go_live(self.config, before, wanted, judgements, changes, now)
            self.placements, self._recorded = wanted, True
            self._read_table()
        except OSError:
            if self._recorder.levers.generation <= self.number:
                raise
            self.settle(now)  # the record has it, and what came after failed, or only looked so: look again
            if self.placements != wanted:
                raise
        self._mended(sources)
        self.trouble.pop("generation_damaged", None)
        for name, candidate in fresh.items():
            if candidate.held is None and candidate.result is Result.APPLIED:
                self._waiting.forget(name)
        LOG.info(
            "generation %d is in force: %s", self.number, ", ".join(f"{n} {_what(before.get(n), wanted.get(n))}" for n in sorted(changed))
        )
        return True

    def _mended(self, names: Iterable[ListName]) -> None:
        """The disk takes what is written, and these lists have their files."""
        self.trouble.pop("disk", None)
        self.broken.difference_update(names)
        if not self.broken:
            self.trouble.pop("list_damaged", None)

    def align(self, now: Instant) -> None:
        """Bring what is in force into line with the levers, the configuration and the clock."""
        if self._recorder.levers.generation > self.number and self._recorder.levers.generation in self._recorder.levers.digests:
            self.settle(now)  # recorded in this life, not made current: the disk refused
        for entry in plan.lapsed_kills(self._recorder.levers, now):
            with around(self._steps, Step.RECORDED_LIST):
                self._recorder.write(entry)
        self.go_live({}, now)

    def _missing_cells(self, wanted: Mapping[ListName, Placement]) -> bool:
        """Whether the configuration now asks for an action that the counters in force do not know."""
        known = {(key[0], key[2]) for key in self.cells}
        own = {policy.name: policy.action for policy in self.config.lists}
        here = {key[0] for key in self.cells}
        return any(own[name] and (name, own[name]) not in known for name, placed in wanted.items() if placed.out is None and name in here)

    def _read_table(self) -> None:
        self.table, self.cells = self._generations.table(self.number), self._generations.cells(self.number)

    def attempt(self, work: Callable[[], object]) -> bool:
        """Do what can wait; False when it could not be done, which the log and an alarm say."""
        try:
            work()
        except BrokenList as error:
            self.broken.add(error.name)
            self.say("list_damaged", f"{error}: it is fetched and compiled again")
        except OSError as error:
            self.say("disk", disk(error))
        except BlockdError as error:
            self.say("record_damaged" if self._recorder.fault else "update_failed", str(error))
        else:
            self.trouble.pop("update_failed", None)
            return True
        return False

    def say(self, code: str, text: str) -> None:
        """An alarm, and a line in the log when it is new."""
        if self.trouble.get(code) != text:
            LOG.error("%s", text)
        self.trouble[code] = text

    def version(self, name: ListName) -> int | None:
        """Of a list in force; None: there is none."""
        placed = self.placements.get(name)
        return placed.source.version if placed else None

    def version_before(self, name: ListName) -> Source:
        """The newest version below the one in force that a generation on the disk has. Refused: there is none."""
        version = self.version(name)
        for number in sorted(self._generations.numbers(), reverse=True):
            with suppress(Corrupt):
                placed = self._generations.placements(number).get(name)
                if placed and version and placed.source.version < version:
                    return placed.source
        raise Refused("nothing", f"no earlier version of {name} is kept on this node")

    def confirm_when_due(self, now: Instant) -> None:
        """Have workers that have not confirmed the generation in force told again, and record it when all have."""
        # Otherwise, not only newer: after a fall back to an older generation workers still answer from the damaged one.
        late = self.number and self.number != self._recorder.levers.activated and not self._recorder.fault
        if late and not self._confirm_at - CONFIRM_EVERY_S <= now < self._confirm_at:  # before that: the clock was put back
            self._confirm_at = Instant(now + CONFIRM_EVERY_S)
            self._pipeline.confirm(self.number, now)


def _what(before: Placement | None, after: Placement | None) -> str:
    """A word for the log."""
    if after is None:
        return "left"
    if after.out is not None:
        return after.out
    return f"version {after.source.version}" if before is None or before.source != after.source else "is back"
