from __future__ import annotations

import pytest

from bench.programs import build


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    """The benchmark's C programs, with every check that the compiler can build in."""
    folder = tmp_path_factory.mktemp("programs")
    return {
        name: build(folder, name, "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
        for name in ("load", "ceiling", "upstream")
    }
