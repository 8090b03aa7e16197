from __future__ import annotations

import pytest

from blockd.cli.state import current_placements, placements
from blockd.errors import Corrupt
from tests.cli.node import node  # noqa: F401 -- a fixture


def test_before_the_first_generation(tmp_path):
    assert current_placements(tmp_path) == {}
    with pytest.raises(Corrupt):
        placements(tmp_path, 1)


def test_the_lists_of_the_generation_in_force(node):  # noqa: F811
    node.publish("a", "casino.example\n")
    node.enforce()
    state = node.home / "state"
    assert [str(name) for name in current_placements(state)] == ["f/a"]
    (state / "generations" / "2").mkdir()
    (state / "generations" / "2" / "sources.json").write_bytes((state / "generations" / "1" / "sources.json").read_bytes())
    with pytest.raises(Corrupt, match="those of generation 1"):
        placements(state, 2)
