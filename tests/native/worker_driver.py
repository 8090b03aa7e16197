"""Compiles worker_driver.c in some manner and runs it: `python -m tests.native.worker_driver --seconds 300` does so under each sanitizer in turn."""

from __future__ import annotations

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from blockd.native._table import CompiledList, ListBuilder, build_table
from blockd.terms import Kind
from tests.native import dns_driver
from tests.native.dns_tools import KEY, wire

if TYPE_CHECKING:
    from collections.abc import Sequence

SOURCE = Path(__file__).with_suffix(".c")
NAMES = ("both.example", "first.example", "second.example", "noted.example", "dropped.example", "deep.both.example")
ONLY_IN_THE_SECOND, ONLY_IN_THE_FIRST = 2, 1
ADDRESS = ("-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
THREAD = ("-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=thread")
ENVIRONMENT = {**dns_driver.ENVIRONMENT, "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1"}
HOSTILE_INPUTS = 4000

# What a run of a few seconds must have done, each under a sanitizer on a busy machine. A driver that does nothing finds nothing.
LEAST = {
    "answers": 500, "good": 100, "blocked": 100, "servfail": 20, "silent": 10, "stable": 300, "truncated": 1, "cached": 50, "hostile": 2000, "hostile_answers": 500,
    "refused": 50, "ports": 30, "swaps": 20, "learned": 2, "follows": 10, "stops": 1, "drains": 1, "deaths": 1, "forwarded": 300, "coalesced": 1, "hedged": 1,
    "mismatches": 20, "malformed": 1, "why miss": 1, "why hits": 2, "why timeout": 5, "why truncated": 1, "why failed": 5, "why spoofed": 5,
}  # fmt: skip


def _table(folder: Path, name: str, without: int) -> Path:
    builder = ListBuilder(KEY, b"")
    for rule, listed in enumerate(NAMES):
        if rule != without:
            builder.add_name(wire(listed), Kind.SUBTREE, rule, rule)
    builder.write(folder / "list", b"[]")
    rules = len(NAMES)
    build_table(folder / name, KEY, [(CompiledList(folder / "list", KEY), list(range(rules)))], b"", [Kind.SUBTREE] * rules)
    return folder / name


def build(folder: Path, *flags: str, source: Path = SOURCE) -> Path:
    """The program, in `folder`."""
    program = folder / "worker_driver"
    subprocess.run(["gcc", *dns_driver.WARNINGS, *flags, str(source), "-o", str(program)], check=True)
    return program


def run(program: Path, *, seed: int, seconds: int, rated: bool, before: Sequence[str] = ()) -> dict[str, int]:
    """Its figures. A sanitizer's report, a fault or a broken rule fails the test."""
    folder = program.parent
    first, second = _table(folder, "table1", ONLY_IN_THE_SECOND), _table(folder, "table2", ONLY_IN_THE_FIRST)
    inputs = folder / "inputs"
    inputs.write_bytes(b"".join(struct.pack("<I", len(data)) + data for data in dns_driver.queries(HOSTILE_INPUTS, seed)))
    command = [*before, program, str(seed), str(seconds), "01"[rated], first, second, inputs]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **ENVIRONMENT}, timeout=seconds * 3 + 90, check=False)
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stderr[:6000]}"
    figures: dict[str, int] = json.loads(done.stdout)
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the UDP worker under the sanitizers, with a hostile generator.")
    parser.add_argument("--seconds", type=int, default=60, help="for each of them")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for name, flags in (("address,undefined", ADDRESS), ("thread", THREAD)):
        for rated in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                program = build(Path(folder), *flags)
                try:
                    figures = run(program, seed=options.seed, seconds=options.seconds, rated=rated)
                except AssertionError as error:
                    print(f"{name}, rate limit {rated}, seed {options.seed}: {error}", flush=True)
                    return 1
                print(f"{name}, rate limit {rated}, seed {options.seed}: nothing found; {json.dumps(figures)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
