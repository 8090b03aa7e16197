"""The collector of garbage, kept from stopping the loop.

Python's collector looks, now and then, at every container object there is. In a resolver whose upstream is silent that is several thousand
queries with some forty objects each: 36 ms in which nothing is answered, measured under a flood of names that nobody answers. And when it
is idle it is all that was imported: 10 ms.

- What is there when the resolver has started stays for its life: it is set aside, and never looked at again (`gc.freeze`).
- Young objects are collected as ever: that takes well under a millisecond.
- Old ones are looked at when the resolver is quiet. Queries and connections are freed by reference counting when they end, so that there is
  little to find; FULL_AFTER bounds how long it can be put off by a resolver that is never quiet.
"""

from __future__ import annotations

import gc

YOUNG_OBJECTS = 700  # as Python has it: so many new container objects until the youngest are looked at
YOUNG_ROUNDS = 10  # as Python has it: so many looks at the youngest until the next older ones are looked at
FULL_AFTER = 10_000  # looks at those until all are looked at, quiet or not: some 70 million objects that were not freed at once
FULL_EVERY_TICKS = 240  # a minute
QUIET_MAX = 64  # queries and connections, beyond which the resolver is not quiet


class Collector:
    """Python's collector, for one process that answers. Undone by :meth:`release`."""

    def __init__(self) -> None:
        self._before: tuple[int, int, int] | None = None
        self._ticks = 0

    def settle(self) -> None:
        """All that is there now stays."""
        if self._before is None:
            self._before = gc.get_threshold()
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS, YOUNG_ROUNDS, FULL_AFTER)

    def tick(self, busy: int) -> None:
        """Look at everything when a minute has passed since the last time and not much is under way. `busy`: queries and connections."""
        self._ticks += 1
        if self._ticks >= FULL_EVERY_TICKS and busy <= QUIET_MAX:
            self._ticks = 0
            gc.collect()

    def release(self) -> None:
        """Leave the collector as it was."""
        if self._before is not None:
            gc.set_threshold(*self._before)
            gc.unfreeze()
            self._before = None
