"""Fixtures of tests/control."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from blockd.names.suffix import parse
from tests.control.node import Node

MEMORY = Path("/dev/shm")
FEW = b"// ===BEGIN ICANN DOMAINS===\ncom\nco.uk\nbr\nbet.br\n// ===BEGIN PRIVATE DOMAINS===\ngithub.io\n"


@pytest.fixture
def tmp_path():
    """In memory: these tests fsync thousands of times, and what they prove is the order of steps, not the disk."""
    folder = Path(tempfile.mkdtemp(prefix="blockd-test-", dir=MEMORY if MEMORY.is_dir() else None))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def few_rails(monkeypatch):
    """Five public suffixes instead of ten thousand."""
    small = parse(FEW)
    monkeypatch.setattr("blockd.policy.rails.shipped", lambda: small)


@pytest.fixture
def node(tmp_path, few_rails):
    made = Node(tmp_path)
    yield made
    if made.updater:
        made.updater.close()
