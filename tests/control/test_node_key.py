from __future__ import annotations

import stat
from pathlib import Path

import pytest

from blockd.audit import note
from blockd.config.schema import Audit, Config
from blockd.control.node_key import FILE, NodeKey, node_name
from blockd.errors import Corrupt
from tests.audit.test_note import verifier


def config(folder: Path, origin: str = "log.isp.example/gw1/{year}") -> Config:
    return Config(path=folder / "blockd.toml", state_dir=folder, audit=Audit(origin=origin))


def test_it_is_made_once_and_signs_notes_that_others_can_check(tmp_path):
    key = NodeKey.load(config(tmp_path))
    again = NodeKey.load(config(tmp_path))
    assert key.public == again.public
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == [FILE]
    name, public = note.parse_verifier_key(key.verifier)
    assert name == "log.isp.example/gw1"
    assert note.open_note(key.sign("a\n"), name, public, verifier(public)) == "a\n"


def test_without_an_origin_it_has_the_machines_name(tmp_path):
    assert node_name(config(tmp_path, "")).startswith("blockd/")


def test_a_damaged_key_is_not_replaced(tmp_path):
    (tmp_path / FILE).write_text("no key")
    with pytest.raises(Corrupt, match="restore it"):
        NodeKey.load(config(tmp_path))
    assert (tmp_path / FILE).read_text() == "no key"
