"""Run the benchmarks, one after the other: `python bench/run.py [--list] [NAME ...]`."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ORDER = ("micro_table", "micro_dns", "load_udp", "update", "peers")


def main() -> int:
    parser = argparse.ArgumentParser(description="Run blockd's benchmarks.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="some of them; all by default")
    parser.add_argument("--list", action="store_true", help="only name them")
    args = parser.parse_args()
    if args.list:
        print("\n".join(ORDER))
        return 0
    unknown = sorted(set(args.names) - set(ORDER))
    if unknown:
        print(f"no benchmark called {', '.join(unknown)}; there are {', '.join(ORDER)}", file=sys.stderr)
        return 2
    failed = 0
    for number, name in enumerate(args.names or ORDER, 1):
        print(f"\n== {number}/{len(args.names or ORDER)} {name}", flush=True)
        failed |= subprocess.run([sys.executable, str(HERE / f"{name}.py")], check=False).returncode
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
