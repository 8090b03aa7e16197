from __future__ import annotations

import subprocess
import sys

from blockd.control import logs
from blockd.errors import Refused


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


def test_an_exception_is_its_type_and_place_and_never_its_text():
    said = logs.where(raised(KeyError("secret.example from 192.0.2.7")))
    assert said.startswith("KeyError at ")
    assert "secret" not in said
    assert "192.0.2.7" not in said


def test_our_own_errors_are_written_to_be_shown():
    assert logs.where(raised(Refused("shape", "the list is empty"))) == "the list is empty"
    assert logs.where(None) == "no exception"


def test_a_process_that_fails_says_one_line_without_values():
    code = (
        "from blockd.control import logs; logs.set_up('web'); import logging; logging.getLogger('aiohttp.server').error('from 192.0.2.7')\n"
        "try:\n    int('secret.example')\nexcept ValueError:\n    logging.getLogger('blockd').exception('a request failed')\n"
        "raise ValueError('secret.example')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "ERROR web: a request failed | ValueError at an unknown place",
        "CRITICAL web: this process ends: ValueError at an unknown place",
    ]
