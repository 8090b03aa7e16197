"""dnsdist: listed names in a constant database (CDB) on disk, or in a SuffixMatchNode in memory; a packet cache for the rest."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from bench.peer.base import Peer

if TYPE_CHECKING:
    from pathlib import Path

COMMON = """setLocal("127.0.0.1:{port}")
setACL({{"127.0.0.0/8"}})
setSecurityPollSuffix("")
newServer({{address="127.0.0.1:{upstream}", healthCheckMode="up", sockets=4}})
cache = newPacketCache(1000000, {{maxTTL=86400}})
getPool(""):setCache(cache)
setMaxUDPOutstanding(65535)
setUDPSocketBufferSizes(4194304, 4194304)
"""
# maintenance() is called each second, in a thread of its own
LOAD_LIST = """function take_list()
  local listed = newSuffixMatchNode()
  for row in io.lines("{folder}/list") do listed:add(newDNSName(row)) end
  addAction(SuffixMatchNodeRule(listed, true), RCodeAction(DNSRCode.NXDOMAIN))
end
take_list()
function maintenance()
  if os.remove("{folder}/again") then
    take_list()
    rmRule(0)
  end
end
"""


class _Dnsdist(Peer):
    package = "dnsdist"

    def command(self) -> list[str]:
        return [self.program("dnsdist") or "dnsdist", "--supervised", "--disable-syslog", "-C", str(self.folder / "dnsdist.conf")]

    def write(self, rules: str) -> None:
        text = COMMON.format(port=self.port, upstream=self.upstream_port)
        (self.folder / "dnsdist.conf").write_text(text + rules, encoding="ascii")


class Cdb(_Dnsdist):
    name = "dnsdist CDB"
    programs = ("dnsdist", "cdb")
    can_replace = True

    def convert(self, listed: Path) -> None:
        """A small program writes the records as fast as they can be read, so that what is timed is cdb."""
        records = self.folder / "records"
        with listed.open("rb") as rows, records.open("wb") as out:
            subprocess.run([self.folder.parent.parent / "bin" / "cdb_records"], stdin=rows, stdout=out, check=True)
        subprocess.run(["cdb", "-c", "-t", str(self.folder / "tmp"), str(self.folder / "next.cdb"), str(records)], check=True)
        (self.folder / "next.cdb").rename(self.folder / "list.cdb")
        records.unlink()

    def configure(self) -> None:
        self.write(
            f'kvs = newCDBKVStore("{self.folder}/list.cdb", 1)\n'
            "addAction(KeyValueStoreLookupRule(kvs, KeyValueLookupKeySuffix(2)), RCodeAction(DNSRCode.NXDOMAIN))\n"
        )

    def replace(self, listed: Path) -> None:
        self.convert(listed)  # it looks at the file each second


class SuffixMatchNode(_Dnsdist):
    name = "dnsdist SuffixMatchNode"
    programs = ("dnsdist",)
    can_replace = True

    def convert(self, listed: Path) -> None:
        (self.folder / "list.next").unlink(missing_ok=True)
        (self.folder / "list.next").symlink_to(listed)
        (self.folder / "list.next").rename(self.folder / "list")

    def configure(self) -> None:
        self.write(LOAD_LIST.format(folder=self.folder))

    def replace(self, listed: Path) -> None:
        self.convert(listed)
        (self.folder / "again").touch()
