"""``blockd run``: the daemon, in the foreground. What it is made of is in blockd/control/."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

ROLES = ("all", "resolver", "web", "control", "xdp")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command's arguments."""
    parser = subparsers.add_parser(
        "run",
        help="the daemon, in the foreground",
        description="Run the gateway in the foreground. SIGHUP reads the configuration again, SIGTERM answers what is in flight and ends. Prints log lines only.",
    )
    parser.add_argument(
        "-c", "--config", type=Path, default=Path("/etc/blockd/blockd.toml"), metavar="FILE", help="configuration (default: %(default)s)"
    )
    parser.add_argument("--role", choices=ROLES, default="all", help="run one role alone, as the systemd template does (default: all)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """The command."""
    from blockd.control.supervisor import run as supervise

    return supervise(args.config.absolute(), args.role)
