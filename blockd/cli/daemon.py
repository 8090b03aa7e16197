"""How the commands find the running daemon, also while its configuration file is broken: the levers must not be gone exactly then."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from blockd.cli.parser import read_config, say
from blockd.errors import Misconfigured

if TYPE_CHECKING:
    import argparse

    from blockd.config.schema import Config

RUNTIME_DIR = Path("/run/blockd")
SOCKET = "admin.sock"


def socket_of(config: Config) -> Path:
    """Where the control socket is."""
    return config.admin.socket or config.runtime_dir / SOCKET


def control_socket(args: argparse.Namespace) -> Path:
    """The control socket of the configuration that ``-c`` names.

    A file with faults is read for the socket's place alone, with a warning: the daemon goes on with the last good configuration, and so
    must its levers. Raises Misconfigured when no daemon is there either.
    """
    try:
        return socket_of(read_config(args))
    except Misconfigured as error:
        path: Path = args.config
        socket = guess(path)
        if not _is_there(path) or not _is_there(socket):
            raise
        say(f"blockd: {path} has faults ({len(error.faults)}; blockd check names them): asking the daemon that runs with the last good one")
        return socket


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a folder on the way that we may not look into
        return False


def guess(path: Path) -> Path:
    """Where the socket would be, as far as a faulty file tells."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError, RecursionError):
        return RUNTIME_DIR / SOCKET
    admin = values.get("admin")
    socket = admin.get("socket") if isinstance(admin, dict) else None
    if isinstance(socket, str) and socket:
        return path.parent / socket
    runtime = values.get("runtime_dir")
    return path.parent / (runtime if isinstance(runtime, str) and runtime else RUNTIME_DIR) / SOCKET
