"""Compiles dns_driver.c in some manner and gives it inputs."""

from __future__ import annotations

import random
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from blockd.native._table import CompiledList, ListBuilder, build_table
from blockd.terms import Kind
from tests.fuzz.harness import CORPUS, mutate, read_corpus
from tests.house.sources import ROOT
from tests.native.dns_tools import KEY, wire

if TYPE_CHECKING:
    from collections.abc import Iterable

SOURCE = Path(__file__).with_suffix(".c")
WARNINGS = ("-std=c11", "-D_GNU_SOURCE", "-pthread", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'blockd' / 'native'}")
ENVIRONMENT = {"ASAN_OPTIONS": "detect_leaks=1:halt_on_error=1", "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}
QUERY_WORDS = (
    b"\3bad\7example\0",
    b"\xc0\x0c",
    b"\0\0\x29\x04\xd0\0\0\0\0\0\0",
    b"\0\x1a\0\0",
    b"\0\xff\0\1",
    b"\0\x41\0\1",
    b"\x3f" + b"a" * 63,
    b"\1a" * 64,
)
REPLY_WORDS = (
    b"\xc0\x0c",
    b"\xc0\x10",
    b"\xc0\x2a",
    b"\xff\xff",
    b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\1\2\3\4",
    b"\xc0\x0c\0\5\0\1\0\0\0\x3c\0\2\xc0\x10",
    b"\1a" * 60,
)


def compile_driver(folder: Path, *flags: str, compiler: str = "gcc", source: Path = SOURCE) -> Path:
    program = folder / "dns_driver"
    subprocess.run([compiler, *WARNINGS, *flags, str(source), "-o", str(program)], check=True)
    make_table(folder)
    return program


def make_table(folder: Path) -> None:
    """Names of the corpus, in one rule each: sets, and so verdicts, of every kind."""
    builder = ListBuilder(KEY, b"")
    names = [
        "bad.example",
        "sub.bad.example",
        "ok.bad.example",
        "one.example",
        "tested.example",
        "a.example",
        "b.a.example",
        *(f"n{i}.example" for i in range(40)),
    ]
    for row, name in enumerate(names):
        builder.add_name(wire(name), Kind.EXACT if row == 3 else Kind.SUBTREE, row, row)
    builder.write(folder / "list", b"[]")
    build_table(
        folder / "table",
        KEY,
        [(CompiledList(folder / "list", KEY), list(range(len(names))))],
        b"",
        [Kind.EXACT if row == 3 else Kind.SUBTREE for row in range(len(names))],
    )


def run(program: Path, mode: str, inputs: Iterable[bytes]) -> tuple[int, int]:
    """(inputs, what the mode counts). A sanitizer's report, a fault or a difference fails the test."""
    file = program.with_name("inputs")
    file.write_bytes(b"".join(struct.pack("<I", len(data)) + data for data in inputs))
    done = subprocess.run(
        [program, mode, file, program.with_name("table")], capture_output=True, text=True, env=ENVIRONMENT, timeout=100, check=False
    )
    assert done.returncode == 0, f"{mode}: exit {done.returncode}\n{done.stderr[-4000:]}"
    count, _, rest = done.stdout.partition(" inputs, ")
    return int(count), int(rest)


def queries(count: int, seed: int = 1) -> list[bytes]:
    """The fuzz corpus, every cut of a good query, and mutations."""
    rng = random.Random(seed)
    pool = read_corpus(CORPUS / "query")
    whole = max(pool, key=lambda data: data[:2] == b"\xbe\xef" and 50 < len(data) < 200)
    cuts = [whole[:n] for n in range(len(whole))]
    return pool + cuts + [mutate(rng, pool, QUERY_WORDS, 1 << 13) for _ in range(count)]


def replies(count: int, seed: int = 2) -> list[bytes]:
    """The fuzz corpus, every cut of its longest, and mutations that keep the ID and the question."""
    rng = random.Random(seed)
    pool = read_corpus(CORPUS / "reply")
    cuts = [data[:n] for data in pool for n in range(0, len(data), 3)]
    keep = 12 + 20 + 4
    changed = [data[:keep] + mutate(rng, [data[keep:]], REPLY_WORDS, 1 << 14) for data in rng.choices(pool, k=count)]
    return pool + cuts + changed + [mutate(rng, pool, REPLY_WORDS, 1 << 16) for _ in range(count // 4)]


def states(count: int, seed: int = 3) -> list[bytes]:
    rng = random.Random(seed)
    return [b"", b"\0", *(rng.randbytes(rng.randrange(900)) for _ in range(count))]
