"""A whole gateway for a test: a feed signed by the real commands, the real daemon, every port chosen by the kernel."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import dns.message
import dns.query

from tests.system.upstream import Upstream

BLOCKD = [sys.executable, "-m", "blockd"]
START_S = 20.0


def blockd(*args: object, check: bool = True, timeout_s: float = 60.0, **kwargs) -> subprocess.CompletedProcess[str]:
    """Run a command of blockd; with `check`, a failure shows what it printed."""
    done = subprocess.run([*BLOCKD, *map(str, args)], capture_output=True, text=True, timeout=timeout_s, check=False, **kwargs)
    if check and done.returncode != 0:
        raise AssertionError(f"blockd {' '.join(map(str, args))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


@dataclass
class Publisher:
    """A feed repository, signed by two of three."""

    repo: Path

    def init(self) -> None:
        blockd("feed", "init", self.repo, "--keys", 3, "--threshold", 2, "--unencrypted-keys")

    def publish(
        self, name: str, text: str | Path, *, format: str = "domains", category: str = "gambling", basis: str = "mandated", extra=()
    ) -> None:
        source = text
        if isinstance(text, str):
            source = self.repo.parent / f"{name}.{format}"
            source.write_text(text, encoding="utf-8")
        blockd("feed", "publish", self.repo, "--list", name, "--format", format, "--category", category, "--basis", basis, *extra, source)


@dataclass
class Gateway:
    """``with Gateway(tmp_path) as gw: gw.ask("name.example")``"""

    home: Path
    lists: str = ""  # TOML of [[lists]]; default: every list of the feed in enforce mode
    dns_extra: str = ""
    extra: str = ""
    before_start: list = field(default_factory=list)
    upstream: Upstream | None = None
    process: subprocess.Popen | None = None
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.home / "blockd.toml"

    @property
    def publisher(self) -> Publisher:
        return Publisher(self.home / "repo")

    def write_config(self) -> None:
        text = f"""
state_dir = "{self.home}/state"
runtime_dir = "{self.home}/run"

[dns]
listen = ["127.0.0.1:0"]
upstreams = ["udp://127.0.0.1:{self.upstream.port}"]
cache = "16MiB"
{self.dns_extra}

[stop_page]
listen = ["127.0.0.1:0"]
addresses = ["192.0.2.80", "2001:db8::80"]
operator = "Example ISP"
contact = ["mailto:abuse@example.net"]

[admin]
listen = ["127.0.0.1:0"]
socket = "{self.home}/run/admin.sock"

[[feeds]]
name = "hotline"
url = "{(self.home / "repo").as_uri()}"
root = "{self.home}/repo/root.json"
every = "1h"

{self.lists}
{self.extra}
"""
        self.config.write_text(text, encoding="utf-8")

    def __enter__(self) -> Self:
        self.upstream = self.upstream or Upstream()
        self.upstream.__enter__()
        self.write_config()
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self, wait: bool = True) -> None:
        self.output = (self.home / "daemon.log").open("ab")
        self.process = subprocess.Popen(
            [*BLOCKD, "run", "-c", str(self.config)], stdout=self.output, stderr=subprocess.STDOUT, env={**os.environ, **self.environment}
        )
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError(f"the daemon ended with {self.process.returncode}:\n{self.log()}")
            status = self.status(check=False)
            if status and status.get("ready"):
                return
            time.sleep(0.1)
        raise AssertionError(f"not ready after {START_S} s; status {status}\n{self.log()}")

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.upstream.__exit__()

    def stop(self, sig: int = signal.SIGTERM) -> int:
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(sig)
        try:
            code = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"the daemon did not stop:\n{self.log()}") from None
        finally:
            self.output.close()
        self.process = None
        return code

    def log(self) -> str:
        return (self.home / "daemon.log").read_text(encoding="utf-8", errors="replace")

    def status(self, check: bool = True) -> dict:
        done = blockd("status", "-c", self.config, "--json", check=False)
        if done.returncode and check:
            raise AssertionError(done.stderr + self.log())
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def door(self, name: str) -> tuple[str, int]:
        host, _, port = self.status()["listen"][name][0].rpartition(":")
        return host.strip("[]"), int(port)

    def ask(self, name: str, rdtype: str = "A", *, tcp: bool = False, timeout_s: float = 5.0, **kwargs) -> dns.message.Message:
        kwargs.setdefault("use_edns", 0)
        query = dns.message.make_query(name, rdtype, **kwargs)
        host, port = self.door("tcp" if tcp else "udp")
        return (dns.query.tcp if tcp else dns.query.udp)(query, host, timeout=timeout_s, port=port)

    def update(self, check: bool = True, *names: str) -> subprocess.CompletedProcess[str]:
        return blockd("lists", "update", *(names or ("--all",)), "-c", self.config, "--json", check=check)

    def get(self, path: str, door: str = "admin") -> tuple[int, str]:
        host, port = self.door(door)
        try:
            with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


def enforce(*names: str, extra: str = "") -> str:
    """TOML that enforces these lists of the feed `hotline`."""
    return "\n".join(f'[[lists]]\nname = "hotline/{name}"\nmode = "enforce"\n{extra}\n' for name in names)


def need(program: str) -> str:
    """The program's path. The project's own set-up installs it, so that its absence is a failure, not a skip."""
    path = shutil.which(program)
    assert path, f"{program} is missing: make test installs it (deploy/packages/test.txt)"
    return path
