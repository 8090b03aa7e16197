"""The raw UDP ceiling (bench/ceiling.c), measured as if it were a peer: no list, every query sent back."""

from __future__ import annotations

from bench.peer.base import Peer, rcode_of


class Ceiling(Peer):
    name = "raw UDP ceiling"
    package = "blockd"
    programs = ()
    judged = False

    def convert(self, listed: object) -> None:
        """It has no list."""

    def configure(self) -> None:
        """Nor a configuration."""

    def command(self) -> list[str]:
        return [str(self.folder.parent.parent / "bin" / "ceiling"), "127.0.0.1", str(self.port)]

    def blocks(self, asked: str) -> bool:  # noqa: ARG002
        return True

    def resolves(self, asked: str) -> bool:
        return rcode_of(self.port, asked) is not None
