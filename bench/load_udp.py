"""Blocked answers a second over UDP: blockd's resolver (asyncio and the native core) against an asyncio + dnslib responder, one core each, in one run.

The server under test is pinned to core 0 and dnsperf to core 1; the three servers take turns, several rounds, and only the ratios are worth quoting.

    python bench/load_udp.py [--entries 100000] [--seconds 5] [--rounds 3]
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.machine import header
from bench.update import names
from tests.system.gateway import Gateway, enforce
from tests.system.upstream import free_port

SERVER_CORE, CLIENT_CORE = "0", "1"


def pin(pid: int) -> None:
    subprocess.run(["taskset", "-a", "-p", "-c", SERVER_CORE, str(pid)], check=True, capture_output=True)


def load(port: int, queries: Path, seconds: int) -> tuple[float, float]:
    """(answers a second, share lost) as dnsperf counts them."""
    done = subprocess.run(
        [
            "taskset",
            "-c",
            CLIENT_CORE,
            "dnsperf",
            "-s",
            "127.0.0.1",
            "-p",
            str(port),
            "-d",
            str(queries),
            "-l",
            str(seconds),
            "-c",
            "16",
            "-q",
            "400",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rate = float(re.search(r"Queries per second:\s+([\d.]+)", done).group(1))
    lost = float(re.search(r"Queries lost:\s+\d+ \(([\d.]+)%\)", done).group(1)) / 100
    codes = re.search(r"Response codes:\s+(.*)", done).group(1)
    if "NXDOMAIN" not in codes or "100.00%" not in codes:
        raise SystemExit(f"not every answer is NXDOMAIN: {codes}")
    return rate, lost


class Responder:
    def __init__(self, listed: Path, *, uvloop: bool) -> None:
        self.port = free_port()
        self.process = subprocess.Popen(
            [
                sys.executable,
                str(Path(__file__).with_name("dnslib_responder.py")),
                str(self.port),
                str(listed),
                *(["--uvloop"] if uvloop else []),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.process.stdout.readline()
        pin(self.process.pid)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print(header())
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        rows = names(args.entries, seed=2)
        listed = home / "names"
        listed.write_text("\n".join(rows) + "\n", encoding="ascii")
        rng = random.Random(3)
        queries = home / "queries"
        queries.write_text("".join(f"{rng.choice(('', 'www.', 'a.b.'))}{rng.choice(rows)} A\n" for _ in range(50_000)), encoding="ascii")
        gateway = Gateway(home, lists=enforce("big"))
        gateway.publisher.init()
        gateway.publisher.publish("big", listed, basis="operator", extra=("--action", "nxdomain"))
        with gateway:
            gateway.update()
            pin(next(role["pid"] for role in gateway.status()["roles"] if role["name"] == "resolver"))
            plain, fast = Responder(listed, uvloop=False), Responder(listed, uvloop=True)
            servers = {"asyncio + dnslib": plain.port, "uvloop + dnslib": fast.port, "blockd": gateway.door("udp")[1]}
            rates: dict[str, list[float]] = {name: [] for name in servers}
            try:
                for number in range(args.rounds):
                    for name, port in servers.items():
                        rate, lost = load(port, queries, args.seconds)
                        rates[name].append(rate)
                        print(f"round {number + 1}: {name:<18} {rate:>9,.0f} answers/s, {lost:.2%} lost", flush=True)
            finally:
                plain.stop()
                fast.stop()
    medians = {name: statistics.median(values) for name, values in rates.items()}
    print("\nmedian answers/s on one core, " + f"{args.entries:,} entries")
    for name, value in medians.items():
        print(f"  {name:<18} {value:>9,.0f}")
    print(f"blockd / asyncio + dnslib: {medians['blockd'] / medians['asyncio + dnslib']:.1f} (must be at least 6)")
    print(f"blockd / uvloop + dnslib:  {medians['blockd'] / medians['uvloop + dnslib']:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
