"""dnsmasq: `local=/name/` lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.peer.base import Peer

if TYPE_CHECKING:
    from pathlib import Path


class Dnsmasq(Peer):
    name = "dnsmasq"
    package = "dnsmasq-base"
    programs = ("dnsmasq",)

    def convert(self, listed: Path) -> None:
        with listed.open(encoding="ascii") as rows, (self.folder / "list.conf").open("w", encoding="ascii") as out:
            out.writelines(f"local=/{row.rstrip()}/\n" for row in rows)

    def configure(self) -> None:
        text = (
            f"port={self.port}\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\nserver=127.0.0.1#{self.upstream_port}\n"
            f"cache-size=100000\ndns-forward-max=10000\nuser=root\npid-file={self.folder}/pid\nconf-file={self.folder}/list.conf\n"
        )
        (self.folder / "dnsmasq.conf").write_text(text, encoding="ascii")

    def command(self) -> list[str]:
        return [self.program("dnsmasq") or "dnsmasq", "-k", "-C", str(self.folder / "dnsmasq.conf"), "--log-facility=-"]
