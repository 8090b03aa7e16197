from __future__ import annotations

import json
import os
import pty
import sys
import threading
import time

import pytest

from blockd.admin.health import status as of_facts
from blockd.cli import lists
from blockd.cli.main import main
from tests.admin.facts import full_facts
from tests.cli.node import Daemon, node  # noqa: F401 -- a fixture


def outcome(name="f/a", result="applied", ok=True, generation=7, version=3, detail=""):
    return {"list": name, "result": result, "generation": generation, "version": version, "detail": detail, "ok": ok}


@pytest.fixture
def said(node, capsys):  # noqa: F811
    """Run ``blockd lists ...`` against a daemon that answers so; (exit, out, err, what it was asked)."""
    node.write(["a", "b"])

    def run(*words, **answers):
        with Daemon(node.home / "run" / "admin.sock", answers) as daemon:
            code = main(["lists", *words, "-c", str(node.config)])
        (node.home / "run" / "admin.sock").unlink()
        out, err = capsys.readouterr()
        return code, out, err, daemon.asked

    return run


def test_an_update_that_is_applied(said):
    code, out, err, asked = said("update", "f/a", update={"outcomes": [outcome()]})
    assert (code, out, err) == (0, "f/a: applied, version 3 in generation 7\n", "")
    assert asked == [{"verb": "update", "lists": ["f/a"]}]


@pytest.mark.parametrize("words", [(), ("--all",)])
def test_all_lists(said, words):
    code, _, _, asked = said("update", *words, update={"outcomes": [outcome(), outcome("f/b", "not_modified")]})
    assert code == 0
    assert asked == [{"verb": "update", "lists": []}]


@pytest.mark.parametrize(
    ("result", "says"),
    [
        ("held", "The last good version stays in force"),
        ("change_cap", "blockd lists approve f/a"),
        ("fetch", "next interval"),
        ("signature", "last good version"),
        ("rollback", "last good version"),
    ],
)
def test_an_update_that_is_not_applied_is_exit_1_and_one_line_that_says_what_to_do(said, result, says):
    code, out, err, _ = said("update", "f/a", update={"outcomes": [outcome(result=result, ok=False, detail="why it is so")]})
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert "why it is so" in err
    assert says in err


def test_what_to_do_is_said_once(said):
    detail = "it takes no updates: blockd lists resume f/a ends that"
    _, _, err, _ = said("update", "f/a", update={"outcomes": [outcome(result="held", ok=False, detail=detail)]})
    assert err == f"blockd lists update: f/a: held, version 3 in generation 7: {detail}\n"


def test_that_it_is_tried_again_is_said_once(said):
    detail = "the server cannot be reached: it is tried again"
    _, _, err, _ = said("update", "f/a", update={"outcomes": [outcome(result="fetch", ok=False, detail=detail)]})
    assert err.endswith(": it is tried again. The last good version stays in force\n")


def test_a_lever_that_was_pulled_is_said_in_its_own_word(said):
    _, out, _, _ = said("kill", "f/a", "--reason", "x", "--for", "1h", kill={"outcomes": [outcome()]})
    assert out == "f/a: switched off, version 3 in generation 7\n"


def test_one_of_several_that_fails_is_exit_1(said):
    code, out, err, _ = said("update", update={"outcomes": [outcome(), outcome("f/b", "signature", ok=False)]})
    assert code == 1
    assert out == "f/a: applied, version 3 in generation 7\n"
    assert err.startswith("blockd lists update: f/b: signature")


def test_the_json_of_one_list(said):
    code, out, _, _ = said("update", "f/a", "--json", update={"outcomes": [outcome()]})
    assert code == 0
    assert json.loads(out) == {"list": "f/a", "result": "applied", "generation": 7, "version": 3, "detail": ""}


def test_the_json_of_several_is_one_object_with_the_same_keys(said):
    rows = [outcome(result="not_modified"), outcome("f/b"), outcome("f/c", "fetch", ok=False, generation=8)]
    code, out, err, _ = said("update", "--json", update={"outcomes": rows})
    value = json.loads(out)
    assert code == 1
    assert (value["list"], value["result"], value["generation"]) == (None, "fetch", 8)
    assert [row["list"] for row in value["lists"]] == ["f/a", "f/b", "f/c"]
    assert err.count("\n") == 1
    _, out, _, _ = said("update", "--json", update={"outcomes": rows[:2]})
    assert json.loads(out)["result"] == "applied"
    _, out, _, _ = said("update", "--json", update={"outcomes": [rows[0], rows[0]]})
    assert json.loads(out)["result"] == "not_modified"


@pytest.mark.parametrize("verb", ["approve", "hold", "rollback", "resume"])
def test_a_lever_needs_a_reason(said, capsys, verb):
    assert main(["lists", verb, "f/a"]) == 2
    assert "--reason" in capsys.readouterr().err
    assert said(verb, "f/a", "--reason", "  ", **{verb: {"outcomes": []}})[::3] == (2, [])  # not even asked
    code, _, _, asked = said(verb, "f/a", "--reason", "because", **{verb: {"outcomes": [outcome()]}})
    assert code == 0
    assert asked == [{"verb": verb, "list": "f/a", "reason": "because"}]


def test_a_kill_says_for_how_long(said, capsys):
    assert main(["lists", "kill", "f/a", "--reason", "x"]) == 2
    assert "--for" in capsys.readouterr().err
    _, _, _, asked = said("kill", "f/a", "--reason", "x", "--for", "1h30m", kill={"outcomes": [outcome()]})
    assert asked == [{"verb": "kill", "list": "f/a", "reason": "x", "seconds": 5400.0}]


@pytest.mark.parametrize("text", ["2", "0s", "31d", "forever", "-1h", "1.5h", ""])
def test_a_time_that_is_none_is_used_wrongly(capsys, text):
    assert main(["lists", "kill", "f/a", "--reason", "x", f"--for={text}"]) == 2
    assert "such as 2h" in capsys.readouterr().err


@pytest.mark.parametrize(("reason", "code"), [("usage", 2), ("forbidden", 1), ("unknown", 1), ("bug", 1)])
def test_a_refusal_is_one_line_and_its_exit(said, reason, code):
    found, out, err, _ = said("update", "f/zzz", update={"error": "no", "reason": reason})
    assert (found, out, err) == (code, "", "blockd lists update: no\n")


def test_lists_and_all_are_not_both(said):
    assert said("update", "f/a", "--all", update={"outcomes": []})[0] == 2


def test_a_daemon_that_dies_in_its_answer_is_exit_1(said):
    code, _, err, _ = said("update", update=b'{"outco')
    assert code == 1
    assert err.count("\n") == 1


def test_a_daemon_that_is_down_is_exit_1(node, capsys):  # noqa: F811
    node.write(["a"])
    assert main(["lists", "update", "--all", "-c", str(node.config)]) == 1
    assert "does not run" in capsys.readouterr().err


def test_show_is_of_one_or_of_all(said):
    answer = of_facts(full_facts())
    name = answer["lists"][0]["name"]
    code, out, _, _ = said("show", name, status=answer)
    assert code == 0
    assert out.startswith(name)
    assert "expires" in out
    _, out, _, _ = said("show", status=answer)
    assert all(row["name"] in out for row in answer["lists"])
    _, out, _, _ = said("show", name, "--json", status=answer)
    assert [row["name"] for row in json.loads(out)["lists"]] == [name]
    code, _, err, _ = said("show", name[:-1], status=answer)
    assert code == 2
    assert f"did you mean {name}?" in err


def test_long_work_shows_on_a_terminal_and_leaves_nothing(monkeypatch):
    ours, theirs = pty.openpty()
    monkeypatch.setattr(lists, "PROGRESS_AFTER_S", 0.01)
    shown = threading.Event()
    read = bytearray()

    def reader():
        while not shown.is_set() or not read.endswith(b"\033[K"):
            read.extend(os.read(ours, 1000))
            if b" s " in read:
                shown.set()

    thread = threading.Thread(target=reader, daemon=True)
    thread.start()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with lists.waiting("update all lists"):
            assert shown.wait(10)
        thread.join(10)
    assert b"update all lists: 0 s" in read
    assert read.endswith(b"\r\033[K")
    os.close(ours)


def test_no_terminal_no_progress(capsys, monkeypatch):
    monkeypatch.setattr(lists, "PROGRESS_AFTER_S", 0.0)
    with lists.waiting("x"):
        time.monotonic()
    assert capsys.readouterr().err == ""
