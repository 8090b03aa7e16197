from __future__ import annotations

import json

import pytest

from blockd.admin.health import status as of_facts
from blockd.cli.main import main
from blockd.cli.status import report
from tests.admin.facts import full_facts
from tests.cli.node import Daemon, node  # noqa: F401 -- a fixture

CONTRACT = {"version", "generation", "ready", "listen", "roles", "lists", "audit", "upstreams"}
CONTRACT_LIST = {"name", "version", "mode", "state", "entries", "rejected", "last_result", "last_success", "expires"}


def test_a_daemon_that_is_down_is_exit_1_and_one_line(node, capsys):  # noqa: F811
    node.write(["a"])
    assert main(["status", "-c", str(node.config)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "does not run" in err


def test_a_bad_configuration_is_exit_2(tmp_path, capsys):
    (tmp_path / "x.toml").write_text("a = 1\nb = 2\n")
    assert main(["status", "-c", str(tmp_path / "x.toml")]) == 2
    assert capsys.readouterr().err.count("\n") >= 2


def test_json_is_what_the_daemon_said(node, capsys):  # noqa: F811
    node.write(["a"])
    answer = of_facts(full_facts())
    with Daemon(node.home / "run" / "admin.sock", {"status": answer}):
        assert main(["status", "-c", str(node.config), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == json.loads(json.dumps(answer))
    assert said.keys() >= CONTRACT
    assert all(row.keys() >= CONTRACT_LIST for row in said["lists"])


def test_a_table_for_people(node, capsys):  # noqa: F811
    node.write(["a"])
    answer = of_facts(full_facts())
    with Daemon(node.home / "run" / "admin.sock", {"status": answer}):
        assert main(["status", "-c", str(node.config)]) == 0
    out = capsys.readouterr().out
    for row in answer["lists"]:
        assert row["name"] in out
    for role in answer["roles"]:
        assert role["name"] in out
    for alarm in answer["alarms"]:
        assert f"ALARM {alarm['code']}" in out


BARE = {
    "version": "1",
    "generation": 0,
    "ready": False,
    "why_not": ["no list is loaded"],
    "listen": {},
    "roles": [],
    "lists": [],
    "upstreams": [],
    "audit": {"origin": "", "size": 0, "root": ""},
}


def test_a_fresh_node():
    lines = list(report(BARE, 0.0))
    assert lines[0] == "blockd 1, generation none yet: NOT READY: no list is loaded"
    assert "no lists are configured: nothing is blocked" in lines


def test_what_needs_a_person_is_in_capitals():
    row = {
        "name": "f/a",
        "version": 3,
        "mode": "enforce",
        "state": "held",
        "entries": 1234,
        "rejected": {"idna": 2, "label": 3},
        "last_result": "change_cap",
        "last_success": 0.0,
        "expires": 50.0,
    }
    status = {**BARE, "lists": [row], "upstreams": [{"address": "udp://192.0.2.53:53", "up": False, "why": "its certificate has expired"}]}
    text = "\n".join(report(status, 100.0))
    for word in ("HELD", "DOWN", "EXPIRED 50s ago", "1,234", "5", "1m ago", "change_cap", "DOWN: its certificate has expired"):
        assert word in text


def test_text_from_the_daemon_cannot_move_the_cursor():
    status = {**BARE, "alarms": [{"code": "x\x1b[2J", "text": "a\nb"}]}
    assert "\x1b" not in "\n".join(report(status, 0.0))


@pytest.mark.parametrize(
    ("workers", "said"),
    [
        ({"threads": 4, "running": 4, "restarts": 0}, "  threads   4 of 4 run"),
        ({"threads": 4, "running": 3, "restarts": 2}, "  threads   3 of 4 RUN, 2 restarts"),
    ],
)
def test_threads_are_told(workers, said):
    assert said in list(report({**BARE, "workers": workers}, 0.0))
    assert not any("threads" in line for line in report({**BARE, "workers": {"threads": 0, "running": 0, "restarts": 0}}, 0.0))
