"""When each feed is asked again. Pure: the clock and the dice are arguments.

A feed that answers is asked every `every_s`, a tenth sooner or later, so that many gateways do not ask at once. A feed that does not is asked
again after 15 s, doubling up to `every_s`: a short failure must not cost a whole interval, a long one must not become a storm.

    >>> schedule = Schedule.of({"hotline": 600.0})
    >>> schedule.due(Instant(0.0))
    ('hotline',)
    >>> schedule.after("hotline", ok=True, now=Instant(0.0), dice=0.5).next_due()
    600.0
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from blockd.terms import Instant

if TYPE_CHECKING:
    from collections.abc import Mapping

JITTER_SHARE = 0.1
RETRY_FIRST_S = 15.0
NEVER = Instant(float("inf"))
ONCE = Instant(0.0)  # at the first look


@dataclass(frozen=True, slots=True)
class Due:
    """One feed."""

    every_s: float
    at: Instant = ONCE
    failures: int = 0  # in a row


@dataclass(frozen=True, slots=True)
class Schedule:
    """All feeds."""

    feeds: Mapping[str, Due] = field(default_factory=dict)

    @classmethod
    def of(cls, every_s: Mapping[str, float], before: Schedule | None = None) -> Schedule:
        """Feeds of a configuration, each with how often. A feed that `before` knows keeps its time, unless it would come later than it should."""
        known = before.feeds if before else {}
        feeds = {}
        for name, every in every_s.items():
            old = known.get(name)
            feeds[name] = Due(every) if old is None or every < old.every_s else replace(old, every_s=every)
        return cls(feeds)

    def due(self, now: Instant) -> tuple[str, ...]:
        """The feeds to ask now. One that is further off than its interval was set by a clock that has been put back since."""
        return tuple(name for name, feed in self.feeds.items() if feed.at <= now or feed.at - now > feed.every_s * (1 + JITTER_SHARE) + 1)

    def next_due(self) -> Instant:
        """When the first one is due."""
        return min((feed.at for feed in self.feeds.values()), default=NEVER)

    def after(self, name: str, *, ok: bool, now: Instant, dice: float) -> Schedule:
        """With one more answer, or none. `dice`: evenly spread in [0, 1)."""
        feed = self.feeds.get(name)
        if feed is None:
            return self
        failures = 0 if ok else feed.failures + 1
        pause = feed.every_s if ok else min(feed.every_s, RETRY_FIRST_S * 2.0 ** min(failures - 1, 20))
        pause *= 1 + JITTER_SHARE * (2 * dice - 1)
        return Schedule({**self.feeds, name: Due(feed.every_s, Instant(now + pause), failures)})
