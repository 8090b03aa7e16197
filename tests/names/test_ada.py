"""The two functions on top of ada-url are total and never hand over more than a host."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockd.names.ada import host_to_ascii, href


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("HTTP://a/../b?c#d", "http://a/b?c#d"),
        ("ftp://a/", "ftp://a/"),
        ("mailto:a@b", "mailto:a@b"),
        ("a", None),
        ("", None),
        ("http://", None),
        ("http://a/\ud800", None),
        ("http://a/\0x", "http://a/%00x"),
    ],
)
def test_href(text, expected):
    assert href(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Bücher.example", "xn--bcher-kva.example"),
        ("ß", "xn--zca"),
        ("a..ü", "a..xn--tda"),
        ("1.2", "1.0.0.2"),
        ("", None),
        (" a", None),
        ("a ", None),
        ("a\ud800", None),
        ("ü\0", None),
        # what would not reach the host parser, or not as it stands
        ("a/b", None),
        ("a\\b", None),
        ("a?b", None),
        ("a#b", None),
        ("u@a", None),
        ("a:80", None),
        ("[::1]", None),
        ("a\tb", None),
        ("a\n", None),
        ("%61", None),
    ],
)
def test_host_to_ascii(text, expected):
    assert host_to_ascii(text) == expected


# What implementations of UTS 46 get wrong: non-transitional mapping, joiners in context, the Bidi rule, normalisation.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("à\u05d0", None),  # Bidi rule: left-to-right and right-to-left in one label
        ("à.\u05d00\u0660", None),
        ("a\u200cb", None),  # ContextJ: a joiner without its neighbours
        ("a\u094d\u200cb", "xn--ab-fsf604u"),
        ("ab\u094d\u200dc.example", "xn--abc-tmh4320a.example"),
        ("ΒΌΛΟΣ.com", "xn--nxasmq6b.com"),
        ("βόλος.com", "xn--nxasmm1c.com"),
        ("نامه\u200cای.com", "xn--mgba3gch31f060k.com"),
        ("ශ්\u200dරී", "xn--10cl1a0b660p"),
        ("日本語。ＪＰ", "xn--wgv71a119e.jp"),
        ("☕", "xn--53h"),
        ("\ufb01", "fi"),
        ("\u2126", "xn--bya"),
        ("\u0301a", None),  # starts with a combining mark
        ("a\u2fffb", None),  # not assigned
    ],
)
def test_uts46(text, expected):
    got = host_to_ascii(text)
    assert got == expected


@given(st.text(st.characters(exclude_categories=())))
def test_any_text(text):
    for got in (href(text), host_to_ascii(text)):
        assert got is None or got.isascii()
    host = host_to_ascii(text)
    assert host is None or not set(host) & set("/?#@: ")
