"""Fingerprints from the native core against plain Python, which is first held to the published SipHash vectors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockd.names import from_labels, parse_domain, parse_url
from tests.names.siphash import siphash128

fingerprint = pytest.importorskip("blockd.names.fingerprint", reason="the native core is not built", exc_type=ImportError)

KEY = bytes(range(16))


@pytest.mark.parametrize(
    ("length", "expected"),
    [(0, "a3817f04ba25a8e66df67214c7550293"), (1, "da87c1d86b99af44347659119b22fc45"), (2, "8177228da4a45dc7fca38bdef60affe4")],
)
def test_the_oracle_gives_the_published_siphash_2_4_128_vectors(length, expected):
    assert siphash128(KEY, bytes(range(length)), 2, 4).hex() == expected


def absorbed(labels):
    """name.h: labels from the right, each with its length octet, padded with zeros to a multiple of eight."""
    wires = (bytes([len(label)]) + label for label in reversed(labels))
    return b"".join(wire + b"\0" * (-len(wire) % 8) for wire in wires)


LABELS = st.lists(st.binary(min_size=1, max_size=63), min_size=1, max_size=20).filter(lambda ls: sum(len(x) + 1 for x in ls) < 255)


@given(LABELS, st.binary(min_size=16, max_size=16))
def test_names(labels, key):
    name = from_labels(labels)
    folded = name.labels
    assert fingerprint.of_domain(key, name) == siphash128(key, absorbed(folded))
    suffixes = fingerprint.of_suffixes(key, name)
    assert suffixes == tuple(siphash128(key, absorbed(folded[-depth:])) for depth in range(1, len(folded) + 1))
    assert suffixes[-1] == fingerprint.of_domain(key, name)


@given(st.text(st.sampled_from("abc/%?=é"), max_size=200))
def test_urls(path):
    url = parse_url(f"http://example.com/{path}")
    assert fingerprint.of_url(KEY, url) == siphash128(KEY, b"\xff" + url.key())


def test_label_boundaries_count():
    names = ([b"ab", b"c"], [b"a", b"bc"], [b"a.b", b"c"], [b"abc"], [b"abc\0"])
    assert len({fingerprint.of_domain(KEY, from_labels(labels)) for labels in names}) == len(names)


def test_the_key_matters():
    name = parse_domain("example")
    assert fingerprint.of_domain(KEY, name) != fingerprint.of_domain(bytes(16), name)
    assert len(fingerprint.of_domain(KEY, name)) == fingerprint.FINGERPRINT_OCTETS


@pytest.mark.parametrize("key", [b"", bytes(15), bytes(17)])
def test_a_key_of_another_length_is_refused(key):
    with pytest.raises(ValueError, match="key"):
        fingerprint.of_domain(key, parse_domain("example"))
