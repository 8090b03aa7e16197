from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockd.stop_page.language import LANGUAGES, choose


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"), ("fr", "fr"), ("FR-ca", "fr"), ("ar-EG,ar;q=0.9,en;q=0.8", "ar"), ("de-DE,de;q=0.9", "en"), ("de,fr;q=0.1", "fr"),
        ("en;q=0.1, fr;q=0.2", "fr"), ("fr;q=0, *", "en"), ("en;q=0,*;q=0.5", "fr"), ("en;q=0, fr;q=0, ar;q=0", "en"), ("*", "en"), ("*;q=0", "en"),
        ("fr;q=0.5, fr-CA;q=0.9, en;q=0.7", "fr"), ("fr; q=0.9 , en ;q=0.95", "en"), ("en,fr", "en"), ("fr,en", "en"), ("fra", "en"),
        ("fr;q=2", "en"), ("fr;q=nan", "en"), ("fr;q=0.1234", "en"), (";;;,,,=", "en"), ("x" * 100_000, "en"), ("<script>", "en"),
    ],
)  # fmt: skip
def test_choice(header, language):
    assert choose(header) == language


@given(st.text(max_size=200) | st.lists(st.sampled_from(["fr", "ar", "en", "*", ";q=", "0.5", ",", "-CA", " "]), max_size=30).map("".join))
def test_any_header_gives_one_of_the_set(header):
    assert choose(header) in LANGUAGES


def test_a_long_header_costs_nothing():
    started = time.perf_counter()
    for hostile in ("a-" * 50_000, "en;q=" + "0" * 100_000, "," * 100_000, " " * 100_000, "en" + " " * 1000 + ";"):
        choose(hostile)
    assert time.perf_counter() - started < 0.05
