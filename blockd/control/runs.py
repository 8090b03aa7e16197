"""How runs ended, on the disk: ``state_dir/control/outcomes.json``. Figures for status and metrics; nothing is decided by them but an expiry's hour."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from blockd.control import durable
from blockd.control.outcomes import History, dump, load
from blockd.control.steps import Step, around
from blockd.errors import Corrupt

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from blockd.control.steps import Steps
    from blockd.terms import Instant, ListName, Result

LOG = logging.getLogger("blockd.control")


class Runs:
    """The history of every list that was ever looked at."""

    def __init__(self, path: Path, steps: Steps) -> None:
        self._path = path
        self._steps = steps
        self._histories: dict[ListName, History] = {}
        try:
            self._histories = load(path.read_bytes())
        except FileNotFoundError:
            pass
        except (Corrupt, OSError):
            LOG.warning("how earlier update runs ended is not known any more: their figures start again")

    @property
    def histories(self) -> Mapping[ListName, History]:
        """By list."""
        return self._histories

    def note(self, name: ListName, result: Result, now: Instant, expires: Instant | None) -> None:
        """One more run of a list. `expires`: of the metadata that it verified; None: it got none."""
        self._histories[name] = self._histories.get(name, History()).after(result, now, expires)

    def expires(self) -> dict[ListName, Instant]:
        """When the newest verified signatures of each list run out."""
        return {name: history.expires for name, history in self._histories.items() if history.expires is not None}

    def save(self) -> None:
        """Write. A disk that refuses costs figures; a crash costs those of the last run."""
        with suppress(OSError), around(self._steps, Step.OUTCOMES):
            durable.replace(self._path, dump(self._histories))
