"""blockd itself: the real daemon with a signed feed, its resolver role alone on the servers' core.

`convert_s` is what peers do before they start: the list is published (signed), downloaded, verified and compiled. `load_s` is a start of the daemon
from what is on disk until it enforces, as after a reboot.
"""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from bench.peer.base import Peer, processes
from bench.programs import CLIENT_CORE, SERVER_CORE
from tests.system.gateway import Gateway, blockd, enforce

if TYPE_CHECKING:
    from pathlib import Path

UPDATE_S = 900.0


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

    @classmethod
    def version(cls) -> str:
        return blockd("--version").stdout.split()[-1]

    def convert(self, listed: Path) -> None:
        """Publish it; the daemon takes it in start()."""
        self.publish(listed)

    def publish(self, listed: Path) -> None:
        blockd(
            *("feed", "publish", self.gateway.publisher.repo, "--list", "big", "--format", "domains", "--category", "malware"),
            *("--basis", "operator", "--action", "nxdomain", listed),
            timeout_s=UPDATE_S,
        )

    def start(self) -> None:
        self.gateway = Gateway(self.folder, lists=enforce("big"), upstream=_AlreadyThere(self.upstream_port))  # type: ignore[arg-type]
        begin = time.perf_counter()
        self.gateway.publisher.init()
        self.convert(self.listed)
        self.gateway.__enter__()
        self.replace(self.listed)
        self.gateway.stop()
        self.convert_s = time.perf_counter() - begin
        begin = time.perf_counter()
        self.gateway.start()
        self.port = self.gateway.door("udp")[1]
        self.wait_until(lambda: self.blocks(self.probe) and self.resolves("ready.allowed.example"))
        self.load_s = time.perf_counter() - begin
        for pid in self.pids():
            core = SERVER_CORE if pid in self.serving() else CLIENT_CORE
            subprocess.run(["taskset", "-a", "-p", "-c", str(core), str(pid)], check=False, capture_output=True)

    def replace(self, listed: Path) -> None:  # noqa: ARG002 -- it takes what was published
        blockd("lists", "update", "--all", "-c", self.gateway.config, "--json", timeout_s=UPDATE_S)

    def pids(self) -> list[int]:
        return processes(self.gateway.process.pid) if self.gateway.process is not None else []

    def serving(self) -> list[int]:
        return [role["pid"] for role in self.gateway.status()["roles"] if role["name"] == "resolver"]

    def stop(self) -> None:
        if getattr(self, "gateway", None) is not None:
            self.gateway.stop()
