"""tuf-conformance judges the client where it is installed; everywhere, its command line is tried over HTTP."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from blockd.feeds import driver
from tests.feeds.simulator import meta
from tests.feeds.test_fetch import Server

CLIENT = Path(__file__).with_name("conformance_client.py")


def run(*args) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return subprocess.run([sys.executable, str(CLIENT), *map(str, args)], capture_output=True, text=True, check=False, env=environment)


def test_the_command_line(tmp_path):
    import time

    repo, keys, source = tmp_path / "repo", tmp_path / "keys", tmp_path / "list.txt"
    source.write_text("casino.example\n", encoding="utf-8")
    driver.init(repo, keys, 1, 1, None, time.time())
    driver.publish(repo, keys, None, "gambling", meta(), source, (), time.time())
    server = Server({f"/{p.relative_to(repo)}": p.read_bytes() for p in repo.rglob("*") if p.is_file()}).start()
    (tmp_path / "out").mkdir()
    trusted, out = tmp_path / "trusted", tmp_path / "out"
    trusted.mkdir()
    common = ("--metadata-dir", trusted, "--metadata-url", f"{server.url}/metadata")
    target = ("--target-name", "gambling/list.txt", "--target-base-url", f"{server.url}/targets", "--target-dir", out)
    try:
        assert run("--metadata-dir", trusted, "init", repo / "root.json").returncode == 0
        assert not server.requests
        assert json.loads((trusted / "root.json").read_bytes())["signed"]["version"] == 1
        assert run(*common, "refresh").returncode == 0
        assert {p.name for p in trusted.glob("*.json")} == {"root.json", "timestamp.json", "snapshot.json", "targets.json"}
        done = run(*common, *target, "download")
        assert done.returncode == 0, done.stderr
        assert [p.read_bytes() for p in out.iterdir()] == [b"casino.example\n"]
        before = len(server.requests)
        assert run(*common, *target, "download").returncode == 0
        assert not any("/targets/" in path for path, _ in server.requests[before:])
        server.files["/metadata/timestamp.json"] = b"{}"
        assert run(*common, "refresh").returncode == 1
    finally:
        server.stop()


@pytest.mark.skipif(
    importlib.util.find_spec("tuf_conformance") is None,
    reason="tuf-conformance is not installed (it is not on PyPI): pip install a checkout of it",
)
@pytest.mark.timeout(600)
def test_tuf_conformance():
    spec = importlib.util.find_spec("tuf_conformance")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = spec.submodule_search_locations[0]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", folder, "--entrypoint", f"{sys.executable} {CLIENT}", "-q"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
