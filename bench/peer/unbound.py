"""unbound: names as local zones, or as a response policy zone."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from bench.peer.base import Peer, write_rpz

if TYPE_CHECKING:
    from pathlib import Path

COMMON = """server:
  interface: 127.0.0.1
  port: {port}
  num-threads: 1
  do-daemonize: no
  chroot: ""
  username: ""
  directory: "{folder}"
  pidfile: "{folder}/pid"
  use-syslog: no
  verbosity: 0
  module-config: "{modules}"
  do-not-query-localhost: no
  hide-identity: yes
  msg-cache-size: 64m
  rrset-cache-size: 128m
  outgoing-range: 4096
  num-queries-per-thread: 2048
  edns-buffer-size: 1232
  so-rcvbuf: 4m
{extra}
remote-control:
  control-enable: no
{zones}
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@{upstream}
"""


class _Unbound(Peer):
    package = "unbound"
    programs = ("unbound",)
    can_replace = True

    def command(self) -> list[str]:
        return [self.program("unbound") or "unbound", "-d", "-c", str(self.folder / "unbound.conf")]

    def write(self, *, modules: str, extra: str = "", zones: str = "") -> None:
        text = COMMON.format(port=self.port, folder=self.folder, modules=modules, upstream=self.upstream_port, extra=extra, zones=zones)
        (self.folder / "unbound.conf").write_text(text, encoding="ascii")

    def replace(self, listed: Path) -> None:
        self.convert(listed)
        if self.process is not None:
            self.process.send_signal(signal.SIGHUP)


class LocalZone(_Unbound):
    name = "unbound local-zone"

    def convert(self, listed: Path) -> None:
        part = self.folder / "zones.part"
        with listed.open(encoding="ascii") as rows, part.open("w", encoding="ascii") as out:
            out.write("server:\n")
            out.writelines(f'local-zone: "{row.rstrip()}." always_nxdomain\n' for row in rows)
        part.rename(self.folder / "zones.conf")

    def configure(self) -> None:
        self.write(modules="iterator", zones=f'include: "{self.folder}/zones.conf"')


class Rpz(_Unbound):
    name = "unbound RPZ"

    def convert(self, listed: Path) -> None:
        write_rpz(self.folder / "rpz.zone", listed)

    def configure(self) -> None:
        self.write(modules="respip iterator", zones=f'rpz:\n  name: "rpz.invalid."\n  zonefile: "{self.folder}/rpz.zone"')
