"""``blockd demo``: the main job on loopback, with lists that it signs itself.

Everything is real: the demo runs the same commands that a publisher and an engineer run, as processes of their own, and asks the
daemon over its sockets. Only the resolver behind the gateway is its own when the machine has none (`demo_upstream.py`).

With ``--once`` it walks through by itself, checks every answer, prints one line a step, and exits 0 or 1. Without it, it prints five things to
try and stays until Ctrl-C.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from blockd.cli.demo_upstream import DemoUpstream, machine_resolvers
from blockd.cli.demo_walk import Walk, WalkFailed
from blockd.cli.probe import http_get
from blockd.errors import Misconfigured, Unavailable
from blockd.names.store import shipped

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

DNS_PORT = 5300
PAGE_PORT = 5080
ADMIN_PORT = 5953
READY_S = 30.0

GAMBLING = (
    "--format",
    "domains",
    "--category",
    "gambling",
    "--basis",
    "operator",
    "--action",
    "stop_page",
    "--canary",
    "canary.casino.example",
)
COURT = ("--format", "csv", "--category", "copyright", "--basis", "mandated", "--action", "nxdomain")

CONFIG = """\
# Made by `blockd demo`: everything on loopback. `blockd init DIR` writes one for a real gateway.
state_dir = "state"
runtime_dir = "run"

[dns]
listen = ["127.0.0.1:{dns}"]
upstreams = [{upstreams}]
cache = "16MiB"

[stop_page]
listen = ["127.0.0.1:{page}"]
addresses = ["127.0.0.1"]
operator = "Example ISP"
contact = ["mailto:abuse@example.net"]
hotline = "https://hotline.example/report"

[[stop_page.helplines]]
name = "Example helpline"
url = "https://helpline.example"

[admin]
listen = ["127.0.0.1:{admin}"]
socket = "run/admin.sock"

[[feeds]]
name = "demo"
url = "{feed}"
root = "feed/root.json"
every = "1m"

[[lists]]
name = "demo/gambling"
mode = "enforce"

[[lists]]
name = "demo/court"
mode = "enforce"
"""

TRY = """
blockd is running on loopback. Five things to try in another terminal:

  1. an allowed name            dig @127.0.0.1 -p {dns} {allowed}
  2. a blocked name, and why    dig @127.0.0.1 -p {dns} {blocked}
  3. what a person sees         curl -i -H 'Host: {blocked}' http://127.0.0.1:{page}/
  4. what happens to a name     {blockd} lookup {blocked} -c {config}
  5. the console and metrics    http://127.0.0.1:{admin}/   curl http://127.0.0.1:{admin}/metrics

Add a line to {source}, then publish and enforce it:

  {blockd} feed publish {feed} --list gambling {options} {source}
  {blockd} lists update --all -c {config}

Everything is in {home}. Ctrl-C stops it.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command's arguments."""
    parser = subparsers.add_parser(
        "demo",
        help="run everything on loopback with example lists",
        description="Sign example lists, run every part on loopback and show five things to try. With --once, walk through and check every answer.",
    )
    parser.add_argument(
        "--dir", type=Path, metavar="D", help="keep everything in D (a new or empty folder); default: a temporary one, removed at the end"
    )
    parser.add_argument("--once", action="store_true", help="walk through by itself, check every answer, exit 0 or 1")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """The command. Raises Misconfigured or Unavailable with one line to print."""
    signal.signal(signal.SIGTERM, _end)  # like Ctrl-C: the daemon and the keys do not outlive the demo
    with ExitStack() as stack:
        home = _home(args.dir, stack)
        upstream = stack.enter_context(DemoUpstream())
        demo = Demo(home, upstream, use_machine=not args.once)
        demo.prepare()
        stack.callback(demo.stop)
        if args.once:
            return _once(demo)
        demo.start()
        print(demo.things_to_try(), flush=True)
        return demo.wait()


def _end(*_: object) -> None:
    raise KeyboardInterrupt


def _home(wanted: Path | None, stack: ExitStack) -> Path:
    if wanted is None:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="blockd-demo-")))
    wanted.mkdir(parents=True, exist_ok=True)
    if any(wanted.iterdir()):
        raise Misconfigured(f"{wanted} is not empty: name a new folder, or remove it first")
    return wanted.resolve()


def _once(demo: Demo) -> int:
    walk = Walk(demo)
    try:
        walk.all()
    except WalkFailed as failure:
        print(f"FAIL  {failure}", file=sys.stderr)
        print(f"what the daemon said:\n{demo.log()}", file=sys.stderr)
        return 1
    print(f"\nall {walk.steps} steps as they should be")
    return 0


class Demo:
    """A publisher's repository and a gateway in one folder."""

    def __init__(self, home: Path, upstream: DemoUpstream, *, use_machine: bool) -> None:
        """`use_machine`: forward to the machine's own resolvers when they answer."""
        self.home = home
        self.feed = home / "feed"
        self.config = home / "blockd.toml"
        self.source = home / "gambling.domains"
        self._upstream = upstream
        self._use_machine = use_machine
        self._daemon: subprocess.Popen[bytes] | None = None

    @property
    def dns(self) -> tuple[str, int]:
        """The DNS door."""
        return "127.0.0.1", DNS_PORT

    @property
    def page(self) -> tuple[str, int]:
        """The stop page's door."""
        return "127.0.0.1", PAGE_PORT

    @property
    def admin(self) -> tuple[str, int]:
        """The admin door."""
        return "127.0.0.1", ADMIN_PORT

    def blockd(self, *args: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        """One command, as a person would run it. With `check`, a failure ends the demo with what it said."""
        done = subprocess.run(  # noqa: S603 -- our own program with our own arguments
            [sys.executable, "-m", "blockd", *map(str, args)], capture_output=True, text=True, check=False
        )
        if check and done.returncode != 0:
            raise Unavailable(
                f"blockd {' '.join(map(str, args))}: {done.stderr.strip() or done.stdout.strip() or f'exit {done.returncode}'}"
            )
        return done

    def prepare(self) -> None:
        """Keys, example lists, a signed feed, a configuration."""
        self.source.write_bytes(shipped("examples/gambling.domains").read_bytes())
        (self.home / "court.csv").write_bytes(shipped("examples/court.csv").read_bytes())
        self.blockd("feed", "init", self.feed, "--keys", 3, "--threshold", 2, "--unencrypted-keys")
        resolvers = machine_resolvers() if self._use_machine else ()
        upstreams = resolvers or (f"udp://127.0.0.1:{self._upstream.port}",)
        quoted = ", ".join(f'"{u}"' for u in upstreams)
        values = {"dns": DNS_PORT, "page": PAGE_PORT, "admin": ADMIN_PORT, "upstreams": quoted, "feed": self.feed.as_uri()}
        self.config.write_text(CONFIG.format_map(values), encoding="utf-8")
        if not self._use_machine:
            return
        self.publish("gambling")
        self.publish("court")

    def publish(self, name: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Publish the list's file as it is now, signed with every key in the folder."""
        options, file = (GAMBLING, self.source) if name == "gambling" else (COURT, self.home / "court.csv")
        return self.blockd("feed", "publish", self.feed, "--list", name, *options, file, "--json", check=check)

    def start(self) -> None:
        """Run the daemon and wait until it is ready."""
        if self.ready():
            raise Unavailable(f"port {ADMIN_PORT} is in use: another demo runs here; stop it first")
        with (self.home / "blockd.log").open("ab") as log:
            self._daemon = subprocess.Popen(  # noqa: S603 -- our own program
                [sys.executable, "-m", "blockd", "run", "-c", str(self.config)], stdout=log, stderr=log
            )
        end = time.monotonic() + READY_S
        while time.monotonic() < end:
            if self._daemon.poll() is not None:
                raise Unavailable(f"the daemon ended: {self.log().strip()}")
            if self.ready() and self._daemon.poll() is None:
                return
            time.sleep(0.1)
        raise Unavailable(f"the daemon was not ready after {READY_S:.0f} s: {self.log().strip()}")

    def ready(self) -> bool:
        """Whether /readyz says so."""
        try:
            return http_get(self.admin, "/readyz").status == 200
        except Unavailable:
            return False

    def log(self) -> str:
        """The last lines of the daemon's log."""
        path = self.home / "blockd.log"
        return "\n".join(path.read_text(encoding="utf-8").splitlines()[-20:]) if path.exists() else ""

    def things_to_try(self) -> str:
        """The text that the demo greets with."""
        values: Mapping[str, object] = {
            "dns": DNS_PORT, "page": PAGE_PORT, "admin": ADMIN_PORT, "home": self.home, "feed": self.feed, "config": self.config, "source": self.source,
            "blockd": _program(), "allowed": "www.allowed.example", "blocked": "casino.example", "options": " ".join(GAMBLING),
        }  # fmt: skip
        return TRY.format_map(values)

    def wait(self) -> int:
        """Until Ctrl-C, or until the daemon ends by itself."""
        if self._daemon is None:
            return 1
        try:
            code = self._daemon.wait()
        except KeyboardInterrupt:
            print("\nstopping")
            return 0
        print(f"the daemon ended by itself:\n{self.log()}", file=sys.stderr)
        return code or 1

    def stop(self) -> int:
        """Stop the daemon; its exit code, 0 when there is none."""
        if self._daemon is None:
            return 0
        daemon, self._daemon = self._daemon, None
        if daemon.poll() is None:
            daemon.send_signal(signal.SIGTERM)
        try:
            return daemon.wait(20)
        except subprocess.TimeoutExpired:
            daemon.kill()
            return daemon.wait()


def _program() -> str:
    beside = Path(sys.executable).with_name("blockd")
    if not beside.exists():
        return "blockd"
    here = Path.cwd()
    return str(beside.relative_to(here)) if beside.is_relative_to(here) else str(beside)
