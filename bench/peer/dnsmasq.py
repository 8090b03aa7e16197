"""dnsmasq: `server=/name/` lines, which say that nobody is to be asked, in a file that it reads again on SIGHUP."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from bench.peer.base import Peer

if TYPE_CHECKING:
    from pathlib import Path


class Dnsmasq(Peer):
    name = "dnsmasq"
    package = "dnsmasq-base"
    programs = ("dnsmasq",)
    can_replace = True

    def convert(self, listed: Path) -> None:
        part = self.folder / "list.part"
        with listed.open(encoding="ascii") as rows, part.open("w", encoding="ascii") as out:
            out.writelines(f"server=/{row.rstrip()}/\n" for row in rows)
        part.rename(self.folder / "list.conf")

    def configure(self) -> None:
        text = (
            f"port={self.port}\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\nserver=127.0.0.1#{self.upstream_port}\n"
            f"cache-size=100000\ndns-forward-max=10000\nuser=root\npid-file={self.folder}/pid\nservers-file={self.folder}/list.conf\n"
        )
        (self.folder / "dnsmasq.conf").write_text(text, encoding="ascii")

    def command(self) -> list[str]:
        return [self.program("dnsmasq") or "dnsmasq", "-k", "-C", str(self.folder / "dnsmasq.conf"), "--log-facility=-"]

    def replace(self, listed: Path) -> None:
        self.convert(listed)
        if self.process is not None:
            self.process.send_signal(signal.SIGHUP)
