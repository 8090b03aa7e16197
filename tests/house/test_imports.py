"""House rules 1 and 2: files decide or move; each dependency has one owner."""

from __future__ import annotations

import pytest

from tests.house.sources import imported, modules, relative

MOVERS = {"server.py", "client.py", "store.py", "driver.py", "fetch.py"}
MOVING_FOLDERS = ("control/", "cli/")  # the update run and the commands: all of their files may move
MOVES = {
    "asyncio",
    "socket",
    "os",
    "time",
    "random",
    "secrets",
    "logging",
    "subprocess",
    "threading",
    "selectors",
    "shutil",
    "tempfile",
    "uvloop",
}

OWNERS = {
    "dnslib": {"dns/build.py"},
    "ada_url": {"names/ada.py"},
    "prometheus_client": {"admin/metrics.py"},
    "pyrage": {"feeds/secret.py"},
    "cryptography": {"feeds/keys.py"},
    "pyroute2": {"kernel/client.py"},
}


def top(name: str) -> str:
    return name.split(".", 1)[0]


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_a_file_decides_or_moves(path):
    name = relative(path)
    if path.name in MOVERS or name.startswith(MOVING_FOLDERS):
        return
    moved = {n for n in imported(path) if top(n) in MOVES}
    assert not moved, f"{name} decides, so it may not import {sorted(moved)}: take the value as an argument, or move it to a mover"


@pytest.mark.parametrize("package", sorted(OWNERS))
def test_each_dependency_has_one_owner(package):
    users = {relative(p) for p in modules() if any(top(n) == package for n in imported(p))}
    assert users <= OWNERS[package], f"{package} is imported in {sorted(users - OWNERS[package])} beside its owner"


def test_the_rule_can_fail(tmp_path):
    bad = tmp_path / "verdict.py"
    bad.write_text("import asyncio\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import socket\n")
    assert imported(bad) == {"asyncio", "typing"}
