"""The Merkle tree of the record: RFC 6962 hashing (RFC 9162 §2.1.1), grown one entry at a time.

A :class:`Frontier` keeps one hash for each full subtree from the left, at most one a power of two, so an append costs as many
hashes as the size has trailing ones and the root as many as it has ones.

    >>> Frontier().root().hex()[:8]
    'e3b0c442'
"""

from __future__ import annotations

import hashlib


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256 of 0x00 and the entry."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256 of 0x01 and both children."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a tree of `size` leaves."""

    __slots__ = ("_hashes", "size")

    def __init__(self) -> None:
        self.size = 0
        self._hashes: list[bytes] = []  # of full subtrees, the largest first

    def append(self, entry: bytes) -> None:
        """Add one entry as the last leaf."""
        digest, ones = leaf_hash(entry), self.size
        while ones & 1:
            digest, ones = node_hash(self._hashes.pop(), digest), ones >> 1
        self._hashes.append(digest)
        self.size += 1

    def root(self) -> bytes:
        """The tree's head; the hash of nothing for an empty one."""
        if not self._hashes:
            return hashlib.sha256(b"").digest()
        digest = self._hashes[-1]
        for left in reversed(self._hashes[:-1]):
            digest = node_hash(left, digest)
        return digest
