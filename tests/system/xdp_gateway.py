"""The gateway of the XDP tests: blockd in the server's namespace, its program on the cable."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import Self

import pytest

from blockd.errors import Unavailable
from blockd.kernel import driver
from blockd.kernel.store import OBJECT
from tests.system.gateway import BLOCKD, Gateway
from tests.system.netns import SERVER4, SERVER6, Cable, inside
from tests.system.upstream import Upstream


def need_bpf() -> None:
    """Skip where the kernel forbids BPF; a program that was not built, or no libbpf, is a failure: make test provides them."""
    assert OBJECT.is_file(), "make test builds it"
    try:
        os.close(driver.make_units("blockd_probe", 1, 64))
    except Unavailable:
        raise
    except PermissionError:
        pytest.skip("bpf() is forbidden here (EPERM)")


@dataclass
class XdpGateway(Gateway):
    """`listen`, `xdp_listen`: as in the configuration."""

    cable: Cable | None = None
    mode: str = "native"
    listen: tuple[str, ...] = (f"{SERVER4}:53", f"[{SERVER6}]:53")
    xdp_listen: tuple[str, ...] = ()
    pages: str = '["192.0.2.80", "2001:db8::80"]'

    def write_config(self) -> None:
        upstreams = [f"udp://127.0.0.1:{self.upstream.port}"] if self.listen else []
        self.config.write_text(
            f"""
state_dir = "{self.home}/state"
runtime_dir = "{self.home}/run"

[run]
user = ""

[dns]
listen = {list(self.listen)}
upstreams = {upstreams}
allow_from = ["192.0.2.0/24", "2001:db8:5::/64"]
cache = "16MiB"
xdp = "{self.mode}"
xdp_interface = "eth0"
xdp_listen = {list(self.xdp_listen)}
{self.dns_extra}

[stop_page]
listen = []
addresses = {self.pages}

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
""".replace("'", '"'),
            encoding="utf-8",
        )

    def __enter__(self) -> Self:
        if self.upstream is None:
            with inside(self.cable.server):
                self.upstream = Upstream()
                return super().__enter__()
        return super().__enter__()

    def start(self, wait: bool = True) -> None:
        self.output = (self.home / "daemon.log").open("ab")
        command = ["ip", "netns", "exec", self.cable.server, *BLOCKD, "run", "-c", str(self.config)]
        self.process = subprocess.Popen(command, stdout=self.output, stderr=subprocess.STDOUT)
        if wait:
            self.wait_ready()

    def metrics(self) -> str:
        with inside(self.cable.server):
            return self.get("/metrics")[1]
