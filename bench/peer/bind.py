"""BIND 9: a response policy zone."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from bench.peer.base import Peer, write_rpz

if TYPE_CHECKING:
    from pathlib import Path

CONFIGURATION = """options {{
  directory "{folder}";
  pid-file "{folder}/pid";
  session-keyfile "{folder}/session.key";
  listen-on port {port} {{ 127.0.0.1; }};
  listen-on-v6 {{ none; }};
  recursion yes;
  allow-query {{ any; }};
  allow-recursion {{ any; }};
  dnssec-validation no;
  forward only;
  forwarders {{ 127.0.0.1 port {upstream}; }};
  max-cache-size 256m;
  recursive-clients 10000;
  querylog no;
  empty-zones-enable no;
  response-policy {{ zone "rpz.invalid"; }} qname-wait-recurse no;
}};
controls {{ }};
logging {{ channel out {{ stderr; severity error; }}; category default {{ out; }}; }};
zone "rpz.invalid" {{ type master; file "{folder}/rpz.zone"; allow-query {{ none; }}; }};
"""


class Rpz(Peer):
    name = "bind9 RPZ"
    package = "bind9"
    programs = ("named",)
    can_replace = True

    def convert(self, listed: Path) -> None:
        write_rpz(self.folder / "rpz.zone", listed)

    def configure(self) -> None:
        text = CONFIGURATION.format(folder=self.folder, port=self.port, upstream=self.upstream_port)
        (self.folder / "named.conf").write_text(text, encoding="ascii")

    def command(self) -> list[str]:
        return [self.program("named") or "named", "-f", "-n", "1", "-U", "1", "-c", str(self.folder / "named.conf")]

    def replace(self, listed: Path) -> None:
        self.convert(listed)
        if self.process is not None:
            self.process.send_signal(signal.SIGHUP)  # as `rndc reload`
