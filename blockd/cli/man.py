"""The manual, written from the program itself: blockd(1) from the parser, blockd.toml(5) and configuration.md from the schema.

    python -m blockd.cli.man deploy     # writes deploy/man/blockd.1, deploy/man/blockd.toml.5, deploy/manual/configuration.md

The pages are committed, and a test says when they are out of date. They carry no date, so that making them twice gives the same bytes.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from blockd import __version__
from blockd.cli import tree
from blockd.cli.main import GROUPS, parser
from blockd.config.manual import MERGING, VALUES, markdown, sections

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockd.cli.tree import Argument, Command

ABOUT = (
    "blockd enforces signed blocklists at an internet provider. It answers DNS queries: listed names as the list says, all others through the resolvers "
    "behind it. It serves the page that people see in place of a blocked site, counts hits without anyone's identity, and records every list "
    "update and override. A list is enforced only when its publisher's signatures (TUF) verify; until then, and when a feed fails, the last good version stays."
)
LIMITS = (
    "Most https URL entries cannot be enforced on the path, since it is encrypted. Users of other resolvers, of a VPN or of Encrypted Client Hello pass by. The "
    "record proves what this node recorded; `blockd selftest` and probes from outside show what it answers."
)
EXITS = (
    ("0", "Done."),
    ("1", "The answer is no, or something did not work: refused, held, a failed check, a daemon that does not run."),
    ("2", "Used wrongly, a bad configuration included. `blockd check` alone exits 1 for that."),
)
ENVIRONMENT = (
    ("BLOCKD_DEBUG", "1: a fault of blockd itself ends with a traceback, which may quote values, in place of one line."),
    ("BLOCKD_FEED_PASSPHRASE_FILE", "File with the passphrase of a publisher's keys, for `blockd feed`."),
)
FILES = (
    ("/etc/blockd/blockd.toml", "The configuration; `conf.d/*.toml` beside it. See blockd.toml(5)."),
    ("/var/lib/blockd", "What must outlive a restart: feeds' metadata, compiled lists, generations, the record. Back it up."),
    ("/run/blockd", "Sockets and counters, made at start."),
)


def roff(text: str) -> str:
    """Write text so that it is only text: no line is a request, `code` is bold."""
    safe = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("^", "\\(ha").replace("~", "\\(ti")
    safe = re.sub(r"`([^`]+)`", r"\\fB\1\\fR", safe)
    return re.sub(r"^\.", r"\\&.", safe, flags=re.MULTILINE)


def blockd_1() -> str:
    """Write the page of the command."""
    root = tree.read(parser())
    known = {command.path[0]: command for command in root.commands}
    lines = [
        *_head("BLOCKD", "1", "Commands"),
        ".SH NAME",
        f"blockd \\- {roff('enforce signed blocklists at an internet provider')}",
        ".SH SYNOPSIS",
        ".B blockd",
        ".I COMMAND",
        ".RI [ ARGUMENTS ]",
        ".SH DESCRIPTION",
        roff(ABOUT),
        ".PP",
        roff(LIMITS),
        ".SH OPTIONS",
        *(line for argument in root.arguments for line in (".TP", _flags(argument), roff(argument.help))),
        ".SH COMMANDS",
    ]
    for title, commands in GROUPS:
        lines.append(f".SS {roff(title)}")
        for command in commands:
            if command.name in known:
                lines += _command(known[command.name])
    lines += [".SH EXIT STATUS", *_terms(EXITS), roff("Errors are one line on the standard error stream.")]
    lines += [".SH ENVIRONMENT", *_terms(ENVIRONMENT), ".SH FILES", *_terms(FILES)]
    lines += [".SH SEE ALSO", ".BR blockd.toml (5),", ".BR systemd.service (5)"]
    return "\n".join(lines) + "\n"


def _head(name: str, section: str, manual: str) -> list[str]:
    return [
        '.\\" Made by: python -m blockd.cli.man deploy',
        f'.TH {name} {section} "" "blockd {roff(__version__)}" "{manual}"',
        ".nh",
        ".ad l",
    ]


def _terms(terms: tuple[tuple[str, str], ...]) -> Iterator[str]:
    for term, doc in terms:
        yield from (".TP", f".B {roff(term)}", roff(doc))
    yield ".PP"


def _command(command: Command) -> Iterator[str]:
    """Write one command and all below it."""
    positional = [argument for argument in command.arguments if not argument.flags]
    words = " ".join(_positional(argument) for argument in positional)
    if command.commands:
        words = f"{words} \\fIVERB\\fR".strip()
    yield ".PP"
    yield f"\\fBblockd {roff(' '.join(command.path))}\\fR {words}".rstrip()
    yield ".RS 4"
    yield roff(command.description or command.help)
    for argument in command.arguments:
        if argument.flags != ("-h", "--help"):
            yield from (".TP", _flags(argument), roff(argument.help) or "\\&")
    if command.epilog:
        yield from (".PP", ".nf", *(roff(line.rstrip()) for line in command.epilog.strip().splitlines()), ".fi")
    yield ".RE"
    for inner in command.commands:
        yield from _command(inner)


def _positional(argument: Argument) -> str:
    shown = f"\\fI{roff(argument.metavar)}\\fR"
    return f"[{shown} ...]" if argument.many else shown if argument.required else f"[{shown}]"


def _flags(argument: Argument) -> str:
    value = f" \\fI{roff(argument.metavar)}\\fR" if argument.metavar else ""
    if not argument.flags:
        return value.strip()
    return ", ".join(f"\\fB{roff(flag)}\\fR" for flag in argument.flags) + value


def blockd_toml_5() -> str:
    """Write the page of the configuration."""
    lines = [
        *_head("BLOCKD.TOML", "5", "File formats"),
        ".SH NAME",
        "blockd.toml \\- configuration of blockd",
        ".SH SYNOPSIS",
        ".I /etc/blockd/blockd.toml",
        ".SH DESCRIPTION",
        roff(MERGING),
        ".PP",
        roff(VALUES),
        ".PP",
        roff("Write one to start from with `blockd init`; check it with `blockd check`; `systemctl reload blockd` reads it again."),
    ]
    for section in sections():
        lines += [f".SH {roff(section.head or 'Above all tables')}", roff(section.doc)]
        for entry in section.entries:
            default = f"default {entry.default}" if entry.default else "required"
            example = "" if entry.example in {entry.default, ""} else f"; for example {entry.example}"
            lines += [".TP", f"\\fB{roff(entry.name)}\\fR ({roff(entry.kind)}; {roff(default + example)})", roff(entry.doc)]
    lines += [".SH SEE ALSO", ".BR blockd (1)"]
    return "\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """Write all pages: path below deploy/ to text."""
    return {"man/blockd.1": blockd_1(), "man/blockd.toml.5": blockd_toml_5(), "manual/configuration.md": markdown()}


def main(folder: Path) -> int:
    """Write all pages below a folder."""
    for name, text in pages().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "deploy")))
