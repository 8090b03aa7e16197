"""How update runs of each list ended: the last word, the last success, and how often each.

Kept in ``state_dir/control/outcomes.json`` for status and metrics, so that a restart does not blank the dashboard. It decides nothing: what was
enforced when is told by the audit record, and a damaged or lost file costs figures only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from blockd.errors import Corrupt
from blockd.terms import Instant, ListName, Result

if TYPE_CHECKING:
    from collections.abc import Mapping

GOOD = frozenset({Result.APPLIED, Result.NOT_MODIFIED})
VERSION = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one run ended for one list. `detail`: one line for a person, "" when there is nothing to say."""

    list: ListName
    result: Result
    generation: int  # in force when the run ended
    version: int  # of the list in it; 0: none
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Applied or unchanged: exit 0."""
        return self.result in GOOD

    def json(self) -> dict[str, object]:
        """What ``lists update --json`` prints."""
        return {
            "list": self.list,
            "result": self.result.value,
            "generation": self.generation,
            "version": self.version,
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True)
class History:
    """All runs of one list."""

    last_result: Result | None = None
    last_success: Instant | None = None
    expires: Instant | None = None  # of the newest verified metadata
    updates: Mapping[Result, int] = field(default_factory=dict)

    def after(self, result: Result, now: Instant, expires: Instant | None = None) -> History:
        """With one more run."""
        return replace(
            self,
            last_result=result,
            last_success=now if result in GOOD else self.last_success,
            expires=self.expires if expires is None else expires,
            updates={**self.updates, result: self.updates.get(result, 0) + 1},
        )


def dump(histories: Mapping[ListName, History]) -> bytes:
    """The file. Whole seconds."""
    rows = {
        name: {
            "last_result": h.last_result and h.last_result.value,
            "last_success": None if h.last_success is None else int(h.last_success),
            "expires": None if h.expires is None else int(h.expires),
            "updates": {result.value: count for result, count in h.updates.items()},
        }
        for name, h in histories.items()
    }
    return json.dumps({"version": VERSION, "lists": rows}, sort_keys=True, separators=(",", ":")).encode()


def load(data: bytes) -> dict[ListName, History]:
    """The inverse. Corrupt."""
    try:
        value = json.loads(data)
        if value["version"] != VERSION:
            raise Corrupt("the outcomes are of another version")
        return {ListName(name): _history(row) for name, row in value["lists"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Corrupt(f"the outcomes of update runs are damaged ({type(error).__name__})") from None


def _history(row: dict[str, Any]) -> History:
    return History(
        last_result=None if row["last_result"] is None else Result(row["last_result"]),
        last_success=None if row["last_success"] is None else Instant(float(row["last_success"])),
        expires=None if row["expires"] is None else Instant(float(row["expires"])),
        updates={Result(result): int(count) for result, count in row["updates"].items()},
    )
