"""``blockd init DIR``: a commented blockd.toml to start from, the folders it names, and this node's keys.

Nothing that is there is overwritten: an existing blockd.toml ends the command, existing keys stay. For a folder below /etc the state goes to /var/lib/blockd
and the runtime files to /run/blockd; for any other folder, into the folder itself, so that one can try it without being root.
"""

from __future__ import annotations

import os
import pwd
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from blockd.cli.parser import EXIT_DONE
from blockd.config.manual import toml
from blockd.config.places import PORT_DNS
from blockd.config.values import array, quoted
from blockd.errors import Refused, Unavailable

if TYPE_CHECKING:
    import argparse

    from blockd.cli.parser import Subparsers

CONFIG_FILE = "blockd.toml"
DAEMON_USER = "blockd"
EXAMPLE_UPSTREAM = "udp://192.0.2.53:53"
UPSTREAMS_MAX = 3  # what resolv.conf(5) holds
RESOLV_CONF = Path("/etc/resolv.conf")

EXAMPLES = """\
examples:
  blockd init /etc/blockd
  blockd init ./try && blockd check -c try/blockd.toml
"""


def add_parser(subparsers: Subparsers) -> None:
    """The command's arguments."""
    parser = subparsers.add_parser(
        "init",
        help="write a commented configuration, folders and keys",
        description="Write DIR/blockd.toml with every key explained, and make the folders it names and this node's keys. Overwrites nothing.",
        epilog=EXAMPLES,
    )
    parser.add_argument("dir", type=Path, metavar="DIR", help="folder for the configuration, such as /etc/blockd")
    parser.add_argument("--state-dir", type=Path, metavar="D", help="default: /var/lib/blockd for a DIR below /etc, else DIR/state")
    parser.add_argument("--runtime-dir", type=Path, metavar="D", help="default: /run/blockd for a DIR below /etc, else DIR/run")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make everything and say what comes next. Raises Refused when there is a configuration already."""
    folder: Path = args.dir
    config = folder / CONFIG_FILE
    system = folder.absolute().is_relative_to("/etc")
    state = args.state_dir.absolute() if args.state_dir else Path("/var/lib/blockd" if system else "state")
    runtime = args.runtime_dir.absolute() if args.runtime_dir else Path("/run/blockd" if system else "run")
    if config.exists():
        raise Refused("exists", f"{config} is there already, and init overwrites nothing: name another folder, or remove the file first")
    try:
        _make(folder, config, state, runtime)
    except OSError as error:
        raise Unavailable(f"{error.filename or folder}: {error.strerror}: run this as root, or name a folder that is yours") from None
    print(next_steps(config, folder))
    return EXIT_DONE


def _make(folder: Path, config: Path, state: Path, runtime: Path) -> None:
    """The configuration comes last: if it is there, everything that it names is there too."""
    owner = daemon_user()
    for inside in (folder, folder / "conf.d", folder / "roots"):
        inside.mkdir(mode=0o755, parents=True, exist_ok=True)
    home = folder.absolute() / state
    home.mkdir(mode=0o750, parents=True, exist_ok=True)
    _give(home, owner)
    values = {"state_dir": quoted(state), "runtime_dir": quoted(runtime), "dns.upstreams": array(upstreams())}
    if owner is not None:
        values["run.user"] = quoted(DAEMON_USER)  # else one run as root would leave files that the service cannot use
    text = toml(values)
    draft = config.with_name(f".{config.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    try:
        _keys(draft, home, owner)
        draft.chmod(0o640)
        _give(draft, owner, group_only=True)
        os.link(draft, config)  # fails when someone else was faster
    finally:
        draft.unlink()


def _keys(config: Path, state: Path, owner: tuple[int, int] | None) -> None:
    """Make the key of the tables' fingerprints and the key that this node signs with."""
    from blockd.config.load import load
    from blockd.control.node_key import FILE, NodeKey
    from blockd.table.store import KEY_FILE, make_key

    make_key(state)
    NodeKey.load(load(config))
    for name in (KEY_FILE, FILE):
        _give(state / name, owner)


def daemon_user() -> tuple[int, int] | None:
    """Return the account that the daemon will run as, when this runs as root and the machine has it."""
    if os.geteuid() != 0:
        return None
    try:
        account = pwd.getpwnam(DAEMON_USER)
    except KeyError:
        return None
    return account.pw_uid, account.pw_gid


def _give(path: Path, owner: tuple[int, int] | None, *, group_only: bool = False) -> None:
    if owner is not None:
        os.chown(path, -1 if group_only else owner[0], owner[1])


def upstreams() -> list[str]:
    """Return the machine's own resolvers as upstreams; an example when it has none but itself."""
    try:
        text = RESOLV_CONF.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    return resolvers(text) or [EXAMPLE_UPSTREAM]


def resolvers(text: str) -> list[str]:
    """Read the ``nameserver`` lines of resolv.conf(5). One on loopback is this machine's own: blockd would take its place."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        try:
            address = ip_address(words[1])
        except ValueError:
            continue
        if not (address.is_loopback or address.is_unspecified or address.is_link_local):
            host = f"[{address}]" if address.version == 6 else str(address)
            found.append(f"udp://{host}:{PORT_DNS}")
    return list(dict.fromkeys(found))[:UPSTREAMS_MAX]


def next_steps(config: Path, folder: Path) -> str:
    """Say what to do now."""
    return (
        f"{config} is written. Next:\n"
        f"  1. put the publisher's first root.json, got by a way that you trust, into {folder / 'roots'}/\n"
        f"  2. in {config.name}: name the feed, its lists and who may ask ([[feeds]], [[lists]], [dns] allow_from)\n"
        f"  3. blockd check -c {config} && blockd run -c {config}"
    )
