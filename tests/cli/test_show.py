from __future__ import annotations

import pytest

from blockd.cli import show


@pytest.mark.parametrize(("seconds", "said"), [(0, "0s"), (-5, "0s"), (59.9, "59s"), (60, "1m"), (7199, "1h"), (86400 * 3, "3d")])
def test_ages(seconds, said):
    assert show.age(seconds) == said


def test_instants():
    assert show.ago(None, 100) == "never"
    assert show.ago(40, 100) == "1m ago"
    assert show.until(None, 100) == "-"
    assert show.until(3700, 100) == "in 1h"
    assert show.until(40, 100) == "EXPIRED 1m ago"


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (256 << 20, "256.0 MiB"), (3 << 40, "3072.0 GiB")]
)
def test_octets(count, said):
    assert show.octets(count) == said


def test_a_table_has_figures_to_the_right():
    assert show.table(("NAME", "ENTRIES"), [("a", "1,234"), ("longer", "5")]) == ["NAME    ENTRIES", "a         1,234", "longer        5"]


def test_a_cell_cannot_break_the_table():
    assert show.table(("A",), [("x\ny\x1b[2J",)]) == ["A", "x y [2J"]


def test_no_rows():
    assert show.table(("A", "B"), []) == ["A  B"]
