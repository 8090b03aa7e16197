"""Generations on the disk, as control writes them: build, read back, make current, fall back, tidy up.

    state_dir/generations/N.tmp/            being built; of no meaning to anyone
    state_dir/generations/N/table.blkt      the table (blockd/table)
    state_dir/generations/N/manifest.json   for workers (blockd/table/manifest.py)
    state_dir/generations/N/sources.json    for control (blockd/control/sources.py)
    state_dir/current                       a symlink to generations/N, moved by rename
    state_dir/counts/cells.json             which counter cell is whose: only ever longer

Numbers only grow and are never used twice, not even those of generations that were forgotten. What a crash means is said after each
step; the next start runs :meth:`blockd.control.updater.Updater.recover`, which finishes what the audit record has and forgets the rest.
Trust: whoever can write here decides what is blocked. Damage is found (digests) and refused.
"""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from blockd.admin.facts import TableFacts
from blockd.control import durable, stages
from blockd.control.sources import dump_placements, load_placements
from blockd.control.steps import Step, around
from blockd.counts.cells import assign
from blockd.errors import Corrupt
from blockd.table import build as tables
from blockd.table.manifest import Manifest, dump_manifest, load_manifest
from blockd.table.store import CURRENT, MANIFEST_FILE, TABLE_FILE, current_path, fsync_directory, open_live, table_digest
from blockd.terms import Action, Category, ListName

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from blockd.control.sources import Placement
    from blockd.control.steps import Steps
    from blockd.counts.cells import PolicyKey
    from blockd.native._table import CompiledList

SOURCES_FILE = "sources.json"
CELLS_FILE = "cells.json"
DRAFT = ".tmp"
KEEP_GENERATIONS = 5


class Generations:
    """All generations of one state directory. One process, control, has one."""

    def __init__(self, state_dir: Path, key: bytes, steps: Steps) -> None:
        self.state_dir = state_dir
        self._home = state_dir / "generations"
        self._key = key
        self._steps = steps
        self._home.mkdir(mode=0o750, parents=True, exist_ok=True)
        (state_dir / "counts").mkdir(mode=0o700, exist_ok=True)

    def directory(self, number: int) -> Path:
        """Where a generation lies."""
        return self._home / str(number)

    def numbers(self) -> list[int]:
        """The generations that are there, in order; drafts are none."""
        return sorted(int(path.name) for path in self._home.iterdir() if path.name.isdigit())

    def current(self) -> int:
        """The number of the generation in force; 0 before the first. Corrupt: `current` is no link to a generation."""
        path = current_path(self.state_dir)
        if path is None:
            return 0
        if path.parent != self._home or not path.name.isdigit() or not path.is_dir():
            raise Corrupt("current does not point to a generation")
        return int(path.name)

    def placements(self, number: int) -> dict[ListName, Placement]:
        """The lists of a generation; none for 0. Corrupt."""
        if number == 0:
            return {}
        try:
            said, placements = load_placements((self.directory(number) / SOURCES_FILE).read_bytes())
        except OSError as error:
            raise Corrupt(f"generation {number}: its sources: {error.strerror}") from None
        if said != number:
            raise Corrupt(f"generation {number}: its sources are those of generation {said}")
        return placements

    def cells(self, number: int) -> Mapping[PolicyKey, int]:
        """The counter cells that a generation's workers know; none for 0. Corrupt."""
        if number == 0:
            return {}
        try:
            return load_manifest((self.directory(number) / MANIFEST_FILE).read_bytes()).cells
        except OSError as error:
            raise Corrupt(f"generation {number}: its manifest: {error.strerror}") from None

    def build(
        self,
        number: int,
        placements: Mapping[ListName, Placement],
        compiled: Mapping[ListName, CompiledList],
        wanted_cells: Iterable[PolicyKey],
        changed: frozenset[ListName],
    ) -> stages.Built:
        """Write generation `number`. `compiled`: the open file of each list that is in the table, in the order of `placements`.

        OSError: the disk; Corrupt, Refused, Misconfigured: lists or cells that cannot be put into one. Nothing is left behind then.
        """
        draft, directory = self._home / f"{number}{DRAFT}", self.directory(number)
        try:
            with around(self._steps, Step.CELLS):
                cells = self._assign(wanted_cells)
            # Crash: cells are assigned that no generation uses yet; the next build finds them.
            draft.mkdir(mode=0o750)
            with around(self._steps, Step.TABLE):
                table = tables.build(draft / TABLE_FILE, self._key, list(compiled.values()))
            # Crash: a draft, which the next start removes.
            with around(self._steps, Step.MANIFEST):
                live = {name: placed.source.live() for name, placed in placements.items() if placed.out is None}
                durable.write_new(draft / MANIFEST_FILE, dump_manifest(Manifest(number, live, cells)))
                durable.write_new(draft / SOURCES_FILE, dump_placements(number, placements.values()))
                fsync_directory(draft)
            # Crash: a complete draft, which the next start removes all the same.
            digest = table_digest(draft)
            with around(self._steps, Step.RENAMED):
                draft.rename(directory)
                fsync_directory(self._home)
            # Crash: a generation that the record does not have. The next start removes it; its number is not used again.
        except BaseException:
            # BaseException: whatever ends a build, a full disk above all, must not leave its octets there.
            shutil.rmtree(draft, ignore_errors=True)
            shutil.rmtree(directory, ignore_errors=True)
            raise
        return stages.built(number, directory, placements, changed, table.entries, digest)

    def check(self, built: stages.Built, compiled: Mapping[ListName, CompiledList]) -> stages.Checked:
        """Read everything back from the disk: the digest, the table against the lists, what lies beside it. Corrupt."""
        with around(self._steps, Step.CHECKED):
            planned = tables.plan([tables.rules_of(item) for item in compiled.values()])
            path = built.directory / TABLE_FILE
            tables.check(tables.BuiltTable(path, built.entries, planned), self._key, list(compiled.values())).close()
            self._check_beside(built)
            return stages.checked(built, table_digest(built.directory))

    def _check_beside(self, built: stages.Built) -> None:
        placements = self.placements(built.number)
        live = open_live(built.directory, self._key)
        live.table.close()
        wanted = {name: placed.source.live() for name, placed in built.placements.items() if placed.out is None}
        if live.number != built.number or dict(live.lists) != wanted or placements != dict(built.placements):
            raise Corrupt(f"generation {built.number}: what lies beside the table is not what was written")

    def reopen(self, number: int, table_sha256: str | None) -> stages.Checked:
        """A generation of an earlier run, read back whole. `table_sha256`: what the record says of it; None: it says nothing.

        Corrupt: it is gone, damaged, or not the one that was recorded.
        """
        placements = self.placements(number)
        live = open_live(self.directory(number), self._key, verify=True)
        entries = live.table.entries
        live.table.close()
        if live.number != number:
            raise Corrupt(f"generation {number}: its manifest is that of generation {live.number}")
        try:
            digest = table_digest(self.directory(number))
        except OSError as error:
            raise Corrupt(f"generation {number}: its table: {error.strerror}") from None
        built = stages.built(number, self.directory(number), placements, frozenset(), entries, table_sha256 or digest)
        return stages.checked(built, digest)

    def table(self, number: int) -> TableFacts:
        """Its size, for people. Corrupt."""
        if number == 0:
            return TableFacts()
        live = open_live(self.directory(number), self._key)
        facts = TableFacts(number, live.table.entries, live.table.bytes)
        live.table.close()
        return facts

    def activate(self, recorded: stages.Recorded) -> None:
        """Make it current. OSError: the disk; the one before stays."""
        number = recorded.built.number
        draft = self.state_dir / f".{CURRENT}{DRAFT}"
        with around(self._steps, Step.CURRENT):
            draft.unlink(missing_ok=True)
            draft.symlink_to(f"generations/{number}")
            # Crash: a draft of the link, replaced at the next try. The record has the generation: the next start makes it current.
            draft.rename(self.state_dir / CURRENT)
            fsync_directory(self.state_dir)
        # Crash: it is in force; workers that did not hear of it read `current` when they start, or are told by the next control.

    def forget(self, number: int) -> None:
        """Remove a generation that is not in force. Errors are left to the next start."""
        shutil.rmtree(self.directory(number), ignore_errors=True)

    def forget_drafts(self) -> None:
        """Remove what a crash left half built."""
        for path in self._home.glob(f"*{DRAFT}"):
            shutil.rmtree(path, ignore_errors=True)

    def next_number(self, recorded: int) -> int:
        """A number that was never used: above the record's last, `current` and everything on the disk."""
        with suppress(Corrupt):
            recorded = max(recorded, self.current())
        return max([recorded, *self.numbers()]) + 1

    def prune(self, current: int, in_use: Collection[int], keep_lists: Iterable[str]) -> None:
        """Remove all but the last few generations, and compiled lists that nothing refers to.

        Never `current`, never one of `in_use` (a worker may still answer from it). `keep_lists`: compiled files that wait for a person.
        """
        with around(self._steps, Step.PRUNED):
            older = [number for number in self.numbers() if number <= current]
            for number in older[:-KEEP_GENERATIONS]:
                if number != current and number not in in_use:
                    self.forget(number)
            # Crash: some are gone, some are not; the next run goes on.
            self._prune_lists(set(keep_lists))

    def _prune_lists(self, keep: set[str]) -> None:
        for number in self.numbers():
            with suppress(Corrupt):
                keep |= {placed.source.compiled for placed in self.placements(number).values()}
        for path in (self.state_dir / "lists").rglob("*"):
            if path.is_file() and str(path.relative_to(self.state_dir)) not in keep:
                path.unlink(missing_ok=True)

    def _assign(self, wanted: Iterable[PolicyKey]) -> dict[PolicyKey, int]:
        path = self.state_dir / "counts" / CELLS_FILE
        known = self._known_cells(path)
        cells = assign(known, wanted)
        if cells != known or not path.exists():
            rows = [[key[0], key[1].value, key[2].value, key[3], key[4], cell] for key, cell in cells.items()]
            durable.replace(path, json.dumps(rows, separators=(",", ":")).encode(), 0o600)
        return cells

    def _known_cells(self, path: Path) -> dict[PolicyKey, int]:
        """All cells ever assigned. A file that cannot be read is made anew from the current generation, whose workers are alive."""
        try:
            rows = json.loads(path.read_bytes())
            return {(ListName(n), Category(c), Action(a), str(stage), bool(shadow)): int(cell) for n, c, a, stage, shadow, cell in rows}
        except FileNotFoundError:
            pass
        except (ValueError, TypeError):
            path.replace(path.with_suffix(".damaged"))
        with suppress(Corrupt):
            return dict(self.cells(self.current()))
        return {}
