"""House rule 8 and the habits: one subject a file, tests mirror the package, nothing of the maker's machine in the tree."""

from __future__ import annotations

import re

import pytest

from tests.house.sources import ROOT, modules, relative, tracked

LINES_MAX = 400
TOP_LEVEL = {
    "blockd", "lists", "deploy", "systemd", "bench", "tests", "requirements", "README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE", "Makefile",
    "pyproject.toml", "setup.py", ".ci", ".gitignore", ".gitattributes", "MANIFEST.in",
}  # fmt: skip


def test_the_top_level_is_the_agreed_one():
    assert {p.relative_to(ROOT).parts[0] for p in tracked()} <= TOP_LEVEL


@pytest.mark.parametrize("path", [p for p in tracked() if p.suffix in {".py", ".c", ".h"}], ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_has_one_subject(path):
    lines = path.read_bytes().count(b"\n")
    assert lines <= LINES_MAX, f"{lines} lines: a subject is hiding in it"


def test_no_path_of_the_makers_machine_is_in_the_tree():
    # The home of whoever builds it, and this checkout's own parent, must not have leaked into any text file.
    parent = str(ROOT.parent)
    needles = [re.compile(rb"/(home|Users)/[a-z][a-z0-9_-]*/")]
    if parent not in {"/", "/tmp", "/root"}:
        needles.append(re.compile(re.escape(parent.encode()) + rb"/"))
    found = [str(p.relative_to(ROOT)) for p in tracked() for n in needles if n.search(p.read_bytes())]
    assert not found


def test_large_files_are_data():
    big = [str(p.relative_to(ROOT)) for p in tracked() if p.stat().st_size > 512 * 1024]
    assert not big


ELSEWHERE = {
    # Files whose tests are not at the mirrored place, and where they are. This list may only shrink.
    "control/live.py": "tests/table/test_store.py",  # values alone, made by the store
    "control/service.py": "tests/control/test_line_to_control.py",  # a protocol
    "control/server.py": "tests/system/test_main_job.py",  # wires the parts together: only the whole shows that it does
    "control/state.py": "tests/control/test_showing.py",  # a value
    "control/xdp.py": "tests/system/test_xdp.py",  # a program in the kernel: only a packet shows what it does
    "errors.py": "tests/control/test_logs.py",  # names
    "terms.py": "tests/table/test_rules.py",  # names
}


def test_tests_mirror_the_package():
    missing = []
    for path in modules():
        if path.name in {"__init__.py", "__main__.py"}:
            continue
        inside = path.relative_to(ROOT / "blockd")
        expected = ROOT / "tests" / inside.parent / f"test_{inside.name}"
        elsewhere = ELSEWHERE.get(relative(path))
        if elsewhere:
            assert not expected.exists(), f"{relative(path)} has a test of its own now: take it off the list"
            expected = ROOT / elsewhere
        if not expected.exists():
            missing.append(relative(path))
    assert not missing, f"no tests/<folder>/test_<file>.py for {missing}"
