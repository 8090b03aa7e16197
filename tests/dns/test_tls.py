"""Padding, and words for what is wrong. Real connections: tcp/test_client.py."""

from __future__ import annotations

import ssl

import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockd.dns import build, tls
from blockd.dns.upstreams import Broken

LABEL = st.text("abcdefgh", min_size=1, max_size=63)


@given(st.lists(LABEL, min_size=1, max_size=3), st.integers(0, 65535))
def test_a_padded_query_tells_nothing_by_its_size_and_asks_the_same(labels, identity):
    query = build.query(".".join(labels), "AAAA", identity)
    padded = tls.pad(query)
    assert len(padded) % tls.PADDING_OCTETS == 0
    assert len(padded) < len(query) + 4 + tls.PADDING_OCTETS
    read, plain = dns.message.from_wire(padded), dns.message.from_wire(query)
    assert (read.question, read.id, read.flags, read.payload) == (plain.question, plain.id, plain.flags, plain.payload)
    assert [int(option.otype) for option in read.options] == [12]


@pytest.mark.parametrize(
    "query",
    [
        dns.message.make_query("a.example", "A", use_edns=False).to_wire(),
        dns.message.make_query("a.example", "A", options=[dns.edns.GenericOption(12, b"")]).to_wire(),
        b"",
    ],
    ids=["without OPT", "OPT with an option", "nothing"],
)
def test_what_has_no_bare_opt_record_at_its_end_is_left_alone(query):
    assert tls.pad(query) == query


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (62, "not for a.example"),
        (10, "expired"),
        (9, "not valid yet"),
        (19, "upstream_ca"),
        (23, "revoked"),
        (26, "upstream_ca"),
        (7, "error 7"),
    ],
)
def test_words_for_certificates(code, says):
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = code
    kind, text = tls.what_broke(error, "a.example")
    assert kind is Broken.CERTIFICATE
    assert says in text
    assert "\n" not in text


def test_words_for_handshakes():
    error = ssl.SSLError(1, "x")
    assert tls.what_broke(error, "a.example")[0] is Broken.HANDSHAKE
    assert "port" in tls.what_broke(ConnectionResetError(), "a.example")[1]


def test_the_context_is_strict():
    made = tls.context(None)
    assert made.verify_mode is ssl.CERT_REQUIRED
    assert made.check_hostname
    assert not made.hostname_checks_common_name
    assert made.minimum_version is ssl.TLSVersion.TLSv1_2
