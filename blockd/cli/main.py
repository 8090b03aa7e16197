"""``blockd``: find the command, run it, and turn every end into an exit code and one line.

Commands are modules that are imported when they are asked for: ``blockd --help`` and an error on the command line import none of them, and
``blockd lookup`` does not pay for the daemon. :data:`COMMANDS` is the list of all; a module that this installation lacks is said to be missing
when it is used.

Exit codes: 0 done; 1 the answer is no, or something did not work; 2 used wrongly, a bad configuration included. Interrupted: 130, as shells do.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, NamedTuple

from blockd import __version__
from blockd.cli.parser import EXIT_NO, EXIT_USAGE, Parser, did_you_mean, one_line, say
from blockd.errors import BlockdError, Misconfigured

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType, TracebackType

EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells show it


class Command(NamedTuple):
    """One command: its module in this folder and what it does, in a few words."""

    name: str
    module: str
    does: str


GROUPS: tuple[tuple[str, tuple[Command, ...]], ...] = (
    ("Try it", (Command("demo", "demo", "run everything on loopback with example lists"),)),
    (
        "Set up and run",
        (
            Command("init", "init", "write a commented configuration, folders and keys"),
            Command("check", "check", "check the configuration: every fault at once"),
            Command("run", "run", "the daemon, in the foreground"),
        ),
    ),
    (
        "Look",
        (
            Command("status", "status", "roles, lists, upstreams, the record"),
            Command("lookup", "lookup", "what happens to a name or URL, and why"),
            Command("selftest", "selftest", "ask the live listeners for each list's canary name"),
        ),
    ),
    ("Steer", (Command("lists", "lists", "update, approve, hold, roll back, kill or resume a list"),)),
    ("Publish lists", (Command("feed", "feed", "make, sign, co-sign and verify a feed"),)),
    ("Shell", (Command("completion", "completion", "print a completion script for bash, zsh or fish"),)),
)
COMMANDS = {command.name: command for _, commands in GROUPS for command in commands}

DESCRIPTION = "Enforces signed blocklists at an internet provider: DNS proxy, stop page, aggregate counts, record."
EXAMPLES = """\
examples:
  blockd demo                                 try it: everything on loopback
  blockd init /etc/blockd                     a configuration to start from
  blockd check                                before every reload
  blockd lookup www.example.org               is it blocked, by which list, on what basis
  blockd lists update --all                   fetch and enforce now
  blockd lists kill hotline/domains --for 2h --reason "blocks our own mail"

Exit codes: 0 done, 1 the answer is no or something did not work, 2 used wrongly.
Manual: blockd(1), blockd.toml(5). 'blockd COMMAND --help' says more about each.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code and prints at most one line about a failure (each fault of a configuration has its own)."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _flush(_run_or_exit(words))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _mute_stdout()
        return EXIT_NO
    except Misconfigured as error:
        for fault in error.faults:
            say(f"blockd: {fault}")
        return EXIT_USAGE
    except BlockdError as error:
        say(f"blockd: {error}")
        return EXIT_NO
    except Exception as error:
        if os.environ.get("BLOCKD_DEBUG") == "1":
            raise
        say(_unexpected(error))
        return EXIT_NO
    return code


def _flush(code: int) -> int:
    """Write out what was printed: a closed pipe or a full disk shows here and not at exit, where nothing could catch it."""
    if sys.stdout is None:  # it was closed when the process started
        return code
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _mute_stdout()
        say(f"blockd: what it prints cannot be written: {error.strerror}")
        return EXIT_NO
    return code


def _run(words: list[str]) -> int:
    if not words:
        top([]).print_help(sys.stderr)
        return EXIT_USAGE
    top_parser = top(words)
    args, unknown = top_parser.parse_known_args(words)
    if unknown:
        leaf(top_parser, args).error(f"unrecognized arguments: {' '.join(unknown)}")
    run = getattr(args, "run", None) or _module(COMMANDS[args.command]).run
    code: int = run(args)
    return code


def _run_or_exit(words: list[str]) -> int:
    """Run; argparse ends --help, --version and its errors by SystemExit."""
    try:
        return _run(words)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        say(f"blockd: {end.code}")
        return EXIT_NO


def top(words: Sequence[str]) -> Parser:
    """Make the parser that `words` need: all commands are known, the one that they name has its arguments."""
    parser = Parser(prog="blockd", description=DESCRIPTION, usage="blockd COMMAND [ARGUMENTS]", add_help=False)
    parser.add_argument("-h", "--help", action="help", help="show this and exit")
    parser.add_argument("--version", action="version", version=f"blockd {__version__}", help="show the version and exit")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, prog="blockd")
    wanted = next((word for word in words if not word.startswith("-")), None)
    if words and words[0].startswith("-") and words[0] not in {"-h", "--help", "--version"}:
        parser.error(f"{one_line(words[0])} stands before the command: options stand behind it")
    if wanted is not None and wanted not in COMMANDS:
        parser.error(f"there is no command {one_line(wanted)!r}{did_you_mean(wanted, COMMANDS)}")
    if wanted is None:
        _list_commands(parser)
    else:
        _module(COMMANDS[wanted]).add_parser(subparsers)
    return parser


def leaf(parser: argparse.ArgumentParser, args: argparse.Namespace) -> argparse.ArgumentParser:
    """Find the parser of the command that was parsed: its errors name it and know its options."""
    for action in parser._actions:  # noqa: SLF001 -- argparse shows them nowhere else
        if isinstance(action, argparse._SubParsersAction) and getattr(args, action.dest, None) in action.choices:  # noqa: SLF001
            return leaf(action.choices[getattr(args, action.dest)], args)
    return parser


def parser() -> Parser:
    """Make the whole parser, every command with its arguments; for completion, manual pages and tests."""
    whole = Parser(prog="blockd", description=DESCRIPTION, epilog=EXAMPLES)
    whole.add_argument("--version", action="version", version=f"blockd {__version__}", help="show the version and exit")
    subparsers = whole.add_subparsers(dest="command", metavar="COMMAND", required=True, prog="blockd")
    for command in COMMANDS.values():
        if (module := _found(command)) is not None:
            module.add_parser(subparsers)
    return whole


def _list_commands(parser: Parser) -> None:
    """Write the help of ``blockd --help``: commands in groups, without importing one."""
    width = max(map(len, COMMANDS)) + 2
    lines = [DESCRIPTION, ""]
    for title, commands in GROUPS:
        lines.append(f"{title}:")
        lines += [f"  {command.name:<{width}}{command.does}" for command in commands]
    parser._action_groups.clear()  # noqa: SLF001 -- the groups above stand in for argparse's own
    parser.description = "\n".join(lines)
    parser.epilog = EXAMPLES


def _module(command: Command) -> ModuleType:
    module = _found(command)
    if module is None:
        raise Misconfigured(f"'blockd {command.name}' is not part of this installation")
    return module


def _found(command: Command) -> ModuleType | None:
    import importlib

    name = f"blockd.cli.{command.module}"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("blockd."):
            return None
        raise


def _mute_stdout() -> None:
    """Let the interpreter flush into nothing at exit: the reader of our output has gone."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def _unexpected(error: Exception) -> str:
    """Say where, and of what type; never the message, which may quote what must not be printed."""
    place = "?"
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if f"{os.sep}blockd{os.sep}" in code.co_filename:
            place = f"{code.co_filename.rpartition(f'{os.sep}blockd{os.sep}')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    name = type(error).__name__
    if isinstance(error, OSError) and error.errno:
        name = f"{name}, {os.strerror(error.errno)}"
    return f"blockd: a fault of blockd itself at {place} ({name}): run it again with BLOCKD_DEBUG=1 and report what that prints"
