"""TOML with positions: text to a tree whose every value knows its file and line, and several trees to one.

How files are merged (blockd.toml first, then conf.d/*.toml in the order of their names):

- tables merge, key by key;
- arrays of tables append (``[[feeds]]`` and ``[[lists]]`` may stand in several files);
- any other value that is set twice is a fault, even with the same value: the order of files must not decide what is enforced.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import Any

from blockd.config.lines import Path, index

DEPTH_MAX = 16  # of nested tables and arrays; the schema needs 5
_DEEP_KEY = re.compile(r"^[ \t\[]*(?:[A-Za-z0-9_-]+[ \t]*\.[ \t]*){256}", re.MULTILINE)
"""A key of more names than a domain name has: tomllib takes time with the square of their number, 25 s for 20,000."""


@dataclass(slots=True)
class Node:
    """One value: a dict or list of nodes, or a plain value. Tables and arrays of tables are grown by :func:`merge`."""

    value: Any
    file: str
    line: int

    @property
    def place(self) -> str:
        """``blockd.toml:12``."""
        return f"{self.file}:{self.line}"

    def plain(self) -> object:
        """Give the value without positions, as tomllib gave it."""
        if isinstance(self.value, dict):
            return {name: node.plain() for name, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def find(self, path: Path) -> Node:
        """Go down as far as the path leads: the place to show for it."""
        node = self
        for step in path:
            inner = node.value
            below: Node | None = None
            if isinstance(inner, dict):
                below = inner.get(step)
            elif isinstance(inner, list) and isinstance(step, int) and step < len(inner):
                below = inner[step]
            if below is None:
                break
            node = below
        return node


_AT_LINE = re.compile(r" \(at line ([0-9]+), column [0-9]+\)$")


def parse(file: str, data: bytes) -> tuple[Node | None, list[str]]:
    """Read one file's bytes. Never raises: what is wrong with it is a fault."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return None, [f"{file}:{line}: is not UTF-8: save the file as UTF-8"]
    if deep := _DEEP_KEY.search(text):
        return None, [f"{file}:{text.count(chr(10), 0, deep.start()) + 1}: tables or arrays are nested more than {DEPTH_MAX} deep"]
    try:
        document = tomllib.loads(text)
        if _depth(document) > DEPTH_MAX:
            return None, [f"{file}:1: tables or arrays are nested more than {DEPTH_MAX} deep"]
        lines = index(text)
    except RecursionError:
        return None, [f"{file}:1: tables or arrays are nested more than {DEPTH_MAX} deep"]
    except ValueError as error:  # TOMLDecodeError, and numbers that are too long for Python
        return None, [_syntax(file, text, str(error))]
    return _plant(document, (), lines, file, 1), []


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


def _syntax(file: str, text: str, said: str) -> str:
    """Put tomllib's message into our form; "at end of document" is the last line."""
    found = _AT_LINE.search(said)
    line = int(found[1]) if found else max(1, len(text.splitlines()))
    what = said[: found.start()] if found else said
    printable = "".join(c if c.isprintable() else "?" for c in what[:200])
    return f"{file}:{line}: not TOML: {printable[:1].lower()}{printable[1:]}"


def _plant(value: object, path: Path, lines: dict[Path, int], file: str, above: int) -> Node:
    line = lines.get(path, above)
    if isinstance(value, dict):
        return Node({name: _plant(item, (*path, name), lines, file, line) for name, item in value.items()}, file, line)
    if isinstance(value, list):
        return Node([_plant(item, (*path, at), lines, file, line) for at, item in enumerate(value)], file, line)
    return Node(value, file, line)


def _is_array_of_tables(node: Node) -> bool:
    return isinstance(node.value, list) and bool(node.value) and all(isinstance(item.value, dict) for item in node.value)


def merge(into: Node, other: Node, name: str = "") -> list[str]:
    """Add another file's table to a table. Returns the faults."""
    faults: list[str] = []
    for key, node in other.value.items():
        dotted = f"{name}.{key}" if name else str(key)
        there = into.value.get(key)
        if there is None:
            into.value[key] = node
        elif isinstance(there.value, dict) and isinstance(node.value, dict):
            faults += merge(there, node, dotted)
        elif _is_array_of_tables(there) and _is_array_of_tables(node):
            there.value.extend(node.value)
        else:
            faults.append(f"{node.place}: {dotted}: already set at {there.place}: keep one of them")
    return faults
