from __future__ import annotations

import dataclasses
import re
import unicodedata

import pytest

from blockd.counts import layout
from blockd.stop_page.language import LANGUAGES
from blockd.stop_page.words import WORDS
from blockd.terms import Basis, Category


def texts(words):
    for field in dataclasses.fields(words):
        value = getattr(words, field.name)
        yield from value.values() if isinstance(value, dict) else [value]


def test_the_three_sets_of_languages_are_one():
    assert tuple(WORDS) == LANGUAGES == layout.LANGUAGES[:-1]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_basis_and_category_has_words(language):
    words = WORDS[language]
    assert words.why.keys() == words.basis.keys() == set(Basis)
    assert words.category.keys() == set(Category)
    assert all(text.strip() == text and text for text in texts(words))
    assert not any(re.search(r"[<>&]", text) for text in texts(words))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_only_placeholder_is_the_operator(language):
    for text in texts(WORDS[language]):
        assert set(re.findall(r"\{.*?\}", text)) <= {"{operator}"}
    assert "{operator}" in WORDS[language].appeal_how


def test_one_language_runs_from_right_to_left_and_is_written_so():
    assert {language: words.direction for language, words in WORDS.items()} == {"en": "ltr", "fr": "ltr", "ar": "rtl"}
    for text in texts(WORDS["ar"]):
        if text != "rtl":
            letters = [c for c in text.replace("{operator}", "") if c.isalpha()]
            assert all(unicodedata.bidirectional(c) in {"AL", "R"} for c in letters), text
