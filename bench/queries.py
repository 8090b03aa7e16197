"""The names of a benchmark's list, and the file of queries that the generator sends (its form is in load_queries.h).

A list of n names is made from the numbers 0..n-1 by a bijection, so that ten millions need no set to be unique, a longer list starts with a
shorter one, and names above the list are there for an update to add. All end in `.example` (RFC 2606): two labels, or three, about 20 octets.
"""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

CLASSES = ("blocked", "cached", "miss")
DIGITS = "abcdefghijklmnopqrstuvwxyz0123456789"
SPREAD, SPACE = 0x9E3779B1, 1 << 32  # an odd number is invertible modulo a power of two: no two numbers give one label
SUBDOMAINS = ("", "", "www.", "m.", "cdn.", "mail.")
CACHED_NAMES, BLOCKED_QUERIES, MISSES = 10_000, 500_000, 1_000
UNIQUE_LABEL = "0" * 12


def name(number: int) -> str:
    """The listed name of a number below 2**32."""
    mixed = number * SPREAD % SPACE
    label = ""
    left = mixed
    for _ in range(7):  # 36**7 > 2**32
        left, digit = divmod(left, 36)
        label += DIGITS[digit]
    tail = DIGITS[mixed % 25 : mixed % 25 + mixed % 6]  # lengths differ, as they do in real lists
    return f"{SUBDOMAINS[mixed % len(SUBDOMAINS)]}{label}{tail}.example"


def names(count: int, start: int = 0) -> Iterator[str]:
    """The names start..start+count-1."""
    return map(name, range(start, start + count))


def write_list(path: Path, count: int) -> Path:
    """A plain list, one name a line; kept when it is there."""
    if not path.exists():
        part = path.with_suffix(".part")
        with part.open("w", encoding="ascii") as out:
            out.writelines(f"{row}\n" for row in names(count))
        part.rename(path)
    return path


def message(asked: str, qtype: int = 1) -> bytes:
    """One query, ID 0, RD set, class IN (RFC 1035 §4.1)."""
    wire = b"".join(bytes((len(label),)) + label.encode("ascii") for label in asked.rstrip(".").split(".")) + b"\0"
    return struct.pack(">6H", 0, 0x0100, 1, 0, 0, 0) + wire + struct.pack(">2H", qtype, 1)


def records(queries: Iterable[tuple[str, bytes]]) -> bytes:
    """The file: (class, message) in the order in which each class is walked."""
    rows = [struct.pack("<BH", CLASSES.index(kind), len(wire)) + wire for kind, wire in queries]
    return b"BLQ1" + struct.pack("<I", len(rows)) + b"".join(rows)


def cached_name(number: int) -> str:
    """A name that no list has and every cache soon does."""
    return f"www.site{number:05d}.allowed.example"


def blocked_names(entries: int, seed: int = 1) -> Iterator[str]:
    """Listed names and names under them, at random, as they are asked for."""
    rng = random.Random(seed)
    return (f"{rng.choice(('', 'www.', 'a.b.'))}{name(rng.randrange(entries))}" for _ in range(BLOCKED_QUERIES))


def write_queries(path: Path, entries: int, seed: int = 1) -> Path:
    """All three classes: listed names, ten thousand that fit into any cache, and misses, each new."""
    cached = list(range(CACHED_NAMES))
    random.Random(seed).shuffle(cached)
    path.write_bytes(
        records(
            [
                *(("blocked", message(asked)) for asked in blocked_names(entries, seed)),
                *(("cached", message(cached_name(number))) for number in cached),
                *(("miss", message(f"{UNIQUE_LABEL}.m{number:03d}.unseen.example")) for number in range(MISSES)),
            ]
        )
    )
    return path
