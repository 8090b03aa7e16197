"""No peer is left out silently, and the table says what was measured."""

from __future__ import annotations

import csv
import re
import subprocess

import pytest

from bench import peers, report
from bench.peer.base import Peer, write_rpz
from bench.programs import Responder
from bench.under_load import Update
from tests.house.sources import ROOT


class Absent(Peer):
    name = "absent"
    package = "no-such-package"
    programs = ("no-such-program",)


class Broken(Peer):
    name = "broken"
    package = "coreutils"
    programs = ("false",)

    def convert(self, listed):
        pass

    def configure(self):
        pass

    def command(self):
        return ["sh", "-c", "echo cannot bind; exit 3"]


class Forwarder(Broken):
    """Blocks nothing: the upstream itself, in a peer's place. Never in force, as a list that is still loading."""

    name = "forwarder"

    def command(self):
        return [str(self.folder.parent.parent / "bin" / "upstream"), "127.0.0.1", str(self.port)]


class Permissive(Forwarder):
    name = "permissive"

    def blocks(self, asked):
        return True


@pytest.fixture
def bench(tmp_path, programs):
    (tmp_path / "bin").mkdir()
    for name, path in programs.items():
        (tmp_path / "bin" / name).symlink_to(path)
    with Responder(programs["upstream"], core=1) as upstream:
        yield peers.Bench(tmp_path, programs["load"], upstream, 0.1, 1)


def test_a_peer_that_is_missing_or_does_not_start_is_named(bench):
    rows, running = bench.size(10, (Absent, Broken))
    assert not running
    assert [row.peer for row in rows] == ["absent", "broken"]
    text = report.markdown(rows, [])
    assert "absent: not installed: no-such-program (Debian package no-such-package)" in text
    assert re.search(r"broken: does not start: broken ended with 3: cannot bind", text)


def test_a_peer_that_answers_before_its_list_is_in_force_is_not_ready(bench, monkeypatch):
    monkeypatch.setattr("bench.peer.base.READY_S", 0.3)
    peer = Forwarder(bench.home / "10" / "forwarder", peers.write_list(bench.home / "list", 10), bench.upstream.port, "a.example")
    with pytest.raises(RuntimeError, match="not ready"):
        peer.wait_until(lambda: peer.blocks("a.example"), timeout_s=0.3)


def test_wrong_answers_are_named(bench):
    rows, running = bench.size(10, (Permissive,))
    try:
        bench.turns(10, running)
    finally:
        for peer, _ in running:
            peer.stop()
    assert "of its answers are wrong" in rows[0].problem
    assert rows[0].memory_bytes > 0
    assert rows[0].per_cpu("mixed") > 0
    assert {mix: len(runs) for mix, runs in rows[0].runs.items()} == {"blocked": 1, "cached": 1, "mixed": 1}


def run(rate, per_cpu):
    return {"rate": rate, "per_cpu": per_cpu, "p50_us": 10.0, "p99_us": 20.0, "gap_max_ms": 1.0, "lost": 1, "sent": 1000}


def rows():
    made = []
    for entries, memory in ((1, 10 << 20), (1001, (10 << 20) + 24_000)):
        row = peers.Row("one", "1.0", entries, memory_bytes=memory)
        row.runs = {mix: [run(1000.0, 5000.0), run(9000.0, 7000.0), run(3000.0, 6000.0)] for mix in peers.MIXES}
        made.append(row)
    made.append(peers.Row("two", "", 1001, problem="not installed: two"))
    peers.octets_an_entry(made)
    return made


def test_medians_memory_and_reasons_are_in_the_table(tmp_path):
    made = rows()
    assert made[1].octets_an_entry == 24
    updates = [Update("one", 1001, 0.5, 12.0, 3.0, 0, 100, 0), Update("two", 1001, 0.0, 12.0, 3.0, 7, 100, 0)]
    report.write(tmp_path, "machine: m\ncommit: c\ncommand: x", made, updates)
    text = (tmp_path / "peers.md").read_text()
    assert "| one 1.0 | 3k (6k) | 3k (6k) | 3k (6k) | 10 / 20 | 0.100% | 10 | 24 |" in text
    assert "- two: not installed: two" in text
    assert "not within the window" in text
    assert text.startswith("    machine: m\n    commit: c\n")
    with (tmp_path / "peers.csv").open() as lines:
        assert [row["answers_per_cpu_s"] for row in csv.DictReader(lines)][:3] == ["6000.0"] * 3
    picture = (tmp_path / "peers.svg").read_text()
    assert picture.startswith("<?xml")
    assert "1,001 entries" in re.sub(r"<!--\s*(.*?)\s*-->", r"\1", picture)


def test_a_policy_zone_blocks_a_name_and_all_below(tmp_path):
    (tmp_path / "list").write_text("a.example\nb.example\n")
    write_rpz(tmp_path / "zone", tmp_path / "list")
    assert (tmp_path / "zone").read_text().splitlines()[3:] == [
        f"{n} CNAME ." for n in ("a.example", "*.a.example", "b.example", "*.b.example")
    ]


def test_every_package_of_a_peer_is_installed_by_make_bench():
    wanted = set(re.sub(r"#.*", "", (ROOT / "deploy" / "packages" / "bench.txt").read_text()).split())
    assert {kind.package for kind in peers.PEERS if kind.programs} <= wanted


def test_the_peers_can_be_chosen_by_name():
    assert [kind.name for kind in peers.chosen("unbound")] == ["unbound local-zone", "unbound RPZ"]
    assert [kind.name for kind in peers.chosen("blockd,dnsdist c")] == ["blockd", "dnsdist CDB"]


def test_run_lists_every_benchmark():
    done = subprocess.run([".venv/bin/python", "bench/run.py", "--list"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "peers" in done.stdout.split()
