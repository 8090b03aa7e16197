"""Fingerprints against an independent SipHash, and the properties that the table relies on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockd.native import _table
from tests.native.rows import to_wire
from tests.native.siphash import name_fingerprint, siphash128, url_fingerprint

KEY = bytes(range(16))
labels = st.binary(min_size=1, max_size=63)
names = st.lists(labels, max_size=12).map(lambda ls: b"".join(bytes((len(x),)) + x for x in ls) + b"\0").filter(lambda w: len(w) <= 255)
keys = st.binary(min_size=16, max_size=16)


def test_the_reference_gives_the_published_vectors():
    # vectors_sip128 of the SipHash authors' reference code (SipHash-2-4-128, key 00..0f, message of 0 and of 1 octet).
    assert siphash128(KEY, b"", 2, 4).hex() == "a3817f04ba25a8e66df67214c7550293"
    assert siphash128(KEY, b"\0", 2, 4).hex() == "da87c1d86b99af44347659119b22fc45"


@given(keys, names)
def test_a_name_is_hashed_as_documented(key, wire):
    assert _table.fingerprint(key, wire) == name_fingerprint(key, wire)


@given(keys, st.binary(max_size=600))
def test_a_url_is_hashed_as_documented(key, url):
    assert _table.url_fingerprint(key, url) == url_fingerprint(key, url)


@given(names)
def test_suffixes_are_the_fingerprints_of_the_parents(wire):
    parents, at = [], 0
    while wire[at]:
        parents.append(_table.fingerprint(KEY, wire[at:]))
        at += 1 + wire[at]
    assert _table.suffix_fingerprints(KEY, wire) == parents[::-1]


@given(names)
def test_case_is_folded(wire):
    assert _table.fingerprint(KEY, wire) == _table.fingerprint(KEY, bytes(c - 32 if 97 <= c <= 122 else c for c in wire))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"\3a.b\0", b"\1a\1b\0"),  # a dot inside a label
        (b"\1a\0", b"\2a\0\0"),  # a zero octet where the padding is
        (b"\7aaaaaaa\0", b"\x08aaaaaaa\0\0"),
        (b"\1a\1b\0", b"\1b\1a\0"),
    ],
)
def test_names_that_are_not_equal_do_not_hash_alike(one, other):
    assert _table.fingerprint(KEY, one) != _table.fingerprint(KEY, other)


def test_no_url_hashes_as_a_name():
    wire = to_wire(b"example.com")
    assert _table.url_fingerprint(KEY, wire) != _table.fingerprint(KEY, wire)
    assert _table.url_fingerprint(KEY, b"") != _table.fingerprint(KEY, b"\0")


@pytest.mark.parametrize("wire", [b"", b"\1a", b"\1a\0\0", b"\x40" + b"a" * 64 + b"\0", b"\xc0\0", b"\3ab\0", b"\1a" * 127 + b"\1"])
def test_what_is_no_name_is_refused(wire):
    with pytest.raises(ValueError, match="not one whole"):
        _table.fingerprint(KEY, wire)


@pytest.mark.parametrize("key", [b"", bytes(15), bytes(17)])
def test_a_key_has_sixteen_octets(key):
    with pytest.raises(ValueError, match="16 octets"):
        _table.fingerprint(key, b"\1a\0")


def test_the_longest_name():
    wire = b"\1a" * 127 + b"\0"
    assert len(wire) == 255
    assert _table.fingerprint(KEY, wire) == name_fingerprint(KEY, wire)
    assert len(_table.suffix_fingerprints(KEY, wire)) == 127
