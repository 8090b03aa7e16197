"""One server under test: how it gets its list, starts on one core, says that it is ready, is measured, and stops.

A peer is a class in a file of its own. It writes its configuration and its form of the list into a folder, is started by the kernel's `taskset` on
the servers' core with one thread of work, and counts as ready when it answers a listed name with NXDOMAIN and an unlisted one with an
address: a server that answers before its list is in force is not ready.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from bench.programs import SERVER_CORE, on_core
from bench.queries import message
from tests.system.upstream import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

READY_S, STOP_S = 300.0, 2.0  # some free gigabytes piece by piece before they end
PROBE_TIMEOUT_S, PROBE_PAUSE_S = 0.5, 0.02
NXDOMAIN = 3


def rcode_of(port: int, asked: str, timeout_s: float = PROBE_TIMEOUT_S) -> tuple[int, int] | None:
    """(RCODE, answers) for an A query over UDP, or None when nothing comes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(timeout_s)
        s.connect(("127.0.0.1", port))
        try:
            s.send(os.urandom(2) + message(asked)[2:])
            wire = s.recv(4096)
        except OSError:
            return None
    return (wire[3] & 15, int.from_bytes(wire[6:8])) if len(wire) >= 12 else None


def processes(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, task.read_text(encoding="ascii").split())
            except OSError:  # it ended meanwhile
                continue
    return found


def thread_seconds(pids: list[int]) -> dict[int, float]:
    """The processor time of each of their threads, by the scheduler's own nanoseconds."""
    found = {}
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            try:
                found[int(task.parent.name)] = int(task.read_text(encoding="ascii").split()[0]) / 1e9
            except OSError:
                continue
    return found


def cpu_seconds(pids: list[int]) -> float:
    """The processor time of all their threads."""
    return sum(thread_seconds(pids).values())


def memory_bytes(pids: list[int]) -> int:
    """Resident memory; what several of them share is counted once (Pss)."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total * 1024


class Peer:
    """What every peer has. A subclass sets the names and writes `prepare` and `command`."""

    name: ClassVar[str]
    package: ClassVar[str]
    programs: ClassVar[tuple[str, ...]]  # all must be there
    can_replace: ClassVar[bool] = False
    judged: ClassVar[bool] = True  # its answers must be the right ones

    def __init__(self, folder: Path, listed: Path, upstream_port: int, probe: str) -> None:
        """`listed`: a plain list, one name a line; `probe`: one of its names, the last that a reader would load."""
        self.folder, self.listed, self.upstream_port, self.probe = folder, listed, upstream_port, probe
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.convert_s = self.load_s = 0.0
        self.ready_s = READY_S  # how long it may take to start
        folder.mkdir(parents=True, exist_ok=True)
        shutil.chown(folder, user=0)
        folder.chmod(0o755)

    @classmethod
    def missing(cls) -> str:
        """Empty, or why this peer cannot be measured here."""
        absent = [program for program in cls.programs if cls.program(program) is None]
        return f"not installed: {', '.join(absent)} (Debian package {cls.package})" if absent else ""

    @staticmethod
    def program(name: str) -> str | None:
        """Its path; daemons live in sbin, which a user's PATH may lack."""
        return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")

    @classmethod
    def version(cls) -> str:
        """The package's version, as dpkg knows it."""
        done = subprocess.run(["dpkg-query", "-W", "-f=${Version}", cls.package], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    def convert(self, listed: Path) -> None:
        """The list in the peer's own form, into the folder."""
        raise NotImplementedError

    def configure(self) -> None:
        """The configuration, into the folder."""
        raise NotImplementedError

    def command(self) -> list[str]:
        """How it is started, in the foreground."""
        raise NotImplementedError

    def start(self) -> None:
        """Convert, configure, start, wait until the list is in force. Sets convert_s and load_s."""
        begin = time.perf_counter()
        self.convert(self.listed)
        self.convert_s = time.perf_counter() - begin
        self.configure()
        begin = time.perf_counter()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                on_core(SERVER_CORE, *self.command()), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=self.folder
            )
        self.wait_until(lambda: self.blocks(self.probe) and self.resolves("ready.allowed.example"))
        self.load_s = time.perf_counter() - begin

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.folder / "log"

    def wait_until(self, ready: Callable[[], bool], timeout_s: float | None = None) -> None:
        """Ask again and again; a peer that ends or never gets there is an error with the end of its log."""
        timeout_s = self.ready_s if timeout_s is None else timeout_s
        end = time.monotonic() + timeout_s
        while not ready():
            if self.process is not None and self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}: {self.log_end()}")
            if time.monotonic() > end:
                raise RuntimeError(f"{self.name} is not up after {timeout_s:.0f} s: {self.log_end()}")
            time.sleep(PROBE_PAUSE_S)

    def log_end(self) -> str:
        """The last lines that it printed."""
        return " | ".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-4:]) if self.log.exists() else ""

    def blocks(self, asked: str) -> bool:
        """It answers NXDOMAIN."""
        return (rcode_of(self.port, asked) or (None,))[0] == NXDOMAIN

    def resolves(self, asked: str) -> bool:
        """It answers with an address."""
        code, answers = rcode_of(self.port, asked) or (None, 0)
        return code == 0 and answers > 0

    def serving(self) -> list[int]:
        """The processes whose processor time answers queries."""
        return self.pids()

    def publish(self, listed: Path) -> None:
        """What somebody else does to a new list before this server can take it: nothing, for most."""

    def replace(self, listed: Path) -> None:
        """Give the running server a new list, by its own way of doing so; returns when asked to, not when it is in force."""
        raise NotImplementedError

    def pids(self) -> list[int]:
        """All of its processes."""
        return processes(self.process.pid) if self.process is not None else []

    def stop(self) -> None:
        """End it and wait."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None


def write_rpz(path: Path, listed: Path) -> None:
    """A response policy zone (draft-vixie-dnsop-dns-rpz): each name and all below it, NXDOMAIN. The serial is the time, so that a reload takes it."""
    part = path.with_suffix(".part")
    with listed.open(encoding="ascii") as rows, part.open("w", encoding="ascii") as out:
        out.write(f"$TTL 300\n@ IN SOA localhost. nobody.invalid. {int(time.time())} 3600 600 86400 300\n@ IN NS localhost.\n")
        for row in rows:
            asked = row.rstrip()
            out.write(f"{asked} CNAME .\n*.{asked} CNAME .\n")
    part.rename(path)
