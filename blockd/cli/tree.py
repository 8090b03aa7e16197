"""The parser as data: what each command takes, for completion scripts and the manual page.

argparse shows its actions nowhere but in private attributes; this is the one file that reads them.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Argument:
    """One option or positional. `values`: the words it takes; `file`: it takes a path; `list`: a list of the configuration."""

    flags: tuple[str, ...]  # () for a positional
    metavar: str  # "" for a flag that takes no value
    help: str
    values: tuple[str, ...] = ()
    file: bool = False
    list: bool = False
    required: bool = False
    many: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """One command, with the words that lead to it: ``("lists", "update")``; () is blockd itself."""

    path: tuple[str, ...]
    help: str
    description: str
    epilog: str
    arguments: tuple[Argument, ...]
    commands: tuple[Command, ...]


def read(parser: argparse.ArgumentParser, path: tuple[str, ...] = (), summary: str = "") -> Command:
    """Read a parser and all below it."""
    arguments, commands = [], []
    for action in parser._actions:  # noqa: SLF001 -- see above
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}  # noqa: SLF001
            commands += [read(inner, (*path, name), helps.get(name, "")) for name, inner in action.choices.items()]
        elif action.help != argparse.SUPPRESS:
            arguments.append(_argument(action, parser))
    return Command(path, summary, parser.description or "", parser.epilog or "", tuple(arguments), tuple(commands))


def _argument(action: argparse.Action, parser: argparse.ArgumentParser) -> Argument:
    values = tuple(map(str, action.choices)) if action.choices else ()
    metavar = "" if action.nargs == 0 else str(action.metavar or ("|".join(values) if values else action.dest.upper()))
    shown = parser._get_formatter()._expand_help(action) if action.help else ""  # noqa: SLF001
    return Argument(
        flags=tuple(action.option_strings),
        metavar=metavar,
        help=shown,
        values=values,
        file=action.type is Path,
        list=metavar == "LIST",
        required=action.required,
        many=action.nargs in {"*", "+"},
    )


def walk(command: Command) -> Iterator[Command]:
    """Go through a command and all below it, in order."""
    yield command
    for inner in command.commands:
        yield from walk(inner)
