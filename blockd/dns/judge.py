"""Decides what the native core leaves open: several entries that speak about one name, and the targets of answers.

Bound to one generation under one set of policies; a swap makes a new one. A combination is decided once and taught to the core, which
answers it by itself from then on. Both sides have limits: the core learns LEARNED_MAX combinations; the decisions that are kept here for
those beyond are RULINGS_MAX, the oldest forgotten first; VERDICTS_MAX different verdicts are made, after which a combination keeps its
verdict and loses its shadow hits. Each limit that is reached is counted as `hits`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from blockd.policy.verdict import ACTION_NUMBERS, decide, matches_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blockd.control.live import LiveGeneration
    from blockd.policy.verdict import NativeVerdict, Policies

Hits = tuple[tuple[int, bool], ...]

LEARNED_MAX = 4096  # combinations, as many as the core has room for
RULINGS_MAX = 8192
VERDICTS_MAX = 16384


class Learner(Protocol):
    """What is taught: the native core."""

    def add_verdict(self, verdict: NativeVerdict, hits: Sequence[tuple[int, bool]] = ()) -> int:
        """Give the verdict a number, and answer `hits` with it."""
        ...


@dataclass(frozen=True, slots=True)
class Ruling:
    """A verdict as the core knows it."""

    number: int  # for Core.blocked and Core.note
    blocks: bool
    counts: bool  # there are shadow hits to note when it does not block


NOTHING = Ruling(-1, blocks=False, counts=False)


class Judge:
    """Verdicts for combinations. `known`: the verdicts that the swap brought, in their order; `reached`: counts the limit `hits`."""

    def __init__(
        self, live: LiveGeneration, policies: Policies, known: Sequence[NativeVerdict], core: Learner, reached: Callable[[], None]
    ) -> None:
        self._live = live
        self._policies = policies
        self._numbers = {verdict: number for number, verdict in enumerate(known)}
        self._core = core
        self._reached = reached
        self._learned = 0
        self._rulings: dict[Hits, Ruling] = {}

    def rule(self, hits: Hits) -> Ruling:
        """Decide about the entries that speak about one name, shallowest first."""
        if not hits:
            return NOTHING
        ruling = self._rulings.pop(hits, None)
        if ruling is None:
            verdict = decide(matches_of(self._live, hits), self._policies).native()
            ruling = Ruling(self._number(verdict, hits), blocks=verdict[0] != ACTION_NUMBERS[None], counts=bool(verdict[3]))
            if len(self._rulings) >= RULINGS_MAX:
                del self._rulings[next(iter(self._rulings))]
                self._reached()
        self._rulings[hits] = ruling
        return ruling

    def rule_name(self, wire: bytes) -> Ruling:
        """Decide about a name from the table itself: for a query that began under another generation."""
        return self.rule(tuple((number, full) for number, _, full in self._live.table.lookup(wire)))

    def _number(self, verdict: NativeVerdict, hits: Hits) -> int:
        if self._learned < LEARNED_MAX:
            self._learned += 1
            return self._core.add_verdict(verdict, hits)
        self._reached()
        if verdict not in self._numbers and len(self._numbers) >= VERDICTS_MAX:
            verdict = (*verdict[:3], ())
        if verdict not in self._numbers:
            self._numbers[verdict] = self._core.add_verdict(verdict)
        return self._numbers[verdict]
