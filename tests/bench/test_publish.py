"""What is published is of one clean commit, between two lines, and everything around them stays."""

from __future__ import annotations

import pytest

from bench import publish
from bench.measure import MIXES, Row
from bench.publish import BEGIN, END, FIGURES, README, Unpublishable
from bench.report import Measured
from tests.house.sources import ROOT


def row(peer, cpu):
    made = Row(peer, "1", 1_000_000, memory_bytes=1)
    one = {
        "round": 0,
        "rate": cpu,
        "per_cpu": cpu,
        "p50_us": 1.0,
        "p99_us": 2.0,
        "gap_max_ms": 1.0,
        "lost": 0,
        "sent": 10,
        "threads_s": [1.0],
    }
    made.runs = {mix: [one] for mix in MIXES}
    return made


@pytest.fixture
def measured():
    rows = [row("blockd", 250_000.0), row("raw UDP ceiling", 300_000.0), row("slow", 1000.0), row("best", 90_000.0)]
    return Measured(head="machine: m\ncommit:  0123456789ab\ncommand: python bench/peers.py", rows={"size-1000000": rows})


@pytest.fixture
def tree(tmp_path):
    for path in (FIGURES, README):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(f"before {path}\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    return tmp_path


def test_both_documents_are_written_and_what_is_around_stays(tree, measured, tmp_path):
    publish.publish(tmp_path, measured, tree)
    for path in (FIGURES, README):
        text = (tree / path).read_text()
        assert text.startswith(f"before {path}\n\n{BEGIN}\n")
        assert text.endswith(f"{END}\n\nafter\n")
        assert "old" not in text
        assert "0123456789ab" in text
    assert "blocked 250k (best peer: best, 90k)" in (tree / README).read_text()
    assert "| blockd 1 |" in (tree / FIGURES).read_text()
    assert (tree / publish.PICTURE).read_text().startswith("<?xml")
    assert (tree / publish.FIGURES_CSV).exists()
    first = (tree / FIGURES).read_text()
    publish.publish(tmp_path, measured, tree)
    assert (tree / FIGURES).read_text() == first


@pytest.mark.parametrize("commit", ["0123456789ab with uncommitted changes", "0123456789ab\nmachine: m\ncommit:  ba9876543210"])
def test_figures_of_two_programs_or_of_none_are_refused(tree, measured, tmp_path, commit):
    measured.head = f"machine: m\ncommit:  {commit}\ncommand: x"
    with pytest.raises(Unpublishable, match="one clean commit"):
        publish.publish(tmp_path, measured, tree)
    assert "old" in (tree / README).read_text()


def test_a_run_without_what_the_readme_quotes_is_refused(tree, measured, tmp_path):
    measured.rows = {"size-1": measured.rows["size-1000000"]}
    with pytest.raises(Unpublishable, match="size-1000000 is missing"):
        publish.publish(tmp_path, measured, tree)


@pytest.mark.parametrize("text", ["none", f"{END}\n{BEGIN}\n", f"{BEGIN}\n{BEGIN}\n{END}\n"])
def test_without_its_place_nothing_is_written(tree, measured, tmp_path, text):
    (tree / README).write_text(text)
    with pytest.raises(Unpublishable, match="comment lines"):
        publish.publish(tmp_path, measured, tree)
    assert "old" in (tree / FIGURES).read_text()


def test_the_documents_have_the_place():
    for path in (FIGURES, README):
        publish.between((ROOT / path).read_text(), "x")
