"""A line for each step, with the share that is done and the time that is left."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Progress:
    """``parts``: name -> the seconds that it takes on a machine like that of the last figures; this run's own pace corrects them."""

    def __init__(self, parts: Mapping[str, float]) -> None:
        self._parts = dict(parts)
        self._all_s = sum(parts.values()) or 1.0
        self._done_s, self._spent_s = 0.0, 0.0
        self._begin = time.monotonic()
        self._name = ""

    def begin(self, name: str) -> None:
        """The next part."""
        self._name, self._begin = name, time.monotonic()

    def end(self) -> None:
        """It is over."""
        self._spent_s += time.monotonic() - self._begin
        self._done_s += self._parts.get(self._name, 0.0)

    def left_s(self) -> float:
        """The seconds that are left."""
        here = time.monotonic() - self._begin
        pace = min(4.0, max(0.25, (self._spent_s + 30) / (self._done_s + 30)))  # the first parts say little about the whole
        return max((self._all_s - self._done_s) * pace - here, 0.0)

    def say(self, text: str) -> None:
        """One line, at once."""
        minutes, seconds = divmod(int(self.left_s()), 60)
        print(f"[{self._name}, {minutes}:{seconds:02} left] {text}", flush=True)
