"""From a tree of plain values to the types of the schema, with every fault on the way.

The reader walks the schema, not the file: each declared key is looked for, read by its kind, and what is left over is unknown. A value that
can't be read is a fault and its default stands in, so that all other faults are found in the same pass.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from blockd.config.keys import Key, Table, declared
from blockd.config.values import BadValue, described, nearest

if TYPE_CHECKING:
    import pathlib

    from blockd.config.lines import Path
    from blockd.config.tree import Node

FAULTS_MAX = 200  # of one configuration; more help nobody
NAME_SHOWN_MAX = 80  # characters of a key in a message
SAID_MAX = 600  # characters of what is said of it; a value may be quoted there


def dotted(path: Path) -> str:
    """Name a place in a message: ``dns.listen``, ``lists[2].mode`` (counted from 1, as people do)."""
    said = ""
    for step in path:
        name = f"[{step + 1}]" if isinstance(step, int) else step if len(step) <= NAME_SHOWN_MAX else f"{step[:NAME_SHOWN_MAX]}..."
        said += f".{name}" if said and isinstance(step, str) else name
    return said


@dataclass(slots=True)
class Reader:
    """One pass. `bad` holds the paths whose values are stand-ins."""

    root: Node
    base: pathlib.Path
    faults: list[str] = field(default_factory=list)
    bad: set[Path] = field(default_factory=set)

    def fault(self, path: Path, what: str) -> None:
        """Note one fault, at the place of the value or of the table that should hold it."""
        self.bad.add(path)
        if len(what) > SAID_MAX:  # its beginning, and its end, which says what is expected
            what = f"{what[: SAID_MAX // 2]} ... {what[-SAID_MAX // 2 :]}"
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(f"{self.root.find(path).place}: {dotted(path)}: {what}")

    def section(self, cls: type[Any], path: Path, node: Node | None, /, **given: object) -> Any:
        """Read one table of the schema; `node` None: it is not in the file."""
        values: dict[str, Any] = dict(given)
        known: dict[str, dict[str, Any]] = {}
        for attribute, declaration, default in declared(cls):
            name = attribute if isinstance(declaration, Table) else declaration.name or attribute
            outer, _, inner = name.partition(".")
            known.setdefault(outer, {})
            if inner:
                known[outer][inner] = {}
            steps = tuple(name.split("."))
            found = self._step(node, path, steps)
            at = (*path, *steps)
            if isinstance(declaration, Table):
                values[attribute] = self._table(declaration, at, found)
            else:
                values[attribute] = self._key(declaration, at, found, default)
        self._unknown(known, path, node)
        return cls(**values)

    def _step(self, node: Node | None, path: Path, steps: tuple[str, ...]) -> Node | None:
        for depth, step in enumerate(steps):
            if node is None or not isinstance(node.value, dict):
                return None
            node = node.value.get(step)
            inside = depth < len(steps) - 1
            here = (*path, *steps[: depth + 1])
            if inside and node is not None and not isinstance(node.value, dict) and here not in self.bad:
                self.fault(here, f"expected a table, got {described(node.plain())}")
        return node

    def _key(self, declaration: Key, path: Path, node: Node | None, default: Any) -> Any:
        if node is None:
            if declaration.required:
                self.fault(path, f"is missing, for example {path[-1]} = {declaration.example or declaration.kind.form}")
                return declaration.kind.blank
            return default
        try:
            value = declaration.kind.read(node.plain(), self.base)
        except BadValue as error:
            if not declaration.built:
                self.fault(path, "not built yet: remove it")
            for at, what in error.items if declaration.built else ():
                self.fault((*path, at), what)
            if declaration.built and not error.items:
                self.fault(path, str(error))
            return declaration.kind.blank if declaration.required else default
        if not declaration.built and value != default:
            self.fault(path, "not built yet: remove it")
            return default
        return value

    def _table(self, declaration: Table, path: Path, node: Node | None) -> Any:
        if declaration.many:
            return self._many(declaration, path, node)
        if node is not None and not isinstance(node.value, dict):
            if declaration.short is not None:
                try:
                    short = declaration.short(node.plain())
                except BadValue as error:
                    self.fault(path, str(error))
                    return declaration.type()
                if short is not None:
                    return short
            self.fault(path, f"expected a table, got {described(node.plain())}")
            node = None
        return self.section(declaration.type, path, node)

    def _many(self, declaration: Table, path: Path, node: Node | None) -> tuple[Any, ...]:
        if node is None:
            return ()
        if not isinstance(node.value, list):
            self.fault(path, f"expected tables headed [[{dotted(path)}]], got {described(node.plain())}")
            return ()
        items = []
        for at, item in enumerate(node.value):
            here = (*path, at)
            if isinstance(item.value, dict):
                items.append(self.section(declaration.type, here, item))
            else:
                self.fault(here, f"expected a table headed [[{dotted(path)}]], got {described(item.plain())}")
        return tuple(items)

    def _unknown(self, known: dict[str, dict[str, Any]], path: Path, node: Node | None) -> None:
        """Refuse what the schema does not have, with the nearest name that it has."""
        if node is None or not isinstance(node.value, dict):
            return
        for name, inner in node.value.items():
            if name not in known:
                self.fault((*path, name), f"unknown key{nearest(name, tuple(known))}")
            elif known[name]:
                self._unknown(known[name], (*path, name), inner)
