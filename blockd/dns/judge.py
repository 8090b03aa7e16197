"""Decides what the native core leaves open: several entries that speak about one name, and the targets of answers.

Bound to one generation under one set of policies; a swap makes a new one. Combinations are few in practice, so each is decided once
and remembered; the numbers that the core gives stay valid until the next swap. Both memories have a limit: COMBINATIONS_MAX forgets
the oldest, VERDICTS_MAX leaves out the shadow hits of combinations that come later (the verdict itself always holds).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from blockd.policy.verdict import ACTION_NUMBERS, decide, matches_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blockd.control.live import LiveGeneration
    from blockd.policy.verdict import NativeVerdict, Policies

Hits = tuple[tuple[int, bool], ...]

COMBINATIONS_MAX = 4096
VERDICTS_MAX = 16384


@dataclass(frozen=True, slots=True)
class Ruling:
    """A verdict as the core knows it."""

    number: int  # for Core.blocked and Core.note; -1: there is nothing to count
    blocks: bool


NOTHING = Ruling(-1, blocks=False)


class Judge:
    """Verdicts for combinations. `add`: ``Core.add_verdict``; `known`: the verdicts that the swap brought, in their order."""

    def __init__(
        self,
        live: LiveGeneration,
        policies: Policies,
        known: Sequence[NativeVerdict],
        add: Callable[[NativeVerdict], int],
        reached: Callable[[], None],
    ) -> None:
        self._live = live
        self._policies = policies
        self._numbers = {verdict: number for number, verdict in enumerate(known)}
        self._add = add
        self._reached = reached  # counts the limit "hits"
        self._rulings: dict[Hits, Ruling] = {}

    def rule(self, hits: Hits) -> Ruling:
        """Decide about the entries that speak about one name, shallowest first."""
        if not hits:
            return NOTHING
        ruling = self._rulings.pop(hits, None)
        if ruling is None:
            matches = matches_of(self._live, hits)
            ruling = self._ruling(decide(matches, self._policies).native())
            if len(self._rulings) >= COMBINATIONS_MAX:
                del self._rulings[next(iter(self._rulings))]
                self._reached()
        self._rulings[hits] = ruling
        return ruling

    def rule_name(self, wire: bytes) -> Ruling:
        """Decide about a name from the table itself: for a query that began under another generation."""
        return self.rule(tuple((number, full) for number, _, full in self._live.table.lookup(wire)))

    def _ruling(self, verdict: NativeVerdict) -> Ruling:
        if verdict == (ACTION_NUMBERS[None], -1, -1, ()):
            return NOTHING
        if verdict not in self._numbers:
            if len(self._numbers) >= VERDICTS_MAX:
                self._reached()
                verdict = (*verdict[:3], ())
            if verdict not in self._numbers:
                self._numbers[verdict] = self._add(verdict)
        return Ruling(self._numbers[verdict], blocks=verdict[0] != ACTION_NUMBERS[None])
