"""What all commands share: how they parse, how they fail, how they print.

A module of a command has ``add_parser(subparsers)`` and ``run(args) -> int``; :mod:`blockd.cli.main` finds it. Arguments that several commands take
are added by the helpers here, so that ``-c`` and ``--json`` mean the same everywhere.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from _typeshed import SupportsWrite

    from blockd.config.schema import Config

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 -- argparse has no public name for it

CONFIG = Path("/etc/blockd/blockd.toml")

EXIT_DONE = 0
EXIT_NO = 1
EXIT_USAGE = 2


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Help in which descriptions and examples keep their lines."""

    def __init__(self, prog: str) -> None:
        """Leave room for ``-c FILE, --config FILE`` before the help column."""
        super().__init__(prog, max_help_position=32, width=100)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line that says what to do next, and that takes no abbreviated options.

    A script that says ``--reas`` would break on the day that a second option begins so.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As argparse's; subparsers are made by this class too."""
        kwargs.setdefault("formatter_class", Formatter)
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        """Print, and let the caller know when nobody reads any more: argparse would say nothing."""
        (file or sys.stderr).write(message)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong on one line and exit 2."""
        self.exit(EXIT_USAGE, f"{self.prog}: {_plainer(message, self)}. Try '{self.prog} --help'.\n")


_INVALID_CHOICE = re.compile(r"argument (.+?): invalid choice: (.+?) \(choose from (.+)\)", re.DOTALL)
_UNRECOGNIZED = re.compile(r"unrecognized arguments: (.+)", re.DOTALL)


def _plainer(message: str, parser: argparse.ArgumentParser) -> str:
    """Put argparse's words into a line with the nearest known word."""
    if found := _INVALID_CHOICE.fullmatch(message):
        what, given, known = found[1], found[2].strip("'\""), [w.strip("'\" ") for w in found[3].split(",")]
        kind = what.partition("/")[2] or what
        return f"{one_line(given)!r} is no {kind}; there are: {', '.join(known)}{did_you_mean(given, known)}"
    if found := _UNRECOGNIZED.fullmatch(message):
        options = [o for action in parser._actions for o in action.option_strings]  # noqa: SLF001 -- argparse shows them nowhere else
        first = found[1].split()[0] if found[1].split() else ""
        return f"does not take {one_line(found[1])}{did_you_mean(first.partition('=')[0], options)}"
    return one_line(message)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean lookup?`` or nothing."""
    from difflib import get_close_matches  # --help does not pay for it

    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def one_line(text: object) -> str:
    """Make any text fit to be one line of a terminal: no control characters, no line ends."""
    return "".join(c if c.isprintable() else " " for c in str(text))


def add_config(parser: argparse.ArgumentParser) -> None:
    """``-c FILE``."""
    parser.add_argument("-c", "--config", type=Path, default=CONFIG, metavar="FILE", help=f"the configuration (default: {CONFIG})")


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def read_config(args: argparse.Namespace) -> Config:
    """Load the configuration that ``-c`` names. Raises Misconfigured with every fault."""
    from blockd.config.load import load

    return load(args.config)


def print_json(value: Mapping[str, object]) -> None:
    """Print one object on one line, ready for jq."""
    import json  # --help does not pay for it

    print(json.dumps(value, ensure_ascii=False))


def say(text: str) -> None:
    """Print one line about what happened to the error stream."""
    print(one_line(text), file=sys.stderr)
