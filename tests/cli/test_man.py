"""The committed pages are what the program says of itself, and the manual's own tools take them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from blockd.cli import man, tree
from blockd.cli.main import parser

ROOT = Path(__file__).resolve().parents[2]
PAGES = man.pages()


@pytest.mark.parametrize("name", sorted(PAGES))
def test_the_committed_page_is_current(name):
    committed = (ROOT / "deploy" / name).read_text(encoding="utf-8")
    assert committed == PAGES[name], "run: python -m blockd.cli.man deploy"


@pytest.mark.parametrize("name", [n for n in sorted(PAGES) if n.startswith("man/")])
def test_groff_has_nothing_to_warn_of(name, tmp_path):
    (tmp_path / "page").write_text(PAGES[name], encoding="utf-8")
    groff = shutil.which("groff") or shutil.which("mandoc")
    if groff is None:
        pytest.skip("neither groff nor mandoc is on this machine")
    arguments = ["-man", "-Tutf8", "-ww", "-z"] if groff.endswith("groff") else ["-Tlint", "-Wwarning"]
    done = subprocess.run([groff, *arguments, tmp_path / "page"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_every_command_and_option_is_on_the_page():
    text = PAGES["man/blockd.1"].replace("\\-", "-")
    for command in tree.walk(tree.read(parser())):
        assert "blockd " + " ".join(command.path) in text or not command.path
        for argument in command.arguments:
            if argument.flags and argument.flags != ("-h", "--help"):
                assert argument.flags[-1] in text, (command.path, argument.flags)


def test_the_pages_name_nothing_that_changes_by_itself():
    for text in PAGES.values():
        assert not re.search(r"20[2-9][0-9]-[01][0-9]-[0-3][0-9]", text)
        assert str(ROOT) not in text


def test_roff_is_only_text():
    assert man.roff(".TH x\n'br `code` a-b \\c") == "\\&.TH x\n\\(aqbr \\fBcode\\fR a\\-b \\ec"


def test_main_writes_the_pages(tmp_path, capsys):
    assert man.main(tmp_path) == 0
    assert capsys.readouterr().out.count("\n") == len(PAGES)
    assert (tmp_path / "man" / "blockd.1").read_text(encoding="utf-8") == PAGES["man/blockd.1"]
