"""How the schema says what a key is.

:func:`key` declares a value of some :class:`Kind`, :func:`table` a table, :func:`tables` an array of tables, each as the default of a
dataclass field. :func:`declared` reads these declarations again.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from blockd.config.values import Kind

T = TypeVar("T")

FIELD = "blockd"
"""Where a dataclass field's metadata holds its :class:`Key` or :class:`Table`."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key: its kind and its documentation. `name` is its name in the file where that is not the field's own."""

    name: str  # "roles.operator" stands in a table of its own
    kind: Kind[Any]
    doc: str
    required: bool = False
    built: bool = True
    example: str = ""  # TOML: shown in place of the default where that says nothing


@dataclass(frozen=True, slots=True)
class Table:
    """One table, or an array of tables when `many`. `short`: reads another value that stands for the whole table."""

    type: type[Any]
    doc: str
    many: bool = False
    short: Callable[[object], object] | None = None


def key(kind: Kind[T], doc: str, default: T | Any = MISSING, *, name: str = "", built: bool = True, example: str = "") -> Any:
    """Declare a key. Without a default it is required. `default` is a value of the kind."""
    return field(default=default, metadata={FIELD: Key(name, kind, doc, default is MISSING, built, example)})


def table(cls: type[T], doc: str, *, short: Callable[[object], object] | None = None) -> Any:
    """Declare a table; left out, it has all of its defaults."""
    return field(default_factory=cls, metadata={FIELD: Table(cls, doc, short=short)})


def tables(cls: type[T], doc: str) -> Any:
    """Declare an array of tables."""
    return field(default=(), metadata={FIELD: Table(cls, doc, many=True)})


def declared(cls: type[Any]) -> Iterator[tuple[str, Key | Table, Any]]:
    """Walk a section's declarations in their order: (field, declaration, default)."""
    for item in fields(cls):
        if FIELD in item.metadata:
            default = item.default_factory() if item.default_factory is not MISSING else item.default
            yield item.name, item.metadata[FIELD], default
