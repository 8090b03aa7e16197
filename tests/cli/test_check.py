from __future__ import annotations

import json

import pyrage
import pytest

from blockd.cli.main import main
from tests.cli.node import node  # noqa: F401 -- a fixture
from tests.config.documents import MINIMAL


def test_a_good_configuration_is_0_and_one_line(tmp_path, capsys):
    (tmp_path / "blockd.toml").write_text(MINIMAL)
    assert main(["check", "-c", str(tmp_path / "blockd.toml")]) == 0
    out, err = capsys.readouterr()
    assert out == f"{tmp_path}/blockd.toml: ok. Lists: none. DNS on 0.0.0.0:53, [::]:53; 1 upstream(s).\n"
    assert err.startswith("warning: ")


def test_every_fault_is_a_line_and_exit_1(tmp_path, capsys):
    path = tmp_path / "blockd.toml"
    path.write_text("a = 1\n" + MINIMAL + "b = 2\n")
    assert main(["check", "-c", str(path)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"{path}:1: a: unknown key\n{path}:4: dns.b: unknown key\nwarning: ")


def test_json(tmp_path, capsys):
    path = tmp_path / "blockd.toml"
    path.write_text("a = 1\n" + MINIMAL)
    assert main(["check", "-c", str(path), "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said == {"ok": False, "faults": [f"{path}:1: a: unknown key"], "warnings": said["warnings"]}


def test_a_file_that_is_not_there_is_exit_1(tmp_path, capsys):
    assert main(["check", "-c", str(tmp_path / "none.toml")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_what_cannot_be_enforced_is_said_once_lists_are_loaded(node, capsys):  # noqa: F811
    node.publish("urls", "http://a.example/x\nb.example/y\nhttps://c.example/z\n", format="urls")
    node.publish("names", "casino.example\n")
    node.enforce()
    assert main(["check", "-c", str(node.config), "--json"]) == 0
    said = [w for w in json.loads(capsys.readouterr().out)["warnings"] if w.startswith("f/")]
    # b.example/y stands for both schemes.
    assert said == [
        "f/urls: 2 of 4 entries can't be enforced: their path is encrypted (https)",
        "f/urls: 2 of 4 entries are paths under http: DNS does not block them, the URL filter is not built yet",
    ]


def test_damaged_state_is_a_warning(node, capsys):  # noqa: F811
    node.publish("names", "casino.example\n")
    node.enforce()
    (node.home / "state" / "generations" / "1" / "sources.json").write_text("{")
    assert main(["check", "-c", str(node.config)]) == 0
    assert "what is loaded can't be read" in capsys.readouterr().err


def test_keys_of_this_node_that_are_open_or_damaged_are_warnings(node, capsys):  # noqa: F811
    node.publish("names", "casino.example\n")
    node.enforce()
    (node.home / "state" / "table.key").chmod(0o644)
    (node.home / "state" / "node.pem").write_text("x")
    assert main(["check", "-c", str(node.config)]) == 0
    err = capsys.readouterr().err
    assert "table.key: others can read it: chmod 600" in err
    assert "node.pem: not a private key" in err


@pytest.mark.parametrize(
    ("text", "said"), [("garbage\n", "holds a line that is no AGE-SECRET-KEY"), ("# empty\n", "holds no key"), (None, None)]
)
def test_an_age_identity_that_opens_nothing_is_a_warning(tmp_path, capsys, text, said):
    identity = tmp_path / "identity"
    identity.write_text(text or f"# of this gateway\n{pyrage.x25519.Identity.generate()}\n")
    identity.chmod(0o600)
    (tmp_path / "root.json").write_text('{"signed": {"_type": "root"}}')
    (tmp_path / "blockd.toml").write_text(
        MINIMAL + '[[feeds]]\nname = "hotline"\nurl = "https://feed.example/"\nroot = "root.json"\nidentity = "identity"\n'
    )
    assert main(["check", "-c", str(tmp_path / "blockd.toml")]) == 0
    err = capsys.readouterr().err
    assert (f"warning: {identity}: feed hotline: the age identity file" in err) is (said is not None)
    assert said is None or said in err
