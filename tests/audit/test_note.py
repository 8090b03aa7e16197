from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockd.audit import note
from blockd.errors import Refused

# The example of golang.org/x/mod/sumdb/note (package documentation): key, text and signature as published there.
VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
SIGNED = TEXT + "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"


def ed25519():
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
    return private, private.public_key().public_bytes_raw()


def verifier(public: bytes):
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    def verify(signature: bytes, text: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, text)
        except InvalidSignature:
            return False
        return True

    return verify


def test_the_published_example_verifies():
    name, public = note.parse_verifier_key(VKEY)
    assert name == "PeterNeumann"
    assert note.verifier_key(name, public) == VKEY
    assert note.open_note(SIGNED, name, public, verifier(public)) == TEXT


def test_what_is_signed_opens():
    private, public = ed25519()
    made = note.sign_note("a\nb\n", "gw1.example", public, private.sign)
    assert note.open_note(made, "gw1.example", public, verifier(public)) == "a\nb\n"


def test_a_changed_text_is_refused():
    private, public = ed25519()
    made = note.sign_note("size 7\n", "gw1.example", public, private.sign)
    with pytest.raises(Refused) as refused:
        note.open_note(made.replace("7", "8", 1), "gw1.example", public, verifier(public))
    assert refused.value.reason == "signature"


def test_an_unknown_signature_does_not_count():
    private, public = ed25519()
    made = note.sign_note("size 7\n", "gw1.example", public, private.sign)
    with pytest.raises(Refused) as refused:
        note.open_note(made, "gw2.example", public, verifier(public))
    assert refused.value.reason == "signature"
    extra = made + "— other " + base64.b64encode(b"12345678").decode() + "\n"
    assert note.open_note(extra, "gw1.example", public, verifier(public)) == "size 7\n"


@pytest.mark.parametrize("text", ["no end", "tab\there\n", "nul\0\n", "cr\r\n"])
def test_a_text_that_is_not_a_note(text):
    private, public = ed25519()
    with pytest.raises(Refused):
        note.sign_note(text, "gw1.example", public, private.sign)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\n"])
def test_a_name_that_is_not_a_key_name(name):
    private, public = ed25519()
    with pytest.raises(Refused):
        note.sign_note("x\n", name, public, private.sign)


@given(st.text())
def test_any_text_opens_or_is_refused(text):
    _, public = ed25519()
    with pytest.raises(Refused):
        note.open_note(text, "gw1.example", public, verifier(public))


@given(st.text())
def test_any_text_is_a_verifier_key_or_refused(text):
    with pytest.raises(Refused):
        note.parse_verifier_key(text)
