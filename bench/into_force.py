"""From a compiled generation on the disk to the first blocked answer from it: the steps of a resolver that starts or is told of a generation.

    python bench/into_force.py CONFIG NAME [--verify]

Prints JSON. `in_force_s`: the generation in force is opened (manifest, table, rules: what a resolver checks, mapped and not copied), its policies are
resolved and compiled, the core is given them, and NAME is answered as blocked. `process_s`: from the start of the process to there, interpreter,
imports and configuration included. The file is in the page cache, as after an update and after a restart of the daemon. `--verify` reads every octet
first, as the control process does once before a generation goes live; a resolver does so only when the current one is damaged and an older one must do.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

BEGIN_NS = time.clock_gettime_ns(time.CLOCK_MONOTONIC)

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.queries import message
from blockd.config.load import load
from blockd.counts.layout import NATIVE
from blockd.counts.slab import Slab
from blockd.dns import settings
from blockd.native._dns import Core
from blockd.policy.verdict import compile_verdicts, resolve
from blockd.table.store import open_current
from blockd.terms import Instant

UDP, IPV4, NXDOMAIN = 0, 4, 3


def interpreter_s() -> float:
    """Seconds from the start of this process to the first line of this file (proc(5): field 22 of stat, in clock ticks)."""
    ticks = int(Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19])
    started = ticks / 100
    booted = time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
    return max(BEGIN_NS / 1e9 + booted - started, 0.0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("name", help="a listed name")
    parser.add_argument("--verify", action="store_true", help="read the whole table first")
    args = parser.parse_args()
    before = interpreter_s()
    config = load(args.config)
    slab = Slab.in_memory()
    core = Core(cache_bytes=config.dns.cache_bytes, slab=slab.buffer, layout=NATIVE)
    begin = time.perf_counter()
    live = open_current(config.state_dir, verify=args.verify)
    if live is None:
        print("no generation is in force", file=sys.stderr)
        return 1
    policies = resolve(live, config, {}, Instant(time.time()))
    compiled = compile_verdicts(live, policies)
    addresses4, addresses6 = settings.stop_page_addresses(config)
    core.configure(
        addresses4=addresses4,
        addresses6=addresses6,
        ttl_s=settings.BLOCKED_TTL_S,
        udp_max=settings.UDP_MAX_BYTES,
        not_ready=settings.not_ready(config, live),
    )
    core.swap(live.table, live.key, compiled.verdicts, compiled.index, compiled.url_hosts)
    answer = core.handle(message(args.name), UDP, IPV4, 1)
    end = time.perf_counter()
    if not isinstance(answer, bytes) or answer[3] & 15 != NXDOMAIN:
        print("the name is not blocked", file=sys.stderr)
        return 1
    process_s = before + time.clock_gettime_ns(time.CLOCK_MONOTONIC) / 1e9 - BEGIN_NS / 1e9
    print(json.dumps({"in_force_s": end - begin, "process_s": process_s}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
