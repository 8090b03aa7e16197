"""PowerDNS Recursor: a response policy zone from a file, one thread, its packet cache on (as it is by default)."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from bench.peer.base import Peer, write_rpz

if TYPE_CHECKING:
    from pathlib import Path

CONFIGURATION = """daemon=no
local-address=127.0.0.1
local-port={port}
socket-dir={folder}
config-dir={folder}
threads=1
pdns-distributes-queries=no
dnssec=off
forward-zones-recurse=.=127.0.0.1:{upstream}
dont-query=
serve-rfc1918=no
max-mthreads=8192
quiet=yes
loglevel=3
disable-syslog=yes
statistics-interval=0
security-poll-suffix=
lua-config-file={folder}/rpz.lua
"""


class Rpz(Peer):
    name = "pdns-recursor RPZ"
    package = "pdns-recursor"
    programs = ("pdns_recursor", "rec_control")
    can_replace = True

    def convert(self, listed: Path) -> None:
        write_rpz(self.folder / "rpz.zone", listed)

    def configure(self) -> None:
        text = CONFIGURATION.format(folder=self.folder, port=self.port, upstream=self.upstream_port)
        (self.folder / "recursor.conf").write_text(text, encoding="ascii")
        (self.folder / "rpz.lua").write_text(
            f'rpzFile("{self.folder}/rpz.zone", {{policyName="bench", defpol=Policy.NXDOMAIN}})\n', encoding="ascii"
        )

    def command(self) -> list[str]:
        return [self.program("pdns_recursor") or "pdns_recursor", f"--config-dir={self.folder}"]

    def replace(self, listed: Path) -> None:
        self.convert(listed)
        words = [self.program("rec_control") or "rec_control", f"--socket-dir={self.folder}", f"--config-dir={self.folder}"]
        subprocess.Popen([*words, "reload-lua-config"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
