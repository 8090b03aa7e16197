"""Compiles table_driver.c in some manner and gives it inputs."""

from __future__ import annotations

import random
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fuzz.harness import CORPUS, mutate, read_corpus
from tests.house.sources import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SOURCE = Path(__file__).with_suffix(".c")
WARNINGS = ("-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-pthread", f"-I{ROOT / 'blockd' / 'native'}")
ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=1:halt_on_error=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1",
}


def compile_driver(folder: Path, *flags: str) -> Path:
    program = folder / "table_driver"
    subprocess.run(["gcc", *WARNINGS, *flags, str(SOURCE), "-o", str(program)], check=True)
    return program


def run(program: Path, mode: str, inputs: Iterable[bytes]) -> tuple[int, int]:
    """(inputs, what the mode counts). A sanitizer's report, a fault or a difference fails the test."""
    file = program.with_name("inputs")
    file.write_bytes(b"".join(struct.pack("<I", len(data)) + data for data in inputs))
    done = subprocess.run([program, mode, file, program.parent], capture_output=True, text=True, env=ENVIRONMENT, timeout=100, check=False)
    assert done.returncode == 0, f"{mode}: exit {done.returncode}\n{done.stderr[-4000:]}"
    count, _, rest = done.stdout.partition(" inputs, ")
    return int(count), int(rest)


DICTIONARY = (
    b"0.0.0.0 ",
    b"||",
    b"^",
    b"*.",
    b"# ",
    b"\n",
    b"\r\n",
    b"\xef\xbb\xbf",
    b"example.com",
    b"." * 5,
    b"a" * 64,
    b"a." * 130,
    b"\0",
    b" \t",
)
EDGES = (
    b"", b"\n", b".", b"a.test", b"a.test\n", b"\xef\xbb", b"\xef\xbb\xbf", b"0.0.0.0", b"::1 x.test", b"||", b"||^", b"*.", b"*.a", b"a" * 9000, b"\n" * 70_000,
)  # fmt: skip


def texts(count: int, seed: int = 1) -> list[bytes]:
    """The fuzz corpus of rows, edges, and mutations of both."""
    rng = random.Random(seed)
    pool = [*EDGES, *read_corpus(CORPUS / "rows")]
    pool += [mutate(rng, pool, DICTIONARY, 1 << 12) for _ in range(count)]
    return [*pool, b"".join(b"n%d.w%d.example.test\n" % (i, i % 50) for i in range(9000))]


def names(count: int, seed: int = 2) -> list[bytes]:
    rng = random.Random(seed)
    pool: list[bytes] = [
        b"\0",
        b"\1a\0",
        b"\3www\7example\3com\0",
        b"\1a" * 127 + b"\0",
        b"\x3f" + b"x" * 63 + b"\0",
        bytes(24),
        b"x" * 253,
        b"\xc0\x0c",
    ]
    return pool + [mutate(rng, pool, (b"\0", b"\x3f", b"\x40"), 600) for _ in range(count)] + [rng.randbytes(n) for n in range(300)]


def damaged(data: bytes, count: int, places: Sequence[int], seed: int = 3) -> list[bytes]:
    """`data` with fields of eight or four octets overwritten, and cut at multiples of 64."""
    rng = random.Random(seed)
    found = [data, data[:4096], data[:256], data[: len(data) // 64 * 64]]
    values = [
        0,
        1,
        2,
        3,
        4,
        63,
        64,
        4095,
        4096,
        1 << 16,
        1 << 24,
        1 << 31,
        1 << 32,
        1 << 58,
        1 << 63,
        (1 << 64) - 1,
        len(data),
        len(data) // 64,
    ]
    for _ in range(count):
        some = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 3))):
            at = rng.choice(places) if rng.random() < 0.7 else rng.randrange(0, len(data) - 8, 4)
            value = (rng.choice(values) + rng.choice((0, 0, -1, 1))) & ((1 << 64) - 1)
            some[at : at + 8] = (
                value.to_bytes(8, "little") if rng.random() < 0.5 else value.to_bytes(8, "little")[:4] + some[at + 4 : at + 8]
            )
        found.append(bytes(some[: rng.choice((len(some), len(some), rng.randrange(len(some)) // 64 * 64))]))
    return found
