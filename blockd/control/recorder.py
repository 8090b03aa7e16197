"""The only writer of the audit record, and with it the only maker of :class:`~blockd.control.stages.Recorded`.

Without a record nothing can go live: when the record was changed from outside (Corrupt) or the disk does not give it (OSError), the recorder opens without
it, says so in `fault`, and every write raises. Answers go on with what is in force. What the disk did not give is asked for again (`open_again`).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from blockd.audit.record import Entry, Event, at
from blockd.audit.store import AuditLog
from blockd.control import stages
from blockd.control.levers import Levers
from blockd.control.steps import Step, around
from blockd.errors import Corrupt, Unavailable
from blockd.terms import Instant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from blockd.control.judge import Judgement
    from blockd.control.steps import Steps
    from blockd.terms import ListName

REASON_MAX_CHARACTERS = 1000


class Recorder:
    """``Recorder(state_dir / "audit", steps)``. Unavailable: another process writes the record."""

    def __init__(self, folder: Path, steps: Steps) -> None:
        self._folder = folder
        self._steps = steps
        self._read()

    def _read(self) -> None:
        self._log: AuditLog | None = None
        self.fault = ""
        self.unreadable = False  # the disk's fault: it may pass
        self.written: Instant | None = None  # when the last entry was
        self.levers = Levers()
        try:
            self._log = AuditLog.open(self._folder)
            for entry in self._log.entries():
                self._fold(entry)
        except Corrupt as error:
            self.fault = str(error)
            self.close()
        except OSError as error:
            self.fault = f"the audit record cannot be read: {error.strerror}: check the disk, and the owner of {self._folder}"
            self.unreadable = True
            self.close()

    def open_again(self) -> bool:
        """Whether the record that the disk did not give is there now. What it says is folded anew."""
        with suppress(Unavailable):
            self._read()
        return self._log is not None

    @property
    def size(self) -> int:
        """Entries in the record."""
        return self._log.size if self._log else 0

    @property
    def root(self) -> str:
        """Its tree's root, hex; "" without a record."""
        return self._log.root if self._log else ""

    def write(self, entry: Entry) -> int:
        """Record it; its index. Durable when this returns. OSError: the disk refuses, and it is not recorded. Corrupt: there is no record."""
        index = self._open().append(entry)
        self._fold(entry)
        return index

    def _fold(self, entry: Entry) -> None:
        self.levers.take(entry)
        self.written = Instant(float(entry.time))

    def write_about(self, entry: Entry) -> None:
        """Record an entry about a list, unless the record says the same already."""
        if self.levers.worth_saying(entry):
            with around(self._steps, Step.RECORDED_LIST):
                self.write(entry)

    def explained(self, entry: Entry, who: str, reason: str) -> Entry:
        """The entry with who asked for it, as a pseudonym, and a commitment to why. Their text stays on the node."""
        actor, commitment = self._open().explain(who, reason[:REASON_MAX_CHARACTERS])
        return replace(entry, actor=actor, reason=commitment)

    def admit(self, checked: stages.Checked, judgements: Mapping[ListName, Judgement]) -> stages.Admitted:
        """Raises Refused when a list that changes was not found fit, Unavailable when there is no record that it could be entered in."""
        self._open()
        return stages.admitted(checked, judgements)

    def record(self, admitted: stages.Admitted, about: Sequence[Entry], now: Instant) -> stages.Recorded:
        """The entries about each list that changes, then the one about the generation, which makes it fit to be made current.

        OSError, Corrupt: it is not recorded, and must be forgotten.
        """
        for entry in about:
            with around(self._steps, Step.RECORDED_LIST):
                self.write(entry)
        # Crash: entries that name a generation which has no entry of its own. It never goes live, and the record shows that.
        built = admitted.checked.built
        entry = Entry(Event.GENERATION, at(now), generation=built.number, table=built.table_sha256, entries=built.entries)
        with around(self._steps, Step.RECORDED):
            index = self.write(entry)
        # Crash: the record has it, `current` does not. The next start finishes it.
        return stages.recorded(admitted, index)

    def recorded_before(self, checked: stages.Checked) -> stages.Recorded:
        """A generation that the record has since an earlier run. Corrupt: it does not, or with another table."""
        built = checked.built
        if self.levers.digests.get(built.number) != built.table_sha256:
            raise Corrupt(f"generation {built.number} is not in the audit record")
        return stages.recorded(stages.admitted(checked, {}), self.levers.indexes[built.number])

    def close(self) -> None:
        """Let go of the record."""
        if self._log:
            with suppress(OSError):
                self._log.close()
        self._log = None

    def _open(self) -> AuditLog:
        if self._log is None:
            raise Unavailable(self.fault or "the audit record is closed")
        return self._log
