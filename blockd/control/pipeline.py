"""From a set of placements to a generation in force: the one way that everything takes.

Build, read back, admit, record, make current, tell the workers, say so in the record, tidy up. Each step's crash is explained where it is taken
(generations.py, recorder.py). A failure before the record's entry leaves nothing; one after it is finished by the next try or the next start.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blockd.audit.record import Entry, Event, at
from blockd.control.steps import Step, around
from blockd.control.update import changed_lists, entries_about, wanted_cells
from blockd.counts.windows import ListKind
from blockd.errors import Corrupt
from blockd.table.build import rules_of
from blockd.table.store import open_list

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from blockd.config.schema import Config
    from blockd.control.generations import Generations
    from blockd.control.judge import Change, Judgement
    from blockd.control.recorder import Recorder
    from blockd.control.sources import Placement
    from blockd.control.steps import Steps
    from blockd.native._table import CompiledList
    from blockd.terms import Instant, ListName

LOG = logging.getLogger("blockd.control")


class BrokenList(Corrupt):
    """The compiled file of a list is missing or damaged: it has to be compiled again from its feed."""

    def __init__(self, name: ListName, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name = name


@dataclass(frozen=True, slots=True)
class Workers:
    """What the updater needs of those who answer. Each may block; none may raise for a worker that is gone."""

    tell: Callable[[int], Sequence[str]] = lambda _: ()  # have every worker answer from a generation; those that have not confirmed
    in_use: Callable[[], Collection[int]] = tuple  # the generations that workers answer from
    before_live: Callable[[Iterable[ListKind]], None] = lambda _: None  # these lists are about to be hit


NO_WORKERS = Workers()


class Pipeline:
    """Over the store of generations and the record, to the workers."""

    def __init__(self, key: bytes, generations: Generations, recorder: Recorder, workers: Workers, steps: Steps) -> None:
        self._key = key
        self._generations = generations
        self._recorder = recorder
        self._workers = workers
        self._steps = steps

    def go_live(
        self,
        config: Config,
        current: Mapping[ListName, Placement],
        wanted: Mapping[ListName, Placement],
        judgements: Mapping[ListName, Judgement],
        changes: Mapping[ListName, Change],
        now: Instant,
    ) -> int:
        """Put `wanted` in force; its number. `current`: what is in force. `judgements`: of every list that differs, `changes` of those compared.

        Raises BrokenList, Corrupt, Refused, Misconfigured, Unavailable, OSError: then what was in force stays, unless the record has the new one.
        """
        number = self._generations.next_number(self._recorder.levers.generation)
        modes = {policy.name: policy.mode for policy in config.lists}
        with ExitStack() as stack:
            compiled = self._open(stack, wanted)
            actions = {name: placed.source.meta.action for name, placed in wanted.items()}
            cells = wanted_cells(config, (rule for item in compiled.values() for rule in rules_of(item)), actions)
            built = self._generations.build(number, wanted, compiled, cells, changed_lists(current, wanted))
            try:
                checked = self._generations.check(built, compiled)
                admitted = self._recorder.admit(checked, judgements)
                about = entries_about(number, current, wanted, changes, modes, now)
                recorded = self._recorder.record(admitted, about, now)
            except Exception:
                if self._recorder.levers.generation != number:
                    self._generations.forget(number)
                raise
        self._workers.before_live(kinds(wanted))
        self._generations.activate(recorded)
        self.confirm(number, now)
        return number

    def confirm(self, number: int, now: Instant) -> tuple[str, ...]:
        """Have every worker answer from `number`, and record that they do. Returns those that have not confirmed: to be tried again."""
        try:
            with around(self._steps, Step.TOLD):
                late = tuple(self._workers.tell(number))
        except OSError as error:  # a time-out is one
            late = (error.strerror or "workers that did not answer in time",)
        # Crash: workers answer from it. The next control tells them again, which is no change for them.
        if late:
            LOG.error("generation %d is in force, but not confirmed by %s", number, ", ".join(late))
            return late
        with suppress(OSError), around(self._steps, Step.CONFIRMED):
            # A full disk here costs the line in the record that says "confirmed", until the next try; what is enforced is recorded already.
            self._recorder.write(Entry(Event.ACTIVATED, at(now), generation=number))
        return ()

    def tidy(self, number: int, keep_lists: Iterable[str]) -> None:
        """Remove what nobody needs any more. Errors cost disk space until the next run."""
        with suppress(OSError):
            self._generations.prune(number, self._workers.in_use(), keep_lists)

    def _open(self, stack: ExitStack, wanted: Mapping[ListName, Placement]) -> dict[ListName, CompiledList]:
        opened = {}
        for name, placed in wanted.items():
            if placed.out is None:
                try:
                    opened[name] = open_list(self._generations.state_dir / placed.source.compiled, self._key)
                except Corrupt as error:
                    raise BrokenList(name, str(error)) from None
                stack.callback(opened[name].close)
        return opened


def kinds(placements: Mapping[ListName, Placement]) -> list[ListKind]:
    """What the release of counts needs to know of the lists in a table."""
    return [
        ListKind(name, placed.source.entries, placed.source.meta.secret, placed.source.meta.category)
        for name, placed in placements.items()
        if placed.out is None
    ]
