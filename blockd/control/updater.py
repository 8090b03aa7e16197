"""The updater: everything that changes what is enforced, one thing at a time, in one thread.

An update run of a list:

    refresh the feed -> download -> compile -> compare with the version in force -> judge -> [held: wait for a person]
    -> build a generation -> read it back -> admit -> record -> make current -> every worker answers from it -> tidy up

Levers (approve, hold, resume, rollback, kill) are recorded first, then the generation is brought into line with them; the end of a kill and the expiry of
signatures do that too. Every step may fail or the process die at it: :meth:`Updater.recover`, which every start calls, finishes what the
record has and forgets the rest. What was in force stays in force until the new generation is.

A failure of one list leaves the others alone. Disk errors are an outcome (``held``: a person must free space), not an end.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import blockd
from blockd.admin.facts import AuditFacts
from blockd.audit.record import Entry, Event, at
from blockd.control import update as plan
from blockd.control.candidates import Candidate, Candidates, disk
from blockd.control.feed_client import SubscribedFeed
from blockd.control.generations import Generations
from blockd.control.in_force import InForce
from blockd.control.judge import ADMITTED
from blockd.control.node_key import node_name
from blockd.control.outcomes import Outcome
from blockd.control.pipeline import NO_WORKERS, BrokenList, Pipeline
from blockd.control.recorder import Recorder
from blockd.control.runs import Runs
from blockd.control.showing import Shown, show
from blockd.control.state import State
from blockd.control.steps import NO_STEPS, Step, around
from blockd.control.waiting import Waiting
from blockd.errors import BlockdError, Refused
from blockd.table.store import make_key
from blockd.terms import Instant, ListName, Mode, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blockd.config.schema import Config, Feed
    from blockd.control.candidates import FeedClient
    from blockd.control.pipeline import Workers
    from blockd.control.sources import Source
    from blockd.control.steps import Steps

LOG = logging.getLogger("blockd.control")

RETRY_EVERY_S = 60.0
SHOW_EVERY_S = 30.0
HISTORIES_FILE = "outcomes.json"
HELD_NOW = "it takes no updates until blockd lists resume"


class Updater:
    """One process has one. Every method but `state` is called in one thread.

    `open_feed`: makes the client of a feed.
    Raises Unavailable when another process has the record, Corrupt when the table's key cannot be read, OSError.
    """

    def __init__(
        self,
        config: Config,
        *,
        open_feed: Callable[[Feed, Config], FeedClient] = SubscribedFeed,
        workers: Workers = NO_WORKERS,
        clock: Callable[[], float] = time.time,
        steps: Steps = NO_STEPS,
    ) -> None:
        self._config = config
        self._clock = clock
        self._steps = steps
        state_dir = config.state_dir
        (state_dir / "control").mkdir(mode=0o750, parents=True, exist_ok=True)
        key = make_key(state_dir)
        self._recorder = Recorder(state_dir / "audit", steps)
        self._generations = Generations(state_dir, key, steps)
        self._waiting = Waiting(state_dir, steps)
        self._candidates = Candidates(config, key, self._recorder, self._waiting, steps, open_feed)
        self._pipeline = Pipeline(key, self._generations, self._recorder, workers, steps)
        self._runs = Runs(state_dir / "control" / HISTORIES_FILE, steps)
        self._in_force = InForce(config, self._generations, self._recorder, self._pipeline, self._waiting, self._runs, steps)
        self._retry_at, self._show_at = Instant(0.0), Instant(0.0)
        self._state = State()

    def state(self) -> State:
        """As after the last step. Any thread."""
        return self._state

    # Starting and passing time

    def recover(self) -> None:
        """Every start: finish what the record has, forget the rest, bring what is in force into line with levers and configuration."""
        now = self._now()
        self._generations.forget_drafts()
        self._in_force.attempt(lambda: self._in_force.settle(now))
        for number in self._generations.numbers():
            if number > self._in_force.number and number not in self._recorder.levers.digests and not self._recorder.fault:
                self._generations.forget(number)  # built, never recorded
        self._forget_released()
        self._in_force.attempt(lambda: self._record_start(now))
        self._in_force.attempt(lambda: self._in_force.align(now))
        self._show(now)

    def tick(self) -> None:
        """What time alone brings: kills and rows that run out, signatures that expire, retries, confirmations. Cheap when nothing is due."""
        now, number = self._now(), self._in_force.number
        if _is_due(self._retry_at, RETRY_EVERY_S, now):
            if self._recorder.unreadable:
                self._read_record_again(now)
            due = [
                name for name, placed in self._in_force.placements.items() if placed.source.next_expiry and placed.source.next_expiry <= now
            ]
            if due or self._in_force.broken:
                self._retry_at = Instant(now + RETRY_EVERY_S)
                self.update(due)
            if not self._recorder.fault and not self._in_force.attempt(lambda: self._in_force.align(now)):
                self._retry_at = Instant(now + RETRY_EVERY_S)
        self._in_force.confirm_when_due(now)
        if _is_due(self._show_at, SHOW_EVERY_S, now) or self._in_force.number != number:
            self._show(now)

    def _read_record_again(self, now: Instant) -> None:
        if self._recorder.open_again():
            self._in_force.trouble.pop("record_damaged", None)
            self.recover()
        else:
            self._retry_at = Instant(now + RETRY_EVERY_S)

    def reconfigure(self, config: Config) -> None:
        """Take a new configuration, already checked."""
        now = self._now()
        self._config = self._in_force.config = config
        self._candidates.reconfigure(config)
        self._in_force.attempt(lambda: self._record_policies(now))
        self._in_force.attempt(lambda: self._in_force.align(now))
        self._show(now)

    def close(self) -> None:
        """Let go of the record."""
        self._runs.save()
        self._recorder.close()

    # Updates

    def update(self, names: Sequence[ListName] | None = None) -> list[Outcome]:
        """Look for new versions of these lists (None: all) and put them in force. One outcome for each, in the order of the configuration.

        Lists whose compiled file is lost are looked at too, and have no outcome of their own unless they were asked for.
        """
        now = self._now()
        asked = [p.name for p in self._config.lists if p.mode is not Mode.OFF and (names is None or p.name in names)]
        found = self._look(asked, now)
        ended = self._put_in_force(found, now)
        for name, result in ended.items():
            self._note(name, found[name], result, now)
        self._runs.save()
        self._pipeline.tidy(self._in_force.number, [source.compiled for source in self._waiting.sources.values()])
        self._show(now)
        return [self._outcome(name, *ended[name]) for name in asked]

    def _look(self, asked: Sequence[ListName], now: Instant) -> dict[ListName, Candidate]:
        broken = [p.name for p in self._config.lists if p.name in self._in_force.broken and p.name not in asked]
        return self._candidates.look([*asked, *broken], self._in_force.placements, self._in_force.broken, now)

    def _put_in_force(self, found: dict[ListName, Candidate], now: Instant) -> dict[ListName, tuple[Result, str]]:
        """What came of each list: what looking at it said, unless putting it in force said otherwise."""
        ended = {name: (candidate.result, candidate.detail) for name, candidate in found.items()}
        fresh = {name: candidate for name, candidate in found.items() if candidate.source is not None}
        if not fresh:
            return ended
        try:
            if not self._in_force.go_live(fresh, now):  # compiled again because a file was lost: what is in force is the same
                ended |= {name: (Result.NOT_MODIFIED, "") for name, c in fresh.items() if c.result is Result.APPLIED}
        except BrokenList as error:
            self._in_force.broken.add(error.name)
            if error.name not in found:  # it was in force and is not being looked at: fetch it again, once
                more = self._look([error.name], now)
                found |= more
                if more[error.name].source is not None:
                    return self._put_in_force(found, now)
            return ended | dict.fromkeys(fresh, (Result.HELD, f"the generation cannot be built: {error}"))
        except OSError as error:
            self._in_force.trouble["disk"] = disk(error)
            return ended | dict.fromkeys(fresh, (Result.HELD, disk(error)))
        except BlockdError as error:
            if len(fresh) == 1:
                return ended | dict.fromkeys(fresh, (Result.HELD, str(error)))
            for name, candidate in fresh.items():  # one of them is the cause: the others must not wait for it
                ended |= self._put_in_force({name: candidate}, now)
        return ended

    # Levers

    def approve(self, name: ListName, who: str, reason: str) -> Outcome:
        """Let the version that waits go live. Refused: none does, or its signatures have expired."""
        now, source = self._now(), self._waiting.get(name)
        if source is None:
            raise Refused("nothing", f"no version of {name} waits for approval")
        if source.expires <= now:
            raise Refused(
                "expired",
                f"the signatures of version {source.version} of {name} have expired while it waited: its publisher must sign anew",
            )
        self._pull(Entry(Event.APPROVED, at(now), name, version=source.version, sha256=source.sha256), who, reason)
        # Crash: the approval stands; the next update run finds the version approved.
        return self._bring_about(name, source, now)

    def hold(self, name: ListName, who: str, reason: str) -> Outcome:
        """Take no updates of the list until `resume`."""
        now = self._now()
        self._pull(Entry(Event.HOLD, at(now), name, version=self._in_force.version(name)), who, reason)
        self._show(now)
        return self._outcome(name, Result.NOT_MODIFIED, HELD_NOW)

    def resume(self, name: ListName, who: str, reason: str) -> Outcome:
        """End a hold, a kill or both. Refused: there is none."""
        now, levers = self._now(), self._recorder.levers
        if name not in levers.holds and not levers.killed(name, now):
            raise Refused("nothing", f"{name} is neither held nor killed" + self._approve_hint(name))
        self._pull(Entry(Event.RESUMED, at(now), name, version=self._in_force.version(name)), who, reason)
        # Crash: the next start folds the same entry.
        return self._bring_about(name, None, now)

    def rollback(self, name: ListName, who: str, reason: str) -> Outcome:
        """Put the version before in force, as a new generation, and hold the list there. Refused: none is kept."""
        now, source = self._now(), self._in_force.version_before(name)
        self._pull(Entry(Event.ROLLED_BACK, at(now), name, version=source.version, sha256=source.sha256), who, reason)
        # Crash: the list is held at the newer version, which status shows; whoever asked had no answer and asks again.
        return self._bring_about(name, source, now, HELD_NOW)

    def kill(self, name: ListName, until: Instant, who: str, reason: str) -> Outcome:
        """Enforce nothing of the list until `until`."""
        now = self._now()
        self._pull(Entry(Event.KILLED, at(now), name, version=self._in_force.version(name), until=at(until)), who, reason)
        # Crash: the next start folds the same entry and leaves the list out.
        return self._bring_about(name, None, now)

    def _pull(self, entry: Entry, who: str, reason: str) -> None:
        """Record what a person wants, before anything follows from it."""
        try:
            explained = self._recorder.explained(entry, who, reason)
            with around(self._steps, Step.RECORDED_LIST):
                self._recorder.write(explained)
        except OSError as error:
            raise Refused("held", disk(error)) from None

    def _bring_about(self, name: ListName, source: Source | None, now: Instant, detail: str = "") -> Outcome:
        """What follows from a lever. It is recorded, so a failure here is tried again by `tick`, and the answer says so."""
        fresh = {} if source is None else {name: Candidate(Result.APPLIED, "", source, ADMITTED)}
        number = self._in_force.number
        try:
            self._in_force.go_live(fresh, now)
        except (BlockdError, OSError) as error:
            if isinstance(error, BrokenList):
                self._in_force.broken.add(error.name)
            self._retry_at = now
            self._show(now)
            return self._outcome(name, Result.HELD, disk(error) if isinstance(error, OSError) else str(error))
        result = Result.APPLIED if self._in_force.number != number else Result.NOT_MODIFIED
        if source is not None:
            self._runs.note(name, result, now, None)
            self._runs.save()
        self._show(now)
        return self._outcome(name, result, detail)

    # Small parts

    def _now(self) -> Instant:
        return Instant(self._clock())

    def _forget_released(self) -> None:
        for name, held in list(self._waiting.sources.items()):
            placed = self._in_force.placements.get(name)
            if placed and placed.source.version >= held.version:
                self._waiting.forget(name)

    def _outcome(self, name: ListName, result: Result, detail: str = "") -> Outcome:
        return Outcome(name, result, self._in_force.number, self._in_force.version(name) or 0, detail)

    def _approve_hint(self, name: ListName) -> str:
        return f"; a version waits: blockd lists approve {name}" if self._waiting.get(name) else ""

    # What is remembered of runs

    def _note(self, name: ListName, candidate: Candidate, ended: tuple[Result, str], now: Instant) -> None:
        """Keep, count and record how a run ended for one list."""
        result, detail = ended
        self._runs.note(name, result, now, candidate.expires)
        if candidate.held is not None:
            self._in_force.attempt(partial(self._waiting.put, candidate.held))
        entry = plan.entry_of_run(name, candidate, result, now)
        if entry is not None:
            if detail and self._recorder.levers.worth_saying(entry):
                LOG.error("%s: %s (%s)", name, detail, result.value)
            self._in_force.attempt(lambda: self._recorder.write_about(entry))

    def _record_start(self, now: Instant) -> None:
        if self._recorder.levers.software != blockd.__version__:
            self._recorder.write(Entry(Event.START, at(now), software=blockd.__version__))
        self._record_policies(now)

    def _record_policies(self, now: Instant) -> None:
        for entry in plan.policy_entries(self._config, self._recorder.levers, now):
            self._recorder.write(entry)

    def _show(self, now: Instant) -> None:
        self._show_at = Instant(now + SHOW_EVERY_S)
        if self._recorder.fault:
            self._in_force.say("record_damaged", f"no update can go live: {self._recorder.fault}")
        force, recorder = self._in_force, self._recorder
        origin = self._config.audit.origin or f"{node_name(self._config)}/{{year}}"
        origin = origin.replace("{year}", f"{datetime.fromtimestamp(now, UTC):%Y}")
        shown = Shown(
            force.situation(),
            force.placements,
            self._waiting.sources,
            self._runs.histories,
            force.table,
            AuditFacts(origin, recorder.size, recorder.root, recorder.written),
            force.cells,
            force.trouble,
        )
        self._state = show(shown, now)


def _is_due(when: Instant, every_s: float, now: Instant) -> bool:
    """Whether a time has come; also when it is further off than it can be: then the clock was put back."""
    return not when - every_s <= now < when
