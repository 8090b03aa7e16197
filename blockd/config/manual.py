"""What the schema says, written out.

The commented blockd.toml of ``blockd init`` and the reference in Markdown are written here; blockd/cli/man.py makes the manual page
from the same walk. A key that is not built yet is left out of all of them: whoever sets it is told by ``blockd check``.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blockd.config.keys import Key, Table, declared
from blockd.config.schema import Config, MaxChange

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WIDTH_CHARACTERS = 96

MERGING = (
    "blockd reads one file and, beside it, `conf.d/*.toml` in the order of their names. Tables merge; arrays of tables (`[[feeds]]`, `[[lists]]`) append; any "
    "other value that is set twice is a fault, so that the order of files never decides what is enforced. Relative paths start from the folder of the main "
    "file, in `conf.d` too. Unknown keys are faults. `blockd check` prints every fault at once, with its file and line."
)

VALUES = (
    'Sizes (`"256MiB"`: KiB, MiB, GiB), durations (`"1h30m"`: d, h, m, s) and shares (`"25%"`) stand in quotes. Addresses are numbers, never names: '
    '`"192.0.2.1:53"`, `"[2001:db8::1]:53"`.'
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of the reference."""

    name: str
    kind: str
    default: str  # TOML; "" when it is required
    example: str  # TOML
    doc: str


@dataclass(frozen=True, slots=True)
class Section:
    """One table of the reference; `head` as it stands in the file, "" for the keys above all tables."""

    head: str
    doc: str
    many: bool
    entries: tuple[Entry, ...]


def sections() -> Iterator[Section]:
    """Walk the whole schema in its order. Tables that have only keys to come are left out."""
    yield from _sections(Config, "", "Where things are. These keys stand above all tables.", many=False)


def _sections(cls: type[Any], path: str, doc: str, *, many: bool) -> Iterator[Section]:
    entries, inner = [], []
    for attribute, declaration, default in declared(cls):
        if isinstance(declaration, Key):
            if declaration.built:
                entries.append(_entry(attribute, declaration, default))
        elif declaration.type is MaxChange:
            entries.append(_inline(attribute, declaration))
        else:
            inner.append((attribute, declaration))
    if entries:
        yield Section(f"[[{path}]]" if many else f"[{path}]" if path else "", doc, many, tuple(entries))
    for attribute, declaration in inner:
        yield from _sections(declaration.type, f"{path}.{attribute}" if path else attribute, declaration.doc, many=declaration.many)


def _entry(attribute: str, declaration: Key, default: object) -> Entry:
    kind = declaration.kind
    shown = "" if declaration.required else kind.write(default)
    said = kind.form if kind.name == "word" else f"{kind.name}, {kind.form}" if kind.name == "number" else kind.name
    return Entry(declaration.name or attribute, said, shown, declaration.example or shown or kind.form, declaration.doc)


def _inline(attribute: str, declaration: Table) -> Entry:
    pairs = [
        (inner.name or name, inner.kind.write(default)) for name, inner, default in declared(declaration.type) if isinstance(inner, Key)
    ]
    value = "{ " + ", ".join(f"{name} = {said}" for name, said in pairs) + " }"
    return Entry(attribute, "table", value, value, declaration.doc)


# --- the commented file


def toml(values: Mapping[str, str]) -> str:
    """Write a blockd.toml in which every key stands with its documentation.

    `values`: TOML for keys by their full name, ``dns.upstreams``; these are set. All others are comments that show the default, and arrays of
    tables are examples in comments.
    """
    lines = [
        "# The configuration of blockd. Lines that begin with #key are defaults: uncomment to change.",
        "# Check it with `blockd check`; the manual is blockd.toml(5).",
        "",
    ]
    for section in sections():
        lines += _comment(section.doc)
        name = section.head.strip("[]")
        if section.head:
            lines.append(f"#{section.head}" if section.many else section.head)
        for entry in section.entries:
            full = f"{name}.{entry.name}" if name else entry.name
            lines += ["", *_comment(entry.doc)]
            set_to = values.get(full)
            lines.append(
                f"#{entry.name} = {entry.example if section.many else entry.default}" if set_to is None else f"{entry.name} = {set_to}"
            )
        lines += ["", ""]
    return "\n".join(lines).rstrip() + "\n"


def _comment(doc: str) -> list[str]:
    return [
        f"# {line}" for line in textwrap.wrap(doc.replace("`", ""), WIDTH_CHARACTERS - 2, break_long_words=False, break_on_hyphens=False)
    ]


# --- the reference


def markdown() -> str:
    """Write deploy/manual/configuration.md."""
    lines = ["# Configuration", "", "Made from blockd/config/schema.py by `python -m blockd.cli.man deploy`; do not edit it here.", ""]
    lines += [*_wrapped(MERGING), "", *_wrapped(VALUES), ""]
    for section in sections():
        lines += [f"## `{section.head}`" if section.head else "## Above all tables", "", *_wrapped(section.doc), ""]
        for entry in section.entries:
            lines += [f"### `{entry.name}`", "", f"{entry.kind}; {f'default `{entry.default}`' if entry.default else 'required'}"]
            if entry.example not in {entry.default, ""}:
                lines[-1] += f"; for example `{entry.example}`"
            lines += ["", *_wrapped(entry.doc), ""]
    return "\n".join(lines).rstrip() + "\n"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 150, break_long_words=False, break_on_hyphens=False)
