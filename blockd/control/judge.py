"""May this version of a list go live without a person? The rails that look at a whole update.

Rows that the name rails protect were dropped while the list was compiled (policy/rails.py); they are counted, and an alarm says so. Here:

- more than 1 % of the rows are malformed: held. The file is probably not in the format that its metadata declares;
- the change exceeds what the operator allows: held. ``max(floor, share of the entries now enforced)``, for additions and removals
  apart. A first version is exempt: there is nothing to compare it with;
- nothing is left because every row is malformed or protected: refused, approval does not help (an empty list would unblock everything).

A person with the approver's role can let a held version go live as it is.

    >>> judge(Change(added=60, removed=0, enforced=100, entries=160, rows=160), MaxChange(), "hotline/x").result
    <Result.CHANGE_CAP: 'change_cap'>
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from blockd.terms import Result

if TYPE_CHECKING:
    from blockd.config.schema import MaxChange

BAD_SHARE_MAX = 0.01


@dataclass(frozen=True, slots=True)
class Change:
    """What an update would do to one list. Counts of entries and of rows."""

    added: int
    removed: int
    enforced: int | None  # entries of the version that it replaces; None: there is none
    entries: int
    rows: int
    bad: int = 0
    protected: int = 0


@dataclass(frozen=True, slots=True)
class Judgement:
    """`result` None: it may go live. Else the word for it, and a sentence that says what to do."""

    result: Result | None = None
    why: str = ""

    @property
    def admitted(self) -> bool:
        """It may go live."""
        return self.result is None

    @property
    def held(self) -> bool:
        """It waits for a person."""
        return self.result in {Result.CHANGE_CAP, Result.HELD}


ADMITTED = Judgement()


def cap(share: float, floor: int, enforced: int) -> int:
    """How many entries may change."""
    return max(floor, int(share * enforced))


def judge(  # noqa: PLR0911 -- one return a rule
    change: Change, limits: MaxChange, name: str, *, approved: bool = False, by_itself: bool = False
) -> Judgement:
    """Decide, by the rules above. `approved`: a person has let this very version go live. `by_itself`: rows ran out by their own signed date."""
    if change.bad and not change.entries:
        return Judgement(
            Result.SHAPE, f"none of its {change.rows} rows is an entry: it is not what its metadata says it is, the publisher must mend it"
        )
    if change.protected and not change.entries:
        return Judgement(Result.PROTECTED, "every row is a name that the rails protect: the publisher must mend the list")
    if approved:
        return ADMITTED
    if change.bad > change.rows * BAD_SHARE_MAX:
        return Judgement(
            Result.HELD, f"{change.bad} of {change.rows} rows are malformed, more than 1 %: look at them, then blockd lists approve {name}"
        )
    if change.enforced is None or by_itself:
        return ADMITTED
    for verb, count, share in (("adds", change.added, limits.add), ("removes", change.removed, limits.remove)):
        allowed = cap(share, limits.floor, change.enforced)
        if count > allowed:
            return Judgement(
                Result.CHANGE_CAP,
                f"it {verb} {count} entries where {change.enforced} are enforced and at most {allowed} may change: blockd lists approve {name}",
            )
    return ADMITTED
