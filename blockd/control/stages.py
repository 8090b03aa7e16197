"""The stages of a new generation as types: ``Built -> Checked -> Admitted -> Recorded``. Only a :class:`Recorded` can be made current.

Each stage holds the one before it and is made by one function here, which takes the one before it and the evidence for the step; so
leaving a step out does not type-check, and making a stage by hand fails at run time (`_seal`). What comes before is
:class:`blockd.feeds.verified.Verified`, of which each list's :class:`~blockd.control.sources.Source` was compiled.

========  ===============================  ======================================================================================
stage     made by                          says
========  ===============================  ======================================================================================
Built     `built`, from Generations.build  the directory is complete and durable under its number
Checked   `checked`, from Generations.check  every octet was read back, and the table says what the lists say
Admitted  `admitted`                       each list whose version changes was judged fit, or approved by a person
Recorded  `recorded`, from the recorder    the audit record has an entry that names this generation and its table's digest
========  ===============================  ======================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from blockd.errors import Corrupt, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from blockd.control.judge import Judgement
    from blockd.control.sources import Placement
    from blockd.terms import ListName


class _Seal:
    """Held by this module alone."""


_SEAL: Final = _Seal()


def _sealed(seal: _Seal) -> None:
    if seal is not _SEAL:
        raise AssertionError("a stage is made by its step alone")


@dataclass(frozen=True, slots=True)
class Built:
    """A generation's directory, complete and durable. Nobody may answer from it yet."""

    number: int
    directory: Path
    placements: Mapping[ListName, Placement]
    changed: frozenset[ListName]  # lists with another version than the generation before, or back in the table
    entries: int
    table_sha256: str  # hex
    _seal: _Seal

    def __post_init__(self) -> None:
        _sealed(self._seal)


@dataclass(frozen=True, slots=True)
class Checked:
    """It was read back from the disk, whole."""

    built: Built
    _seal: _Seal

    def __post_init__(self) -> None:
        _sealed(self._seal)


@dataclass(frozen=True, slots=True)
class Admitted:
    """Every change in it may go live."""

    checked: Checked
    _seal: _Seal

    def __post_init__(self) -> None:
        _sealed(self._seal)


@dataclass(frozen=True, slots=True)
class Recorded:
    """The record has it: it may be made current."""

    admitted: Admitted
    index: int  # of the entry in the record
    _seal: _Seal

    def __post_init__(self) -> None:
        _sealed(self._seal)

    @property
    def built(self) -> Built:
        """The generation."""
        return self.admitted.checked.built


def built(
    number: int, directory: Path, placements: Mapping[ListName, Placement], changed: frozenset[ListName], entries: int, table_sha256: str
) -> Built:
    """For `Generations.build`, after its last fsync and rename."""
    return Built(number, directory, placements, changed, entries, table_sha256, _SEAL)


def checked(stage: Built, table_sha256: str) -> Checked:
    """For `Generations.check`. `table_sha256`: of the octets that were read back. Corrupt when they are not those that were written."""
    if table_sha256 != stage.table_sha256:
        raise Corrupt(f"generation {stage.number}: the table on the disk is not the one that was written")
    return Checked(stage, _SEAL)


def admitted(stage: Checked, judgements: Mapping[ListName, Judgement]) -> Admitted:
    """Raises Refused when a list that changes was not judged, or not found fit."""
    for name in sorted(stage.built.changed):
        judgement = judgements.get(name)
        if judgement is None or not judgement.admitted:
            raise Refused("held", f"{name}: {judgement.why if judgement else 'its change was not judged'}")
    return Admitted(stage, _SEAL)


def recorded(stage: Admitted, index: int) -> Recorded:
    """For the recorder, once the entry is durable."""
    return Recorded(stage, index, _SEAL)
