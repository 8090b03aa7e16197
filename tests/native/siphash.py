"""SipHash-1-3 with 128 bits of output, written from the paper and the reference code's description: slow, and nobody else's code path."""

from __future__ import annotations

MASK = (1 << 64) - 1


def _rotl(x: int, n: int) -> int:
    return ((x << n) | (x >> (64 - n))) & MASK


def _round(v: list[int]) -> None:
    v[0] = (v[0] + v[1]) & MASK
    v[1] = _rotl(v[1], 13) ^ v[0]
    v[0] = _rotl(v[0], 32)
    v[2] = (v[2] + v[3]) & MASK
    v[3] = _rotl(v[3], 16) ^ v[2]
    v[0] = (v[0] + v[3]) & MASK
    v[3] = _rotl(v[3], 21) ^ v[0]
    v[2] = (v[2] + v[1]) & MASK
    v[1] = _rotl(v[1], 17) ^ v[2]
    v[2] = _rotl(v[2], 32)


def siphash128(key: bytes, message: bytes, c: int = 1, d: int = 3) -> bytes:
    """`c` rounds a block and `d` at the end: SipHash-c-d-128."""
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D ^ 0xEE, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]
    padded = message + bytes(7 - len(message) % 8) + bytes((len(message) & 0xFF,))
    for at in range(0, len(padded), 8):
        block = int.from_bytes(padded[at : at + 8], "little")
        v[3] ^= block
        for _ in range(c):
            _round(v)
        v[0] ^= block
    v[2] ^= 0xEE
    for _ in range(d):
        _round(v)
    low = v[0] ^ v[1] ^ v[2] ^ v[3]
    v[1] ^= 0xDD
    for _ in range(d):
        _round(v)
    return low.to_bytes(8, "little") + (v[0] ^ v[1] ^ v[2] ^ v[3]).to_bytes(8, "little")


def name_message(wire: bytes) -> bytes:
    """What is hashed for a name: its labels from the right, each with its length octet, folded, padded to eight (native/name.h)."""
    labels, at = [], 0
    while wire[at]:
        label = wire[at : at + 1 + wire[at]].lower()
        labels.append(label + bytes(-len(label) % 8))
        at += 1 + wire[at]
    return b"".join(reversed(labels))


def name_fingerprint(key: bytes, wire: bytes) -> bytes:
    return siphash128(key, name_message(wire))


def url_fingerprint(key: bytes, url_key: bytes) -> bytes:
    return siphash128(key, b"\xff" + url_key)
