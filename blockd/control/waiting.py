"""List versions that wait for a person: compiled, not admitted. ``state_dir/held/FEED/LIST.json``, one a list, the newest.

What is held changes nothing in force. A damaged or lost file costs a download: the next update run compiles the version again and holds it
again.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from blockd.control import durable
from blockd.control.sources import dump_held, load_held
from blockd.control.steps import Step, around
from blockd.errors import Corrupt

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from blockd.control.sources import Source
    from blockd.control.steps import Steps
    from blockd.terms import ListName

LOG = logging.getLogger("blockd.control")


class Waiting:
    """All of them, as on the disk."""

    def __init__(self, state_dir: Path, steps: Steps) -> None:
        self._home = state_dir / "held"
        self._steps = steps
        self._sources: dict[ListName, Source] = {}
        for path in sorted(self._home.glob("*/*.json")):
            try:
                source = load_held(path.read_bytes())
                self._sources[source.name] = source
            except (Corrupt, OSError):
                LOG.warning("a held list version cannot be read and is fetched again: %s", path.stem)
                with suppress(OSError):
                    path.unlink()

    @property
    def sources(self) -> Mapping[ListName, Source]:
        """What waits, by list."""
        return self._sources

    def get(self, name: ListName) -> Source | None:
        """What waits of a list."""
        return self._sources.get(name)

    def put(self, source: Source) -> None:
        """Remember; the version of that list that waited before is forgotten. OSError: the disk."""
        path = self._path(source.name)
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        with around(self._steps, Step.HELD):
            durable.replace(path, dump_held(source))
        # Crash: it is held, and the record does not say so yet; the next run holds it again and says it.
        self._sources[source.name] = source

    def forget(self, name: ListName) -> None:
        """It went live, or a newer one did. Errors cost an alarm that is not true, until the next start."""
        if self._sources.pop(name, None) is not None:
            with suppress(OSError), around(self._steps, Step.RELEASED):
                durable.remove(self._path(name))
            # Crash before: a held version that is in force already; the next start forgets it.

    def _path(self, name: ListName) -> Path:
        return self._home / f"{name}.json"
