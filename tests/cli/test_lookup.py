"""lookup against a generation that the real updater made."""

from __future__ import annotations

import json
import logging
import os

import pytest

from blockd.cli import lookup
from blockd.cli.main import main
from tests.cli.node import node  # noqa: F401 -- a fixture

RPZ = """\
$TTL 60
@ SOA localhost. root.localhost. 1 60 60 60 60
@ NS localhost.
ads.example CNAME .
*.ads.example CNAME .
ok.ads.example CNAME rpz-passthru.
"""
LISTED = "# names\ncasino.example\nbücher.example\nwww.deep.casino.example\n"


@pytest.fixture
def loaded(node):  # noqa: F811
    node.publish("a", LISTED)
    node.publish("b", RPZ, format="rpz", basis="subscriber", category="advertising")
    node.publish("urls", "http://host.example/bad\nboth.example/x\nhttp://192.0.2.9/ip\n", format="urls", basis="operator")
    node.enforce()
    return node


@pytest.fixture
def ask(loaded, capsys):
    def run(what, code=0):
        assert main(["lookup", what, "-c", str(loaded.config), "--json"]) == code
        return json.loads(capsys.readouterr().out)

    return run


@pytest.mark.parametrize(
    ("what", "verdict"),
    [
        ("casino.example", "block"),
        ("WWW.Casino.Example.", "block"),
        ("bücher.example", "block"),
        ("xn--bcher-kva.example", "block"),
        ("example", "none"),
        ("notcasino.example", "none"),
        ("ads.example", "block"),
        ("ok.ads.example", "allow"),
        ("host.example", "none"),
        ("http://host.example/bad", "block"),
        ("HTTP://HOST.example:80/a/../bad", "block"),
        ("http://host.example/good", "none"),
        ("http://casino.example/", "block"),
        ("https://casino.example/any", "block"),
        ("https://both.example/x", "none"),  # listed, and nobody on the way can see the path
        ("http://192.0.2.9/ip", "block"),
        ("both.example/x", "block"),  # without a scheme: http
    ],
)
def test_verdicts(ask, what, verdict):
    assert ask(what)["verdict"] == verdict


def test_the_object_of_the_contract(ask):
    said = ask("x.casino.example")
    assert said.keys() >= {"query", "kind", "verdict", "generation", "matches"}
    assert (said["query"], said["kind"], said["generation"]) == ("x.casino.example", "domain", 1)
    assert said["matches"] == [
        {
            "list": "f/a",
            "entry": 2,
            "action": "nxdomain",
            "mode": "enforce",
            "basis": "operator",
            "category": "gambling",
            "enforceable": "dns",
        }
    ]
    assert ask("http://host.example/bad")["kind"] == "url"


def test_the_row_is_that_of_the_entry_that_matched(ask):
    rows = {m["entry"] for m in ask("www.deep.casino.example")["matches"]}
    assert rows == {2, 4}
    assert [m["entry"] for m in ask("ok.ads.example")["matches"]] == [6, 4]
    assert [m["action"] for m in ask("ok.ads.example")["matches"]] == ["allow", "nxdomain"]
    assert [m["entry"] for m in ask("http://192.0.2.9/ip")["matches"]] == [3]


def test_where_a_url_can_be_enforced(ask):
    assert [m["enforceable"] for m in ask("http://both.example/x")["matches"]] == ["http_path"]
    assert [m["enforceable"] for m in ask("https://both.example/x")["matches"]] == ["unenforceable"]


@pytest.mark.parametrize(
    "what", ["", "a..b", "-", "a b", "x" * 64 + ".example", "http://", "http://a b/", "ftp://x.example/", ".", "192.0.2.1"]
)
def test_what_is_no_name_is_exit_2_and_one_line(loaded, capsys, what):
    code = main(["lookup", "-c", str(loaded.config), "--", what])
    out, err = capsys.readouterr()
    if what == "-":
        assert code in {0, 2}
        return
    assert (code, out) == (2, "")
    assert err.count("\n") == 1


def test_before_the_first_generation(node, capsys):  # noqa: F811
    node.write(["a"])
    assert main(["lookup", "casino.example", "-c", str(node.config), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["verdict"], said["generation"], said["matches"]) == ("none", 0, [])
    assert main(["lookup", "casino.example", "-c", str(node.config)]) == 0
    assert "answered with SERVFAIL" in capsys.readouterr().out


def test_for_people(loaded, capsys):
    assert main(["lookup", "https://both.example/x", "-c", str(loaded.config)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("https://both.example/x: not blocked (generation 1)\n")
    assert "encrypted" in out
    assert main(["lookup", "casino.example", "-c", str(loaded.config)]) == 0
    assert capsys.readouterr().out.startswith("casino.example: BLOCKED (generation 1)\n")


def test_damaged_state_is_exit_1_and_one_line(loaded, capsys):
    table = loaded.home / "state" / "generations" / "1" / "table.blkt"
    table.chmod(0o600)
    table.write_bytes(b"x")
    assert main(["lookup", "casino.example", "-c", str(loaded.config)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_list_whose_file_is_gone_still_has_its_verdict(loaded, ask):
    for path in (loaded.home / "state" / "lists").rglob("*.blkl"):
        path.unlink()
    said = ask("casino.example")
    assert said["verdict"] == "block"
    assert said["matches"][0]["entry"] is None


def test_a_list_in_shadow_does_not_block(loaded, capsys):
    text = loaded.config.read_text().replace('"f/a"\nmode = "enforce"', '"f/a"\nmode = "shadow"')
    loaded.config.write_text(text)
    assert main(["lookup", "casino.example", "-c", str(loaded.config), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["verdict"] == "none"
    assert said["matches"][0]["mode"] == "shadow"


def test_a_list_that_is_switched_off_is_said_to_be(loaded, capsys):
    loaded.kill("a")
    assert main(["lookup", "casino.example", "-c", str(loaded.config), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["verdict"], said["matches"], said["out_of_force"]) == ("none", [], {"f/a": "killed"})
    assert main(["lookup", "casino.example", "-c", str(loaded.config)]) == 0
    assert "f/a is out of force" in capsys.readouterr().out


# Secret lists


@pytest.fixture
def secret(node, monkeypatch):  # noqa: F811
    node.publish("open", "casino.example\n")
    node.publish("secret", "hidden.example\ncasino.example\n", secret=True, category="csam", basis="mandated")
    node.enforce()
    noted = []
    monkeypatch.setattr(lookup.syslog, "syslog", lambda level, text: noted.append(text))
    return node, noted


def test_a_secret_list_is_for_approvers_and_each_use_is_logged_without_the_name(secret, capsys):
    node, noted = secret  # noqa: F811
    if os.getuid() != 0:
        pytest.skip("needs root, who is every role")
    assert main(["lookup", "www.hidden.example", "-c", str(node.config), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [(m["list"], m["entry"]) for m in said["matches"]] == [("f/secret", 1)]
    assert said["withheld"] == []
    assert noted == [f"lookup: secret list f/secret, entry 1, shown to uid {os.getuid()}"]


@pytest.mark.parametrize(
    ("name", "verdict", "lists"), [("hidden.example", "none", []), ("free.example", "none", []), ("casino.example", "block", ["f/open"])]
)
def test_others_learn_nothing_of_it(secret, capsys, monkeypatch, name, verdict, lists):
    node, noted = secret  # noqa: F811
    monkeypatch.setattr(lookup, "is_approver", lambda _: False)
    assert main(["lookup", name, "-c", str(node.config), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["verdict"], [m["list"] for m in said["matches"]], said["withheld"]) == (verdict, lists, ["f/secret"])
    assert noted == []
    assert main(["lookup", name, "-c", str(node.config)]) == 0
    assert "Left out" in capsys.readouterr().out


def test_who_is_an_approver(secret, monkeypatch):
    from dataclasses import replace

    from blockd.config.load import load

    config = load(secret[0].config)
    monkeypatch.setattr(lookup.os, "getuid", lambda: 65534)
    monkeypatch.setattr(lookup.os, "getgroups", lambda: [65534])
    monkeypatch.setattr(lookup.os, "getgid", lambda: 65534)

    def approvers(*names):
        return replace(config, admin=replace(config.admin, approvers=names))

    assert not lookup.is_approver(approvers("root"))
    assert lookup.is_approver(approvers("nobody"))
    assert lookup.is_approver(approvers("nogroup"))
    monkeypatch.setattr(lookup.os, "getuid", lambda: 4_000_000)  # an account without a name
    assert not lookup.is_approver(approvers("nobody"))


def test_nothing_of_a_query_reaches_a_log(loaded, ask, caplog):
    caplog.set_level(logging.DEBUG)
    ask("canary-name.casino.example")
    assert "canary-name" not in caplog.text
