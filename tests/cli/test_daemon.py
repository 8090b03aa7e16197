from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from blockd.cli.daemon import RUNTIME_DIR, SOCKET, control_socket, guess
from blockd.errors import Misconfigured

GOOD = 'runtime_dir = "run"\n[dns]\nupstreams = ["udp://192.0.2.53"]\n'


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (GOOD, "run/admin.sock"),
        (GOOD + '[admin]\nsocket = "s/x.sock"\n', "s/x.sock"),
        (GOOD + "no_such_key = 1\n", "run/admin.sock"),
        ('[admin]\nsocket = "s/x.sock"\nlisten = 7\n', "s/x.sock"),
        ("runtime_dir = 5\n[dns]\n", None),
        ("this is not TOML", None),
    ],
)
def test_the_socket_is_found_also_in_a_file_with_faults(tmp_path, text, place, capsys):
    config = tmp_path / "blockd.toml"
    config.write_text(text)
    wanted = tmp_path / place if place else RUNTIME_DIR / SOCKET
    assert guess(config) == wanted
    if not place:
        return
    good = text.startswith(GOOD) and "no_such" not in text
    if not good:
        with pytest.raises(Misconfigured):  # nobody is there to ask: then the faults are what matters
            control_socket(argparse.Namespace(config=config))
    wanted.parent.mkdir()
    wanted.touch()
    assert control_socket(argparse.Namespace(config=config)) == wanted
    assert capsys.readouterr().err.count("\n") == (0 if good else 1)


def test_no_file_is_a_fault(tmp_path):
    with pytest.raises(Misconfigured):
        control_socket(argparse.Namespace(config=tmp_path / "none.toml"))


def test_a_folder_that_may_not_be_looked_into_is_no_bug(tmp_path, monkeypatch):
    config = tmp_path / "blockd.toml"
    config.write_text("no_such_key = 1\n")

    def denied(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", denied)
    with pytest.raises(Misconfigured):
        control_socket(argparse.Namespace(config=config))
