"""The completion scripts in the real shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from blockd.cli.main import main
from tests.cli.node import node  # noqa: F401 -- a fixture


def script(shell, capsys):
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.fixture
def bin_folder(tmp_path):
    """A `blockd` on PATH, for the list names."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "blockd"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m blockd "$@"\n')
    program.chmod(0o755)
    return folder


def run(program, text, bin_folder, tmp_path):
    (tmp_path / "work").mkdir(exist_ok=True)
    for name in ("some.toml", "some.domains"):
        (tmp_path / "work" / name).write_text("")
    environment = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}", "HOME": str(tmp_path), "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(
        [*program, "/dev/stdin"],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path / "work",
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


CASES = [
    ("blockd lo", {"lookup"}),
    ("blockd ch", {"check"}),
    ("blockd lists ", {"update", "approve", "hold", "rollback", "kill", "resume", "show"}),
    ("blockd lists update --a", {"--all"}),
    ("blockd run --role ", {"all", "resolver", "web", "control", "xdp"}),
    ("blockd lookup update --j", {"--json"}),  # a word that is a verb elsewhere
    ("blockd completion ", {"bash", "zsh", "fish"}),
    ("blockd check -c some.t", {"some.toml"}),
    ("blockd check some.t", set()),
]


@pytest.mark.parametrize(("line", "words"), CASES)
def test_bash(capsys, bin_folder, tmp_path, line, words):
    head, _, last = line.rpartition(" ")
    array = " ".join([*head.split(), f"'{last}'"])
    ask = (
        f"COMP_WORDS=({array}); COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); compopt() {{ :; }}; _blockd; printf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
    )
    found = set(run(["bash", "--norc"], script("bash", capsys) + ask, bin_folder, tmp_path).stdout.split())
    options = {word for word in found if word.startswith("-")}
    assert found - (options if not last.startswith("-") else set()) == words


def test_bash_knows_the_configured_lists(capsys, bin_folder, tmp_path, node):  # noqa: F811
    node.write(["domains", "candidates"])
    for line in (f"blockd lists update -c {node.config} f/", f"blockd lists kill -c {node.config} f/"):
        array = " ".join(line.split())
        ask = f"COMP_WORDS=({array}); COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); _blockd; printf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
        assert set(run(["bash", "--norc"], script("bash", capsys) + ask, bin_folder, tmp_path).stdout.split()) == {
            "f/domains",
            "f/candidates",
        }


def test_bash_registers_it(capsys, bin_folder, tmp_path):
    done = run(["bash", "--norc"], script("bash", capsys) + "complete -p blockd\n", bin_folder, tmp_path)
    assert done.stdout == "complete -F _blockd blockd\n"


def test_bash_says_nothing_where_the_configuration_is_bad(capsys, bin_folder, tmp_path):
    ask = "COMP_WORDS=(blockd lists update ''); COMP_CWORD=3; _blockd; printf '%s\\n' \"${COMPREPLY[@]}\"\n"
    done = run(["bash", "--norc"], script("bash", capsys) + ask, bin_folder, tmp_path)
    assert done.stderr == ""


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not on this machine")
@pytest.mark.parametrize(("line", "words"), CASES)
def test_fish(capsys, bin_folder, tmp_path, line, words):
    found = run(["fish", "--no-config"], script("fish", capsys) + f"complete -C '{line}'\n", bin_folder, tmp_path).stdout
    assert {row.partition("\t")[0] for row in found.splitlines()} == words


ZSH = """
zmodload zsh/zpty
zpty z "zsh -f -i"
zpty -w z "PS1='%% '; fpath=($1 \\$fpath); autoload -U compinit; compinit -u -D; echo REA''DY"
zpty -r -m z line '*READY*'
zpty -w -n z $'blockd lists upd\\t--al\\t\\n'
zpty -w z "echo DO''NE"
zpty -r -m z out '*DONE*'; print -r -- "$out"
"""


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not on this machine")
def test_zsh(capsys, bin_folder, tmp_path):
    (tmp_path / "functions").mkdir()
    (tmp_path / "functions" / "_blockd").write_text(script("zsh", capsys))
    assert subprocess.run(["zsh", "-n", tmp_path / "functions" / "_blockd"], capture_output=True, timeout=30, check=False).returncode == 0
    environment = {
        **os.environ,
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "TERM": "dumb",
        "PYTHONPATH": str(Path.cwd()),
    }
    (tmp_path / "drive.zsh").write_text(ZSH)
    done = subprocess.run(
        ["zsh", "-f", tmp_path / "drive.zsh", tmp_path / "functions"],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
    )
    assert "lists update" in done.stdout.replace("\r", "")
    assert "--all" in done.stdout


def test_no_shell_is_used_wrongly(capsys):
    assert main(["completion"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["completion", "tcsh"]) == 2


def test_list_names(node, capsys):  # noqa: F811
    node.write(["a", "b"])
    assert main(["completion", "--list-names", "-c", str(node.config)]) == 0
    assert capsys.readouterr().out == "f/a\nf/b\n"
    assert main(["completion", "--list-names", "-c", str(node.home / "none.toml")]) == 0
    assert capsys.readouterr() == ("", "")
