"""A seeded mutation loop without instruments: give it a function that raises when a property breaks.

    # tests/fuzz/fuzz_thing.py
    from harness import main

    def target(data: bytes) -> object:
        '''Any bytes give a value or `Refused`.'''
        try:
            value = parse(data)
        except Refused as refused:
            return refused.reason
        assert parse(bytes(value)) == value
        return type(value)

    if __name__ == "__main__":
        main("thing", target, dictionary=(b"://", b"%2e"))

    $ python tests/fuzz/fuzz_thing.py --seconds 5 --seed 1     # 0: nothing found, 1: found, the input is saved
    $ python tests/fuzz/fuzz_thing.py build/fuzz/thing-….bin   # runs saved inputs again, with their traceback

What counts as a violation: any exception that leaves the target, one input that takes more than `SLOW_S` of processor time,
no progress for `HANG_S`, and the death of the process by a signal (the loop runs in a child; the input under test
stands in memory shared with the parent, so that a crash in C is saved too).

What steers it: the target's return value. An input with a return value that was not seen before joins the pool, so
return something small that tells behaviours apart (a reason word, a count of labels, a type), never the input itself.
The corpus is every file in ``tests/fuzz/corpus/<name>/``; a file ``*.txt`` there is one input a line (``\\x00`` escapes are read).
The same seed and corpus give the same sequence of inputs; only how far it gets depends on the machine.
"""

from __future__ import annotations

import argparse
import hashlib
import mmap
import os
import random
import signal
import struct
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    Target = Callable[[bytes], Hashable]

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus"
SAVED = HERE.parents[1] / "build" / "fuzz"

INPUT_MAX_BYTES = 1 << 16
POOL_MAX_INPUTS = 4096
SLOW_S = 0.5  # processor time of the thread, best of three runs: other work on the machine does not count
HANG_S = 30.0
MINIMISE_S = 5.0

EDGES = (0, 1, 2, 7, 8, 9, 15, 16, 31, 32, 47, 57, 62, 63, 64, 65, 91, 96, 126, 127, 128, 191, 192, 193, 239, 240, 253, 254, 255)
EDGES_16 = (0, 1, 0x3F, 0x40, 0x7F, 0x80, 0xFF, 0x100, 0x1FF, 0x200, 0x3FFF, 0x4000, 0x7FFF, 0x8000, 0xC000, 0xC00C, 0xFFFE, 0xFFFF)


# One mutation: (generator, input, pool) -> input. Each is total: any bytes, the empty ones included.


def _flip(rng: random.Random, data: bytearray) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _edge(rng: random.Random, data: bytearray) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.choice(EDGES)


def _edge_16(rng: random.Random, data: bytearray) -> None:
    at = rng.randrange(len(data) + 1)
    data[at : at + 2] = rng.choice(EDGES_16).to_bytes(2, rng.choice(("big", "little")))


def _nudge(rng: random.Random, data: bytearray) -> None:
    if data:
        at = rng.randrange(len(data))
        data[at] = (data[at] + rng.randint(-4, 4)) % 256


def _insert(rng: random.Random, data: bytearray) -> None:
    at = rng.randrange(len(data) + 1)
    data[at:at] = rng.randbytes(rng.choice((1, 1, 1, 2, 4, 16)))


def _chunk(rng: random.Random, data: bytes | bytearray) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice((1, 1, 2, 3, 4, 8, 16, 64, 256)))


def _delete(rng: random.Random, data: bytearray) -> None:
    start, end = _chunk(rng, data)
    del data[start:end]


def _truncate(rng: random.Random, data: bytearray) -> None:
    del data[rng.randrange(len(data) + 1) :]


def _repeat(rng: random.Random, data: bytearray) -> None:
    start, end = _chunk(rng, data)
    data[end:end] = data[start:end] * rng.choice((1, 1, 1, 2, 3, 8, 64, 128))


def _move(rng: random.Random, data: bytearray) -> None:
    start, end = _chunk(rng, data)
    piece = data[start:end]
    del data[start:end]
    at = rng.randrange(len(data) + 1)
    data[at:at] = piece


def _case(rng: random.Random, data: bytearray) -> None:
    start, end = _chunk(rng, data)
    data[start:end] = data[start:end].swapcase()


MUTATORS = (_flip, _edge, _edge_16, _nudge, _insert, _delete, _truncate, _repeat, _move, _case)


def mutate(rng: random.Random, pool: Sequence[bytes], dictionary: Sequence[bytes] = (), size_max: int = INPUT_MAX_BYTES) -> bytes:
    """A new input from `pool`: one to eight mutations of a member, now and then spliced with a second one."""
    data = bytearray(rng.choice(pool))
    for _ in range(rng.choice((1, 1, 2, 2, 3, 4, 8))):
        roll = rng.random()
        if dictionary and roll < 0.25:
            start, end = _chunk(rng, data) if rng.random() < 0.5 else (rng.randrange(len(data) + 1),) * 2
            data[start:end] = rng.choice(dictionary)
        elif roll < 0.35:
            other = rng.choice(pool)
            start, end = _chunk(rng, other)
            at = rng.randrange(len(data) + 1)
            data[at:] = other[start:] if rng.random() < 0.5 else other[start:end] + data[at:]
        else:
            rng.choice(MUTATORS)(rng, data)
    return bytes(data[:size_max])


def read_corpus(folder: Path) -> list[bytes]:
    """Every committed input of a target, in the order of the file names."""

    def unescape(line: bytes) -> bytes:
        return line.decode("unicode_escape").encode("latin-1") if b"\\x" in line else line

    inputs: list[bytes] = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix == ".txt":
            inputs += [unescape(line) for line in path.read_bytes().splitlines()]
        elif path.is_file():
            inputs.append(path.read_bytes())
    return inputs


class _Shared:
    """What the parent can still read after the child's death: how many inputs it began, and the one under test."""

    def __init__(self, size_max: int) -> None:
        self._map = mmap.mmap(-1, 16 + size_max)

    def begin(self, count: int, data: bytes) -> None:
        self._map[0:16] = struct.pack("<QQ", count, len(data))
        self._map[16 : 16 + len(data)] = data

    def read(self) -> tuple[int, bytes]:
        count, length = struct.unpack("<QQ", self._map[0:16])
        return count, self._map[16 : 16 + length]


def _cpu(target: Target, data: bytes) -> float:
    start = time.thread_time()
    target(data)
    return time.thread_time() - start


def _fails(target: Target, data: bytes, kind: type[BaseException]) -> bool:
    try:
        target(data)
    except kind:
        return True
    except Exception:
        return False
    return False


def _minimise(target: Target, data: bytes, kind: type[BaseException]) -> bytes:
    """Cut pieces out while the same type of exception leaves the target."""
    end = time.monotonic() + MINIMISE_S
    size = max(1, len(data) // 2)
    while size and time.monotonic() < end:
        at = 0
        while at < len(data) and time.monotonic() < end:
            shorter = data[:at] + data[at + size :]
            if _fails(target, shorter, kind):
                data = shorter
            else:
                at += size
        size //= 2
    return data


def _say(line: str) -> None:
    print(line, flush=True)


def _save(name: str, data: bytes, why: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{hashlib.sha256(data).hexdigest()[:16]}.bin"
    path.write_bytes(data)
    _say(f"fuzz {name}: {why}; the input ({len(data)} octets) is in {path}")


def run(
    target: Target,
    corpus: Iterable[bytes],
    seconds: float,
    seed: int,
    *,
    name: str = "target",
    dictionary: Sequence[bytes] = (),
    size_max: int = INPUT_MAX_BYTES,
    saved: Path = SAVED,
    shared: _Shared | None = None,
) -> int:
    """Every corpus input, then mutations until `seconds` have passed. Returns 1 with the input in `saved`, or 0.

    Runs in this process: a crash in C ends it. :func:`main` puts a parent around it.
    """
    rng = random.Random(seed)
    pool = [data[:size_max] for data in corpus] or [b""]
    seeds = list(pool)
    seen: set[Hashable] = set()
    end = time.monotonic() + seconds
    count = 0
    while seeds or time.monotonic() < end:
        data = seeds.pop() if seeds else mutate(rng, pool, dictionary, size_max)
        count += 1
        if shared is not None:
            shared.begin(count, data)
        start = time.thread_time()
        try:
            behaviour = target(data)
        except Exception as error:
            traceback.print_exc()
            _save(name, _minimise(target, data, type(error)), f"{type(error).__name__} at input {count}, seed {seed}", saved)
            return 1
        if time.thread_time() - start > SLOW_S and min(_cpu(target, data) for _ in range(3)) > SLOW_S:
            _save(name, data, f"more than {SLOW_S} s for one input", saved)
            return 1
        if behaviour not in seen:
            seen.add(behaviour)
            if len(pool) < POOL_MAX_INPUTS:
                pool.append(data)
    _say(f"fuzz {name}: {count} inputs, {len(seen)} behaviours, seed {seed}, nothing found")
    return 0


def _guard(child: int, name: str, shared: _Shared, saved: Path) -> int:
    """Wait for the child; save what it died or hangs on."""
    last, since = -1, time.monotonic()
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        count, _ = shared.read()
        if count != last:
            last, since = count, time.monotonic()
        elif time.monotonic() - since > HANG_S:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            _save(name, shared.read()[1], f"no end after {HANG_S} s", saved)
            return 1
        time.sleep(0.05)
    if os.WIFSIGNALED(status):
        _save(name, shared.read()[1], f"the process died by signal {os.WTERMSIG(status)}", saved)
        return 1
    return os.WEXITSTATUS(status)


def main(name: str, target: Target, *, dictionary: Sequence[bytes] = (), size_max: int = INPUT_MAX_BYTES) -> None:
    """The command line of a fuzz target: ``--seconds N --seed N``, or files to run again. Exits."""
    parser = argparse.ArgumentParser(description=(target.__doc__ or name).strip().splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--saved", type=Path, default=SAVED, help="where an input that breaks the property goes")
    parser.add_argument("files", nargs="*", type=Path, help="run these inputs once, without mutation")
    options = parser.parse_args()
    if options.files:
        for path in options.files:
            _say(f"{path}: {target(path.read_bytes())!r}")
        sys.exit(0)
    shared = _Shared(size_max)
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = run(
                target, read_corpus(CORPUS / name), options.seconds, options.seed,
                name=name, dictionary=dictionary, size_max=size_max, saved=options.saved, shared=shared,
            )  # fmt: skip
        finally:
            sys.stdout.flush()
            os._exit(code)
    sys.exit(_guard(child, name, shared, options.saved))
