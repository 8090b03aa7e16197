"""Which language a reader gets: Accept-Language against the fixed set (RFC 9110 §12.5.4, lookup by RFC 4647 §3.4). Pure.

>>> choose("fr-CA, en;q=0.8")
'fr'
>>> choose("xx, ar;q=0.1")
'ar'
>>> choose("")
'en'
"""

from __future__ import annotations

import re
from typing import Final

LANGUAGES: Final = ("en", "fr", "ar")
"""In the order that decides between equals; the first is for everyone else."""

RANGES_MAX: Final = 32
HEADER_MAX_CHARACTERS: Final = 1024

_RANGE = re.compile(r"\s*(\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)\s*(?:;\s*[qQ]\s*=\s*(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\s*)?").fullmatch


def choose(accept_language: str) -> str:
    """Return the language of the fixed set that the reader likes best; English when none fits. Malformed ranges are passed over."""
    liked: dict[str, float] = {}
    anything = 0.0
    for text in accept_language[:HEADER_MAX_CHARACTERS].split(",")[:RANGES_MAX]:
        match = _RANGE(text)
        if match is None:
            continue
        quality = 1.0 if match[2] is None else float(match[2])
        primary = match[1].partition("-")[0].lower()
        if primary == "*":
            anything = max(anything, quality)
        elif primary in LANGUAGES:
            liked[primary] = max(liked.get(primary, 0.0), quality)
    best = max(LANGUAGES, key=lambda language: liked.get(language, anything))  # the first of equals
    return best if liked.get(best, anything) > 0 else LANGUAGES[0]
