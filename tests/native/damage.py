"""Every kind of damage to a file that must be seen: bits, cuts, additions, moved and zeroed parts."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def damages(data: bytes, sections: Iterable[int], seed: int = 1) -> Iterator[tuple[str, bytes]]:
    """(what was done, the damaged file). `sections`: offsets where parts of the format begin; around each every bit is flipped."""
    rng = random.Random(seed)
    near = {at + i for at in sections for i in range(-4, 12) if 0 <= at + i < len(data)}
    for at in sorted(near | {rng.randrange(len(data)) for _ in range(400)} | {len(data) - 1}):
        bits = range(8) if at in near else (rng.randrange(8),)
        for bit in bits:
            flipped = bytearray(data)
            flipped[at] ^= 1 << bit
            yield f"bit {bit} of octet {at} flipped", bytes(flipped)
    for length in {0, 1, len(data) - 1, *near, *(rng.randrange(len(data)) for _ in range(60))}:
        yield f"cut to {length}", data[:length]
    yield "one octet added", data + b"\0"
    yield "a page added", data + bytes(4096)
    yield "twice", data + data
    for _ in range(40):
        at, size = rng.randrange(len(data)), rng.choice((8, 24, 64, 4096))
        zeroed = data[:at] + bytes(len(data[at : at + size])) + data[at + size :]
        if zeroed != data:
            yield f"{size} octets zeroed at {at}", zeroed
    for _ in range(40):
        size = rng.choice((24, 64))
        one, other = sorted(rng.randrange(len(data) - size) // size * size for _ in range(2))
        swapped = bytearray(data)
        swapped[one : one + size], swapped[other : other + size] = data[other : other + size], data[one : one + size]
        if swapped != data:
            yield f"{size} octets at {one} and {other} swapped", bytes(swapped)
