"""``blockd check``: the daemon's own parser over the configuration; every fault at once.

Exit 0 when the configuration can be used (warnings do not change that), 1 when it has faults.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from blockd.cli.parser import EXIT_DONE, EXIT_NO, add_config, add_json, print_json, say
from blockd.config.load import examine
from blockd.errors import Corrupt, Misconfigured
from blockd.terms import Mode

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from blockd.cli.parser import Subparsers
    from blockd.config.schema import Config

INTERFACES = Path("/sys/class/net")

EXAMPLES = """\
examples:
  blockd check
  blockd check -c new/blockd.toml && systemctl reload blockd
"""


def add_parser(subparsers: Subparsers) -> None:
    """The command's arguments."""
    parser = subparsers.add_parser(
        "check",
        help="check the configuration: every fault at once",
        description="Read the configuration as the daemon does and print every fault as FILE:LINE: KEY: WHAT. Exit 1 when there is one.",
        epilog=EXAMPLES,
    )
    add_config(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check. Faults and warnings go to the error stream, the summary to the output."""
    report = examine(args.config)
    warnings = [
        *report.warnings,
        *(identities(report.config) if report.config else ()),
        *(of_state(report.config) if report.config else ()),
    ]
    faults = [*report.faults, *(of_machine(report.config) if report.config else ())]
    if args.json:
        print_json({"ok": not faults, "faults": faults, "warnings": warnings})
        return EXIT_NO if faults else EXIT_DONE
    for fault in faults:
        say(fault)
    for warning in warnings:
        say(f"warning: {warning}")
    if report.config is None or faults:
        return EXIT_NO
    print(summary(report.config))
    return EXIT_DONE


def of_machine(config: Config) -> Iterator[str]:
    """Say what this machine lacks that the configuration names."""
    name = config.dns.xdp_interface
    if config.dns.xdp != "off" and not (INTERFACES / name).exists():
        known = ", ".join(sorted(path.name for path in INTERFACES.iterdir())) if INTERFACES.is_dir() else "none"
        yield f"{config.path}: dns.xdp_interface: this machine has no interface {name}; it has: {known}"


def identities(config: Config) -> Iterator[str]:
    """Say of each age identity that it opens nothing, before a secret list comes."""
    from blockd.feeds.secret import read_identity

    for feed in config.feeds:
        if feed.identity is not None:
            try:
                read_identity(feed.identity.read_text(encoding="utf-8", errors="replace"))
            except Misconfigured as error:
                yield f"{feed.identity}: feed {feed.name}: {error}"
            except OSError as error:
                yield f"{feed.identity}: {error.strerror}"


def of_state(config: Config) -> Iterator[str]:
    """What the state directory has to say, as far as this user may look into it."""
    from blockd.control import own_keys

    if os.access(config.state_dir, os.X_OK):
        yield from own_keys.faults(config.state_dir)
    yield from unenforceable(config)


def unenforceable(config: Config) -> Iterator[str]:
    """Say of each list that is loaded how many of its entries can't be enforced, before a person relies on them."""
    from blockd.cli.state import current_placements

    wanted = {item.name for item in config.lists if item.mode is not Mode.OFF}
    try:
        placed = current_placements(config.state_dir)
    except Corrupt as error:
        yield f"{config.state_dir}: what is loaded can't be read: {error}"
        return
    for name, placement in placed.items():
        counts = placement.source.enforceable
        if name not in wanted or not sum(counts.values()):
            continue
        if hidden := counts.get("unenforceable", 0):
            yield f"{name}: {hidden:,} of {sum(counts.values()):,} entries can't be enforced: their path is encrypted (https)"
        if paths := counts.get("http_path", 0):
            yield f"{name}: {paths:,} of {sum(counts.values()):,} entries are paths under http: DNS does not block them, the URL filter is not built yet"


def summary(config: Config) -> str:
    """Say in one line what the configuration asks for."""
    modes = [(mode, sum(item.mode is mode for item in config.lists)) for mode in Mode]
    lists = ", ".join(f"{count} {mode.value}" for mode, count in modes if count) or "none"
    doors = ", ".join(map(str, config.dns.listen)) or "none"
    return f"{config.path}: ok. Lists: {lists}. DNS on {doors}; {len(config.dns.upstreams)} upstream(s)."
