"""Configurations for the tests."""

from __future__ import annotations

from pathlib import Path

from blockd.config.load import Report, judge
from blockd.config.store import Source

MINIMAL = """\
[dns]
upstreams = ["udp://198.51.99.53:53"]
"""

WHOLE = """\
state_dir = "state"
runtime_dir = "/run/blockd"

[run]
user = "root"

[dns]
listen = ["127.0.0.1:5300", "[::1]:5300"]
upstreams = ["udp://198.51.99.53", "tcp://[2001:db9::53]:5353"]
cache = "64MiB"
allow_from = ["127.0.0.0/8", "192.0.2.7"]
before_lists = "answer"

[stop_page]
listen = ["127.0.0.1:5080"]
addresses = ["10.0.0.80", "2001:db9::80"]
operator = "Example ISP"
contact = ["mailto:abuse@example.net", "tel:+49-30-123456"]
hotline = "https://hotline.example/report"

[[stop_page.helplines]]
name = "Stop It Now"
language = "en"
phone = "0800 1000 900"

[[feeds]]
name = "hotline"
url = "https://feeds.example/tuf/"
root = "roots/hotline.json"
every = "1h30m"

[[lists]]
name = "hotline/domains"
mode = "enforce"
action = "nxdomain"
max_change = { add = "5%", floor = 7 }
on_expiry = "withdraw"
notify = "none"
notify_basis = "Example Act 2021 s. 12"

[[lists]]
name = "hotline/candidates"
max_change = "12.5%"

[counts]
window = "2h"
threshold = 25

[audit]
origin = "blockd.example.net/gw1/{year}"

[admin]
listen = ["127.0.0.1:9553"]
socket = "run/admin.sock"

[admin.roles]
operator = ["root", "noc"]
approver = ["duty"]
"""


def judged(*texts: str | bytes, name: str = "blockd.toml") -> Report:
    """Decide about texts: the first is the main file, the others those of conf.d. No disk."""
    names = [name, *(f"conf.d/{number}.toml" for number in range(1, len(texts)))]
    sources = [Source(n, text.encode() if isinstance(text, str) else text) for n, text in zip(names, texts, strict=True)]
    return judge(Path("/etc/blockd") / name, sources)


def faults(*texts: str | bytes) -> tuple[str, ...]:
    """What is wrong, beside what MINIMAL would add."""
    return judged(*texts).faults
