"""From `blockd lists update` to enforced: 100 changes on a list of a million, against `LC_ALL=C sort -u` on the same file.

The whole way is measured with the real commands: a feed signed with two of three keys, the daemon running, `lists update` until it returns (which
it does when every worker answers from the new generation), the process start included; then one query proves that the new name is blocked.

    python bench/update.py [--entries 1000000] [--rounds 5]
"""

from __future__ import annotations

import argparse
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
from tests.system.gateway import Gateway, blockd, enforce


def names(count: int, seed: int) -> list[str]:
    """Made-up names of the shape that real lists have: 2 to 4 labels, 19 octets on average."""
    rng = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    found: set[str] = set()
    while len(found) < count:
        label = "".join(rng.choices(letters, k=rng.randint(5, 14)))
        sub = rng.choice(("", "", "www.", "m.", "".join(rng.choices(letters, k=4)) + "."))
        found.add(f"{sub}{label}.{rng.choice(('example', 'test', 'invalid'))}")
    return sorted(found, key=lambda _: rng.random())


def sort_seconds(path: Path) -> float:
    start = time.perf_counter()
    with open(os.devnull, "wb") as nowhere:
        subprocess.run(["sort", "-u", str(path)], env={**os.environ, "LC_ALL": "C"}, stdout=nowhere, check=True)
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    print(header())
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        rows = names(args.entries + 100 * args.rounds, seed=1)
        fresh, rows = rows[: 100 * args.rounds], rows[100 * args.rounds :]
        gateway = Gateway(home, lists=enforce("big"))
        gateway.publisher.init()
        listed = home / "big.domains"
        listed.write_text("\n".join(rows) + "\n", encoding="ascii")
        blockd(
            "feed",
            "publish",
            gateway.publisher.repo,
            "--list",
            "big",
            "--format",
            "domains",
            "--category",
            "malware",
            "--basis",
            "operator",
            listed,
            timeout_s=600,
        )
        sorts, updates = [], []
        with gateway:
            gateway.update()
            for number in range(args.rounds):
                added = fresh[100 * number : 100 * number + 50]
                rows = rows[50:] + added
                listed.write_text("\n".join(rows) + "\n", encoding="ascii")
                blockd(
                    "feed",
                    "publish",
                    gateway.publisher.repo,
                    "--list",
                    "big",
                    "--format",
                    "domains",
                    "--category",
                    "malware",
                    "--basis",
                    "operator",
                    listed,
                    timeout_s=600,
                )
                sorts.append(sort_seconds(listed))
                start = time.perf_counter()
                gateway.update()
                updates.append(time.perf_counter() - start)
                answer = gateway.ask(added[0])
                if not any(option.otype == 15 for option in answer.options):
                    print(f"{added[0]} is not blocked after the update", file=sys.stderr)
                    return 1
                print(
                    f"round {number + 1}: sort -u {sorts[-1]:.2f} s, update to enforced {updates[-1]:.2f} s, ratio {updates[-1] / sorts[-1]:.2f}",
                    flush=True,
                )
    ratios = [u / s for u, s in zip(updates, sorts, strict=True)]
    print(
        f"median: sort -u {statistics.median(sorts):.2f} s, update to enforced {statistics.median(updates):.2f} s,"
        f" ratio {statistics.median(ratios):.2f} (must be at most 3)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
