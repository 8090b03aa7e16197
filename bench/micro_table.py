"""The table: text to a checked file against `LC_ALL=C sort -u` of the same file, octets an entry, nanoseconds a look-up.

Each round sorts and builds one after the other, so that both meet the same machine. "build" is everything from the text's octets to a table that may
go live: parse, fingerprint, sort, write and fsync the compiled list, read it back, write and fsync the table, read it back whole,
compare every entry. Threads of both sides: as many as there are processors.

    python bench/micro_table.py [--entries 1000000 10000000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import mmap
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.machine import header
from blockd.control.compile import blocks_of
from blockd.native._table import CompiledList, ListBuilder
from blockd.table.build import build, check
from blockd.table.rules import Rule, dump_rules
from blockd.terms import Category, Kind, ListName

HERE = Path(__file__).parent
KEY = bytes(range(16))
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
SAMPLE = 1_000_000


def write_names(path: Path, count: int, seed: int = 1) -> None:
    """Made-up names of the shape that real lists have (2 to 4 labels, 19 octets on average), in no order; about 1 % stand twice."""
    rng = random.Random(seed)
    words = ["".join(rng.choices(LETTERS, k=rng.randint(3, 9))) for _ in range(50_000)]
    tops = ("com", "net", "org", "info", "co.uk", "ru", "xyz")
    name = ""
    with path.open("w", encoding="ascii") as file:
        for number in range(count):
            if number and rng.random() < 0.01:
                file.write(name)
                continue
            sub = rng.choice(("", "", "www.", "m.", rng.choice(words) + "."))
            name = f"{sub}{rng.choice(words)}{rng.choice(('', '-'))}{rng.choice(words)}{number % 1000}.{rng.choice(tops)}\n"
            file.write(name)


def sort_seconds(path: Path, out: Path) -> float:
    start = time.perf_counter()
    subprocess.run(["sort", "-u", "-o", out, path], env={**os.environ, "LC_ALL": "C"}, check=True)
    return time.perf_counter() - start


def build_seconds(path: Path, folder: Path) -> tuple[float, list[tuple[str, float]], int, int]:
    """(seconds, parts, entries, octets of the table)."""
    parts: list[tuple[str, float]] = []
    start = last = time.perf_counter()

    def lap(what: str) -> None:
        nonlocal last
        now = time.perf_counter()
        parts.append((what, now - last))
        last = now

    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        builder = ListBuilder(KEY, b"")
        with memoryview(mapped) as data:
            for block in blocks_of(data):
                builder.add_text(block, "domains", builder.next_row, 0)
                block.release()
        lap("parse")
        builder.write(folder / "list.blkl", dump_rules([Rule(ListName("bench/list"), Kind.SUBTREE, Category.OTHER)]))
        lap("sort, write")
    compiled = CompiledList(folder / "list.blkl", KEY)
    lap("read back")
    built = build(folder / "table.blkt", KEY, [compiled])
    lap("table")
    table = check(built, KEY, [compiled])
    lap("check")
    result = last - start, parts, table.entries, table.bytes
    table.close()
    compiled.close()
    return result


def sample(path: Path, prefix: str, out: Path) -> None:
    with path.open("rb") as file:
        lines = file.read().split(b"\n")[:-1]
    random.Random(2).shuffle(lines)
    out.write_bytes(b"".join(prefix.encode() + line + b"\n" for line in lines[:SAMPLE]))


def lookups(program: Path, table: Path, path: Path, folder: Path) -> None:
    for what, prefix in (("listed", ""), ("under a listed one", "q."), ("not listed", "x-")):
        sample(path, prefix, folder / "asked")
        done = subprocess.run([program, table, KEY.hex(), folder / "asked"], capture_output=True, text=True, check=True)
        both, walk, found = done.stdout.split()
        print(f"  walk and look-up of a name that is {what}: {both} ns (walk alone {walk}; {float(found):.0%} found)", flush=True)


def measure(count: int, rounds: int, folder: Path, program: Path) -> None:
    path = folder / "names"
    write_names(path, count)
    sorts, builds = [], []
    for _ in range(rounds):
        sorts.append(sort_seconds(path, folder / "sorted"))
        builds.append(build_seconds(path, folder))
    seconds, parts, entries, octets = min(builds)
    ratio = statistics.median(b[0] / s for b, s in zip(builds, sorts, strict=True))
    print(f"\n{count:,} rows, {path.stat().st_size / count:.1f} octets each; {entries:,} entries")
    print(
        f"  sort -u {statistics.median(sorts):.2f} s, build {statistics.median(b[0] for b in builds):.2f} s, ratio {ratio:.2f} (must be below 1)"
    )
    print("  best build: " + ", ".join(f"{what} {part:.2f}" for what, part in parts) + f" = {seconds:.2f} s")
    print(f"  {octets / entries:.2f} octets an entry (must be at most 24)", flush=True)
    lookups(program, folder / "table.blkt", path, folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--entries", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print(header())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = folder / "table_lookup"
        flags = ("-std=c11", "-O3", "-D_GNU_SOURCE", f"-I{HERE.parent / 'blockd' / 'native'}")
        subprocess.run(["gcc", *flags, HERE / "table_lookup.c", "-o", program], check=True)
        for count in args.entries:
            measure(count, args.rounds, folder, program)
    return 0


if __name__ == "__main__":
    sys.exit(main())
