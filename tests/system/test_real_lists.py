"""Real blocklists, as published by their projects, through the whole gateway: every file loads, what is rejected has a reason, and `blockd lookup` and dig agree.

The lists are data that is not part of this project: ../shared/real-lists, or the folder that BLOCKD_REAL_LISTS names.
"""

from __future__ import annotations

import io
import json
import os
import random
import re
import subprocess
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from blockd.cli.main import main
from tests.house.sources import ROOT
from tests.system.gateway import Gateway, enforce, need

FOLDER = Path(os.environ.get("BLOCKD_REAL_LISTS") or ROOT.parent / "shared" / "real-lists")
pytestmark = [
    pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no real lists in {FOLDER}: name their folder in BLOCKD_REAL_LISTS"),
    pytest.mark.timeout(300),
]

LISTS = {  # list: (file, format, category)
    "gambling": ("ut1-gambling.domains", "domains", "gambling"),
    "malware": ("ut1-malware.urls", "urls", "malware"),
    "ransomware": ("blp-ransomware.hosts", "hosts", "malware"),
    "scam": ("blp-scam.hosts", "hosts", "fraud"),
    "scam-adblock": ("blp-scam.adblock", "adblock", "fraud"),
    "stalkerware": ("stalkerware.hosts", "domains", "stalkerware"),
}
SAMPLE = 1000


@pytest.fixture(scope="module")
def gw(tmp_path_factory):
    gateway = Gateway(tmp_path_factory.mktemp("real"), lists=enforce(*LISTS))
    gateway.publisher.init()
    for name, (file, format_, category) in LISTS.items():
        gateway.publisher.publish(name, FOLDER / file, format=format_, category=category, basis="operator")
    with gateway:
        done = gateway.update(check=False)
        gateway.first_update = done
        yield gateway


def rows(name: str) -> list[str]:
    """The plain names of a list's file, read by hand."""
    file, format_, _ = LISTS[name]
    found = []
    for line in (FOLDER / file).read_text(encoding="utf-8", errors="replace").splitlines():
        text = line.split("#", 1)[0].strip()
        if format_ == "hosts":
            found += text.split()[1:]
        elif format_ == "adblock" and line.startswith("||") and line.endswith("^"):
            found.append(line[2:-1])
        elif format_ == "domains" and text:
            found.append(text)
    return [n for n in found if re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", n) and not re.fullmatch(r"[0-9.]+", n)]


def test_every_file_loads(gw):
    lists = {row["name"]: row for row in gw.status()["lists"]}
    for name in LISTS:
        row = lists[f"hotline/{name}"]
        assert row["state"] == "live", (row, gw.first_update.stdout, gw.first_update.stderr)
        assert row["entries"] > 0


def test_rejected_rows_have_reasons(gw):
    lists = {row["name"]: row for row in gw.status()["lists"]}
    assert lists["hotline/gambling"]["rejected"].get("protected") == 1  # bet.br is a public suffix
    total = {name: sum(lists[f"hotline/{name}"]["rejected"].values()) for name in LISTS}
    for name, (file, *_) in LISTS.items():
        lines = (FOLDER / file).read_bytes().count(b"\n")
        assert total[name] <= lines / 100, f"{name}: {lists[f'hotline/{name}']['rejected']}"


def test_a_public_suffix_on_a_real_list_is_not_blocked(gw):
    assert not [o for o in gw.ask("bet.br").options if o.otype == 15]


def lookup(gw, name: str) -> dict:
    out = io.StringIO()
    with redirect_stdout(out):
        assert main(["lookup", name, "-c", str(gw.config), "--json"]) == 0
    return json.loads(out.getvalue())


def test_lookup_and_dig_agree_on_a_sample(gw, tmp_path):
    listed = sorted({n for name in ("gambling", "ransomware", "scam", "scam-adblock", "stalkerware") for n in rows(name)})
    sample = random.Random(20261124).sample(listed, SAMPLE)
    # Half of them as they stand, a quarter one label deeper, a quarter beside the entry: not only hits.
    names = [n if i % 4 < 2 else f"deeper.{n}" if i % 4 == 2 else f"beside-{n}" for i, n in enumerate(sample)]
    host, port = gw.door("udp")
    batch = tmp_path / "batch"
    batch.write_text("".join(f"{n} A\n" for n in names))
    shown = subprocess.run(
        [need("dig"), f"@{host}", "-p", str(port), "+tries=2", "+time=3", "+noall", "+comments", "+question", "-f", str(batch)],
        capture_output=True, text=True, check=True, timeout=240,
    ).stdout  # fmt: skip
    answers = re.split(r"(?=;; Got answer)", shown)[1:]
    blocked_by_dig = {}
    for text in answers:
        question = re.search(r"^;(\S+)\.\s+IN\s+A", text, flags=re.MULTILINE)
        blocked_by_dig[question.group(1)] = "EDE: 15" in text
    assert len(answers) == SAMPLE
    disagree = [n for n in names if (lookup(gw, n)["verdict"] == "block") != blocked_by_dig[n]]
    assert not disagree
    assert sum(blocked_by_dig.values()) > SAMPLE / 2


def test_a_url_entry_never_blocks_its_host(gw):
    host = next(
        h
        for line in (FOLDER / "ut1-malware.urls").read_text(encoding="utf-8", errors="replace").splitlines()
        if (h := line.split("/", 1)[0]) and re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", h) and not re.fullmatch(r"[0-9.]+", h) and "/" in line
        and lookup(gw, h)["verdict"] == "none"
    )  # fmt: skip
    assert not [o for o in gw.ask(host).options if o.otype == 15]
    assert (
        lookup(gw, next(line for line in (FOLDER / "ut1-malware.urls").read_text().splitlines() if line.startswith(f"{host}/")))["verdict"]
        == "block"
    )
