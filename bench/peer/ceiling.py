"""The raw UDP ceiling (bench/ceiling.c), measured as if it were a peer: no list, every query sent back.

Twice: once with the query as it came, the shortest answer that there is, and once with as many octets more as blockd's blocked answer has.
"""

from __future__ import annotations

from typing import ClassVar

from bench.peer.base import Peer, rcode_of


class Ceiling(Peer):
    name = "raw UDP ceiling"
    package = "blockd"
    programs = ()
    judged = False
    extra_octets: ClassVar[int] = 0

    def convert(self, listed: object) -> None:
        """It has no list."""

    def configure(self) -> None:
        """Nor a configuration."""

    def command(self) -> list[str]:
        return [str(self.folder.parent.parent / "bin" / "ceiling"), "127.0.0.1", str(self.port), str(self.extra_octets)]

    def blocks(self, asked: str) -> bool:  # noqa: ARG002
        return True

    def resolves(self, asked: str) -> bool:
        return rcode_of(self.port, asked) is not None


class CeilingOfLongAnswers(Ceiling):
    name = "raw UDP ceiling, long"
    extra_octets = 49  # measured again in each run, from blockd's own answer
