"""What the audit record says about now: the record is read from its first entry and folded into the levers that are set.

There is no second file that could say otherwise: a lever is set when its entry is durable. Crash between the entry and what follows from it: the next
start folds the same entry and brings the generation into line.

======================  ==============================================================================================
entry                   what follows
======================  ==============================================================================================
hold                    the list takes no updates until `resumed`
killed                  the list is not enforced until `until`, or until `resumed`
resumed                 both are over; with code `lapsed` only the kill, which had run out
approved                that very version (digest and number) may go live
rolled_back             as `hold`: else the next run would bring back what was rolled back
generation              that number is used; it may be made current (its table's digest is in the entry)
abandoned               that generation may not be made current after all
activated               every worker answers from it
policy                  what the configuration wanted of a list, so that only a change is recorded
refused, held           the last thing that was said about a list, so that it is not said once a minute
======================  ==============================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blockd.audit.record import Entry, Event
from blockd.terms import Instant, ListName

if TYPE_CHECKING:
    from collections.abc import Iterable

SAY_AGAIN_S = 86400.0
"""A refusal that repeats is recorded once a day."""

DIGESTS_MAX = 64
"""Tables' digests that are remembered: more than are ever on the disk."""

APPROVALS_MAX = 1000
LAPSED = "lapsed"

SPOKEN = frozenset({Event.REFUSED, Event.HELD, Event.APPLIED, Event.UNCHANGED})
TROUBLE = frozenset({Event.REFUSED, Event.HELD})


@dataclass(slots=True)
class Levers:
    """The fold. Fed with every entry in order by :class:`blockd.control.recorder.Recorder`."""

    holds: set[ListName] = field(default_factory=set)
    kills: dict[ListName, Instant] = field(default_factory=dict)
    approvals: dict[tuple[ListName, int, str], None] = field(default_factory=dict)  # (list, version, sha256), oldest first
    said: dict[ListName, Entry] = field(default_factory=dict)  # the last of SPOKEN
    generation: int = 0  # the last that was recorded
    activated: int = 0  # the last that every worker confirmed
    digests: dict[int, str] = field(default_factory=dict)  # generation -> its table's SHA-256, the newest last
    indexes: dict[int, int] = field(default_factory=dict)  # generation -> its entry's place in the record
    policies: dict[ListName, tuple[str, str]] = field(default_factory=dict)  # (mode, digest) as recorded last
    software: str = ""
    size: int = 0  # entries that were folded

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Levers:
        """Of a whole record."""
        levers = cls()
        for entry in entries:
            levers.take(entry)
        return levers

    def take(self, entry: Entry) -> None:
        """One more entry."""
        index, self.size = self.size, self.size + 1
        if entry.list is not None:
            self._take_list(entry, entry.list)
        if entry.event is Event.GENERATION and entry.generation and entry.table:
            self.generation = max(self.generation, entry.generation)
            self.digests[entry.generation] = entry.table
            self.indexes[entry.generation] = index
            for number in list(self.digests)[:-DIGESTS_MAX]:
                del self.digests[number], self.indexes[number]
        elif entry.event is Event.ABANDONED and entry.generation:
            self.digests.pop(entry.generation, None)
            self.indexes.pop(entry.generation, None)
        elif entry.event is Event.ACTIVATED and entry.generation:
            self.activated = entry.generation
        elif entry.event is Event.START:
            self.software = entry.software or ""

    def _take_list(self, entry: Entry, name: ListName) -> None:
        if entry.event is Event.HOLD or entry.event is Event.ROLLED_BACK:
            self.holds.add(name)
        elif entry.event is Event.KILLED and entry.until is not None:
            self.kills[name] = Instant(float(entry.until))
        elif entry.event is Event.RESUMED:
            self.kills.pop(name, None)
            if entry.code != LAPSED:
                self.holds.discard(name)
        elif entry.event is Event.APPROVED and entry.version is not None and entry.sha256:
            self.approvals[name, entry.version, entry.sha256] = None
            for key in list(self.approvals)[:-APPROVALS_MAX]:
                del self.approvals[key]
        elif entry.event is Event.POLICY:
            self.policies[name] = (entry.mode or "", entry.code or "")
        elif entry.event in SPOKEN:
            self.said[name] = entry

    def killed(self, name: ListName, now: Instant) -> bool:
        """Whether the list is switched off now."""
        return self.kills.get(name, now) > now

    def approved(self, name: ListName, version: int, sha256: str) -> bool:
        """Whether a person has let this very version go live."""
        return (name, version, sha256) in self.approvals

    def worth_saying(self, entry: Entry) -> bool:
        """Whether an entry about a list's trouble says something that the record does not have yet."""
        last = self.said.get(entry.list) if entry.list else None
        if entry.event is Event.UNCHANGED:
            return last is not None and last.event in TROUBLE
        if last is None or entry.time - last.time >= SAY_AGAIN_S or entry.time < last.time:
            return True
        return (entry.event, entry.code, entry.version, entry.sha256) != (last.event, last.code, last.version, last.sha256)
