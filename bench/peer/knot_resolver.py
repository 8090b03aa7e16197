"""Knot Resolver: a response policy zone read by its policy module, one process.

It forwards with `policy.FORWARD` and no trust anchor: behind `policy.STUB` it keeps every answer for five seconds only, whatever its TTL.
An update is the same two rules made again through its control socket (it looks for changes of the file itself only where lua-cqueues is installed).
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from bench.peer.base import Peer, write_rpz

if TYPE_CHECKING:
    from pathlib import Path

CONFIGURATION = """net.listen('127.0.0.1', {port}, {{ kind = 'dns' }})
net.ipv6 = false
log_level('err')
trust_anchors.remove('.')
modules.unload('ta_update')
modules.unload('ta_signal_query')
modules.unload('priming')
modules.unload('detect_time_skew')
cache.open(128 * MB, 'lmdb://{folder}/cache')
net.listen('{folder}/control', nil, {{ kind = 'control' }})
function take_list()
  local block = policy.add(policy.rpz(policy.DENY, '{folder}/rpz.zone', false))
  local forward = policy.add(policy.all(policy.FORWARD('127.0.0.1@{upstream}')))
  for _, old in ipairs(rules or {{}}) do policy.del(old.id) end
  rules = {{ block, forward }}
end
take_list()
"""


class Rpz(Peer):
    name = "knot-resolver RPZ"
    package = "knot-resolver"
    programs = ("kresd",)
    can_replace = True

    def convert(self, listed: Path) -> None:
        write_rpz(self.folder / "rpz.zone", listed)

    def configure(self) -> None:
        (self.folder / "cache").mkdir(exist_ok=True)
        text = CONFIGURATION.format(folder=self.folder, port=self.port, upstream=self.upstream_port)
        (self.folder / "kresd.conf").write_text(text, encoding="ascii")

    def command(self) -> list[str]:
        return [self.program("kresd") or "kresd", "-n", "-q", "-c", str(self.folder / "kresd.conf"), str(self.folder)]

    def replace(self, listed: Path) -> None:
        self.convert(listed)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
            control.connect(str(self.folder / "control"))
            control.sendall(b"take_list()\n")
