from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

import pytest

from blockd.audit import note
from blockd.config.schema import Audit, Config
from blockd.control.node_key import FILE, NodeKey, node_name
from blockd.errors import Corrupt, Unavailable
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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_link_in_the_place_of_the_draft_gives_no_file_away(tmp_path, monkeypatch):
    """The daemon's user sees root make the key, and puts a link to another file under its draft's name."""
    uid = pwd.getpwnam("nobody").pw_uid
    state, target = tmp_path / "state", tmp_path / "shadow"
    state.mkdir()
    os.chown(state, uid, uid)
    target.write_text("")
    sync = os.fsync

    def exchange(fd):
        sync(fd)
        for draft in state.glob(".node.pem.*"):
            draft.unlink()
            draft.symlink_to(target)

    monkeypatch.setattr("blockd.control.node_key.os.fsync", exchange)
    with pytest.raises((Corrupt, Unavailable)):
        NodeKey.load(config(state))
    assert target.stat().st_uid == 0
