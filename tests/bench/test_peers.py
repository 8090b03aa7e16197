"""No peer is left out silently, and the table says what was measured."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from dataclasses import asdict

import pytest

from bench import parts, peers, report
from bench.measure import MIXES, Bench, Row, octets_an_entry
from bench.peer import ceiling
from bench.peer.base import Peer, write_rpz
from bench.programs import Responder, build
from bench.queries import message
from bench.report import Measured
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
        yield Bench(tmp_path, programs["load"], upstream, 0.1, 1)


def test_a_peer_that_is_missing_or_does_not_start_is_named(bench):
    rows, running = bench.size(10, (Absent, Broken))
    assert not running
    assert [row.peer for row in rows] == ["absent", "broken"]
    text = report.markdown(Measured(rows={"size-10": rows}))
    assert "absent: not installed: no-such-program (Debian package no-such-package)" in text
    assert re.search(r"broken: does not start: broken ended with 3: cannot bind", text)


def test_a_peer_that_answers_before_its_list_is_in_force_is_not_ready(bench):
    peer, row = bench.begin(Forwarder, 10, ready_s=0.3)
    assert peer is None
    assert row.problem.startswith("does not start: forwarder is not up after 0 s")


def test_wrong_answers_are_named(bench):
    rows, running = bench.size(10, (Permissive,))
    try:
        bench.turns(running)
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
        row = Row("one", "1.0", entries, memory_bytes=memory)
        row.runs = {mix: [run(1000.0, 5000.0), run(9000.0, 7000.0), run(3000.0, 6000.0)] for mix in MIXES}
        made.append(row)
    made.append(Row("two", "", 1001, problem="not installed: two"))
    octets_an_entry(made)
    return made


def update(peer, **changed):
    zero = {"peer": peer, "entries": 1001, "live_s": 0.5, "gap_max_ms": 12.0, "quiet_gap_max_ms": 3.0}
    return {**zero, "lost": 0, "sent": 100, "wrong": 0, "publish_s": 0.0, **changed}


def test_medians_memory_and_reasons_are_in_the_table(tmp_path):
    made = rows()
    assert made[1].octets_an_entry == 24
    measured = Measured(
        head="machine: m\ncommit:  c\ncommand: x",
        rows={"size-1": made[:1], "size-1001": made[1:]},
        updates=[update("one"), update("two", live_s=0.0, lost=7)],
        ready=[{"peer": "one", "entries": 1001, "in_force_s": 0.0125, "daemon_s": 2.0}],
    )
    report.write(tmp_path, measured)
    text = (tmp_path / "peers.md").read_text()
    assert "| one 1.0 | 3k (6k) | 3k (6k) | 3k (6k) | 10 / 20 | 0.100% | 10 | 24.0 |" in text
    assert "- two: not installed: two" in text
    assert "not within the window" in text
    assert "| one | 1,001 | 0.0125 | - | - | 2.0000 |" in text
    assert text.startswith("    machine: m\n    commit:  c\n")
    with (tmp_path / "peers.csv").open() as lines:
        seen = list(csv.DictReader(lines))
    assert [row["answers_per_cpu_s"] for row in seen][:3] == ["6000.0"] * 3
    assert {row["part"] for row in seen} == {"size-1", "size-1001"}
    picture = (tmp_path / "peers.svg").read_text()
    assert picture.startswith("<?xml")
    assert "1,001 entries" in re.sub(r"<!--\s*(.*?)\s*-->", r"\1", picture)


def test_parts_are_read_back_as_they_were_kept(tmp_path):
    made = rows()
    for name, entries in (("size-1", 1), ("size-1001", 1001)):
        kept = {"head": "machine: m\ncommit:  c\ncommand: x", "rows": [asdict(row) for row in made if row.entries == entries]}
        (tmp_path / f"{name}.json").write_text(json.dumps(kept))
    measured = report.read(tmp_path)
    assert measured.head == "machine: m\ncommit:  c\ncommand: x"
    assert measured.commits() == ["c"]
    assert measured.rows["size-1001"][0].octets_an_entry == 24


def test_what_is_measured_is_kept_part_by_part_and_not_measured_again(tmp_path):
    words = [
        "--entries",
        "10",
        "--parts",
        "size-10",
        "--only",
        "raw UDP ceiling",
        "--rounds",
        "1",
        "--seconds",
        "0.05",
        "--output",
        tmp_path,
    ]
    first = subprocess.run([sys.executable, "bench/peers.py", *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "[size-10, " in first.stdout
    kept = (tmp_path / "size-10.json").read_text()
    assert {row["peer"] for row in json.loads(kept)["rows"]} == {"raw UDP ceiling", "raw UDP ceiling, long"}
    again = subprocess.run(
        [sys.executable, "bench/peers.py", "--resume", *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "[size-10, " not in again.stdout
    assert "raw UDP ceiling" in again.stdout
    assert (tmp_path / "size-10.json").read_text() == kept


def test_an_unknown_part_is_refused():
    done = subprocess.run([sys.executable, "bench/peers.py", "--parts", "no-such"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "size-1000000, sizes, ready" in done.stderr


class Longer(Broken):
    """A server whose answers are 30 octets longer than the queries, in blockd's place."""

    def command(self):
        return [str(self.folder.parent.parent / "bin" / "ceiling"), "127.0.0.1", str(self.port), "30"]

    def blocks(self, asked):
        return True

    resolves = blocks


def test_the_second_ceiling_sends_as_much_as_blockd(bench, monkeypatch):
    monkeypatch.setattr("bench.peer.gateway.Blockd", Longer)
    _, running = bench.size(10, (Longer, ceiling.CeilingOfLongAnswers))
    with parts.stopping(running):
        parts._same_length(bench, running)
        assert [parts.grown_octets(peer) for peer, _ in running] == [30, 30]


def test_a_policy_zone_blocks_a_name_and_all_below(tmp_path):
    (tmp_path / "list").write_text("a.example\nb.example\n")
    write_rpz(tmp_path / "zone", tmp_path / "list")
    assert (tmp_path / "zone").read_text().splitlines()[3:] == [
        f"{n} CNAME ." for n in ("a.example", "*.a.example", "b.example", "*.b.example")
    ]


def test_the_keys_of_the_database_are_names_on_the_wire(tmp_path):
    program = build(tmp_path, "cdb_records", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    done = subprocess.run([program], input=b"Www.a-b.Example\nx.example.\n", capture_output=True, check=True)
    key, other = message("www.a-b.example")[12:-4], message("x.example")[12:-4]
    assert done.stdout == b"+%d,1:%b->1\n+%d,1:%b->1\n\n" % (len(key), key, len(other), other)
    for wrong in (b"\n", b"a..example\n", b"a" * 64 + b".example\n", b".".join([b"a" * 50] * 5) + b"\n"):
        assert subprocess.run([program], input=wrong, capture_output=True, check=False).returncode == 1, wrong


def test_every_package_of_a_peer_is_installed_by_make_bench():
    wanted = set(re.sub(r"#.*", "", (ROOT / "deploy" / "packages" / "bench.txt").read_text()).split())
    assert {kind.package for kind in parts.PEERS if kind.programs} <= wanted


def test_the_peers_can_be_chosen_by_name():
    assert [kind.name for kind in peers.chosen("unbound")] == ["unbound local-zone", "unbound RPZ"]
    assert [kind.name for kind in peers.chosen("blockd,dnsdist c")] == ["blockd", "dnsdist CDB"]


def test_run_lists_every_benchmark():
    done = subprocess.run([".venv/bin/python", "bench/run.py", "--list"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "peers" in done.stdout.split()
