"""blockd itself: the real daemon with a signed feed, its resolver role alone on the servers' core.

`convert_s` is what peers do before they start: the list is published (signed), downloaded, verified and compiled. `load_s` is a start of the daemon
from what is on disk until it enforces, as after a reboot.
"""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from bench.peer.base import Peer, processes
from bench.programs import SERVER_CORE
from tests.system.gateway import Gateway, blockd, enforce

UPDATE_S = 900.0
CACHE = "64MiB"  # as for the peers: what is asked again stays, whatever came in between


@dataclass
class _Gateway(Gateway):
    """The gateway of the system tests on a port that is known before it starts, with a larger cache."""

    dns_port: int = 0

    def write_config(self) -> None:
        super().write_config()
        text = self.config.read_text(encoding="utf-8").replace('cache = "16MiB"', f'cache = "{CACHE}"')
        self.config.write_text(text.replace('listen = ["127.0.0.1:0"]', f'listen = ["127.0.0.1:{self.dns_port}"]', 1), encoding="utf-8")


@dataclass
class _AlreadyThere:
    """The upstream that runs for all peers, in the form that Gateway wants."""

    port: int

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Blockd(Peer):
    name = "blockd"
    package = "blockd"
    programs = ()
    can_replace = True
    threads: ClassVar[int] = 1
    publish_s = 0.0
    _resolver = 0

    @classmethod
    def version(cls) -> str:
        return blockd("--version").stdout.split()[-1]

    def convert(self, listed: Path) -> None:
        """Publish it; the daemon takes it in start()."""
        self.publish(listed)

    def publish(self, listed: Path) -> None:
        begin = time.perf_counter()
        blockd(
            *("feed", "publish", self.gateway.publisher.repo, "--list", "big", "--format", "domains", "--category", "malware"),
            *("--basis", "operator", "--action", "nxdomain", listed),
            timeout_s=UPDATE_S,
        )
        self.publish_s = time.perf_counter() - begin

    def start(self) -> None:
        self.gateway = _Gateway(
            self.folder,
            lists=enforce("big"),
            dns_extra=f'threads = "{self.threads}"',
            upstream=_AlreadyThere(self.upstream_port),  # type: ignore[arg-type]
            dns_port=self.port,
        )
        begin = time.perf_counter()
        self.gateway.publisher.init()
        self.convert(self.listed)
        self.gateway.__enter__()
        self.replace(self.listed)
        self.convert_s = time.perf_counter() - begin
        self.restart()

    def restart(self) -> None:
        """Stop the daemon if it runs, start it from what is on the disk; sets load_s."""
        self.gateway.stop()
        begin = time.perf_counter()
        self.gateway.start(wait=False)
        self.process = self.gateway.process
        self.wait_until(lambda: self.blocks(self.probe) and self.resolves("ready.allowed.example"))
        self.load_s = time.perf_counter() - begin
        self.gateway.wait_ready()
        self._resolver = 0
        cores = f"{SERVER_CORE}-{SERVER_CORE + self.threads - 1}"  # the answering role only: what works on an update may use both, as the peers' tools do
        for pid in self.serving():
            subprocess.run(["taskset", "-a", "-p", "-c", cores, str(pid)], check=False, capture_output=True)

    def replace(self, listed: Path) -> None:  # noqa: ARG002 -- it takes what was published
        blockd("lists", "update", "--all", "-c", self.gateway.config, "--json", timeout_s=UPDATE_S)

    def pids(self) -> list[int]:
        return processes(self.gateway.process.pid) if self.gateway.process is not None else []

    def serving(self) -> list[int]:
        if not Path(f"/proc/{self._resolver}").exists() or not self._resolver:
            self._resolver = next(role["pid"] for role in self.gateway.status()["roles"] if role["name"] == "resolver")
        return [self._resolver]

    @property
    def log(self) -> Path:
        return self.folder / "daemon.log"

    def stop(self) -> None:
        if getattr(self, "gateway", None) is not None:
            self.gateway.stop()


class BlockdTwoThreads(Blockd):
    name = "blockd, 2 threads"
    threads = 2
