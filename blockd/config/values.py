"""What a value may be: one :class:`Kind` for each sort of value, which reads it, writes it, and names it in the manual.

A kind's `read` takes what TOML gave (text, number, list, table as plain Python values) and returns the typed value, or raises
:class:`BadValue` with a phrase that says what was expected. Nothing is guessed: a size without its unit, a bare number of seconds or a
network with host bits is refused. `write` gives the TOML spelling of a typed value; reading it again gives the same value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

T = TypeVar("T")
E = TypeVar("E", bound=Enum)

TEXT_MAX_CHARACTERS = 4096
ITEMS_MAX = 4096  # of one array


class BadValue(ValueError):
    """The value is not of its kind. The message continues ``key: ``. `items`: which items of an array are bad, and why."""

    def __init__(self, message: str, items: Sequence[tuple[int, str]] = ()) -> None:
        super().__init__(message)
        self.items = tuple(items)


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """One sort of value. `name` and `form` are for the manual: ``size`` and ``"256MiB"``."""

    name: str
    form: str
    read: Callable[[object, Path], T]  # (TOML value, folder that relative paths start from)
    write: Callable[[T], str]
    blank: object = ""  # stands in for a required value that is missing, so that the other checks can go on


# --- TOML spelling


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def quoted(text: object) -> str:
    """Write a TOML basic string."""
    return '"' + "".join(_ESCAPES.get(c) or (c if c.isprintable() else f"\\U{ord(c):08x}") for c in str(text)) + '"'


def array(items: Sequence[object]) -> str:
    """Write a TOML array of strings."""
    return "[" + ", ".join(map(quoted, items)) + "]"


def nearest(word: str, known: Sequence[str]) -> str:
    """Say which known word was perhaps meant, ``; did you mean "enforce"?``, or nothing."""
    close = get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return f'; did you mean "{close[0]}"?' if close else ""


# --- plain values


def expect_text(value: object) -> str:
    """Take a string of reasonable length without control characters."""
    if not isinstance(value, str):
        raise BadValue(f"expected text in quotes, got {described(value)}")
    if len(value) > TEXT_MAX_CHARACTERS:
        raise BadValue(f"is longer than {TEXT_MAX_CHARACTERS} characters")
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise BadValue("holds a control character")
    return value


def described(value: object) -> str:
    """Name the TOML type of a value, without the value."""
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "an array", dict: "a table"}
    return names.get(type(value), "a date or time")


def text(form: str, pattern: str = "", expected: str = "", *, empty: bool = True) -> Kind[str]:
    """Make a kind for text; with `pattern`, text that matches it or, unless `empty` is False, is empty."""
    matches = re.compile(pattern).fullmatch if pattern else None

    def read(value: object, _base: Path) -> str:
        said = expect_text(value)
        if (said or not empty) and matches and not matches(said):
            raise BadValue(f"{quoted(said)} is not {expected}")
        return said

    return Kind("text", form, read, quoted)


def name(form: str, pattern: str, expected: str) -> Kind[str]:
    """Make a kind for a name that must be there."""
    optional = text(form, pattern, expected)

    def read(value: object, base: Path) -> str:
        said = optional.read(value, base)
        if not said:
            raise BadValue(f"is empty: expected {expected}")
        return said

    return Kind("name", form, read, quoted)


def whole(low: int, high: int, why: str = "") -> Kind[int]:
    """Make a kind for a whole number between two bounds, both included."""

    def read(value: object, _base: Path) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise BadValue(f"expected a whole number, got {described(value)}")
        if not low <= value <= high:
            raise BadValue(f"{value} is not between {low} and {high}{why}")
        return value

    return Kind("number", f"{low} to {high}", read, str)


def choice(*words: str) -> Kind[str]:
    """Make a kind for one of a few words."""

    def read(value: object, _base: Path) -> str:
        said = expect_text(value)
        if said not in words:
            raise BadValue(f"{quoted(said)} is not one of {', '.join(words)}{nearest(said, words)}")
        return said

    return Kind("word", " | ".join(quoted(w) for w in words), read, quoted)


def member(enum: type[E]) -> Kind[E]:
    """Make a kind for one of an enumeration's words."""
    words = choice(*(str(item.value) for item in enum))

    def read(value: object, base: Path) -> E:
        return enum(words.read(value, base))

    return Kind("word", words.form, read, lambda item: quoted(item.value))


def member_or(word: str, enum: type[E]) -> Kind[E | None]:
    """Make a kind for one of an enumeration's words, or `word`, which is None."""
    words = choice(word, *(str(item.value) for item in enum))

    def read(value: object, base: Path) -> E | None:
        said = words.read(value, base)
        return None if said == word else enum(said)

    return Kind("word", words.form, read, lambda item: quoted(item.value if item else word))


def several(kind_name: str, form: str, read_one: Callable[[str], T]) -> Kind[tuple[T, ...]]:
    """Make a kind for an array of texts, each read by `read_one`. The same value twice is refused."""

    def read(value: object, _base: Path) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise BadValue(f"expected an array, such as {form}, got {described(value)}")
        if len(value) > ITEMS_MAX:
            raise BadValue(f"has more than {ITEMS_MAX} items")
        items: dict[T, int] = {}
        wrong: list[tuple[int, str]] = []
        for at, item in enumerate(value):
            try:
                one = read_one(expect_text(item))
            except BadValue as error:
                wrong.append((at, str(error)))
                continue
            if one in items:
                wrong.append((at, f"{quoted(one)} is there twice"))
            items[one] = at
        if wrong:
            raise BadValue(wrong[0][1], wrong)
        return tuple(items)

    return Kind(kind_name, form, read, array)


TEXTS = several("texts", "[]", str)


# --- quantities

_SIZES = {"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10}
_DURATIONS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_SIZE = re.compile(r"([0-9]{1,12})(KiB|MiB|GiB)").fullmatch
_DURATION = re.compile(r"(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?").fullmatch
_SHARE = re.compile(r"([0-9]{1,4}(?:\.[0-9]{1,6})?) ?%").fullmatch


def write_size(octets: int) -> str:
    """Write octets with the largest unit that divides them: 268435456 is ``"256MiB"``."""
    unit = next(u for u in _SIZES if octets % _SIZES[u] == 0)
    return quoted(f"{octets // _SIZES[unit]}{unit}")


def size(low: int, high: int) -> Kind[int]:
    """Make a kind for octets with a binary unit."""

    def read(value: object, _base: Path) -> int:
        found = _SIZE(expect_text(value)) if isinstance(value, str) else None
        if not found:
            raise BadValue('expected a size in quotes, such as "256MiB" (KiB, MiB, GiB)')
        octets = int(found[1]) * _SIZES[found[2]]
        if not low <= octets <= high:
            raise BadValue(f"{quoted(value)} is not between {write_size(low)} and {write_size(high)}")
        return octets

    return Kind("size", '"256MiB"', read, write_size)


def write_duration(seconds: float) -> str:
    """Write whole seconds: 5400.0 is ``"1h30m"``."""
    left, said = int(seconds), ""
    for unit, length in _DURATIONS.items():
        if left >= length:
            said += f"{left // length}{unit}"
            left %= length
    return quoted(said or "0s")


def duration(low: float, high: float, why: str = "") -> Kind[float]:
    """Make a kind for a time in days, hours, minutes and seconds, in that order; in seconds when read."""

    def read(value: object, _base: Path) -> float:
        found = _DURATION(expect_text(value)) if value and isinstance(value, str) else None
        if not found:
            raise BadValue('expected a duration in quotes, such as "10m" or "1h30m" (d, h, m, s)')
        seconds = float(sum(int(n) * u for n, u in zip(found.groups("0"), _DURATIONS.values(), strict=True)))
        if not low <= seconds <= high:
            raise BadValue(f"{quoted(value)} is not between {write_duration(low)} and {write_duration(high)}{why}")
        return seconds

    return Kind("duration", '"10m"', read, write_duration)


def read_share(value: object, _base: Path) -> float:
    """Read ``"25%"`` as 0.25."""
    found = _SHARE(value) if isinstance(value, str) else None
    if not found:
        raise BadValue('expected a share in quotes, such as "25%"')
    return float(found[1]) / 100


SHARE: Kind[float] = Kind("share", '"25%"', read_share, lambda share: quoted(f"{round(share * 100, 6):g}%"))
