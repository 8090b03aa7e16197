from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from blockd.errors import Refused
from blockd.feeds.keys import PEM_MAX_OCTETS, LockedKey, generate, open_pem, signer_of, to_pem


@pytest.mark.parametrize("passphrase", [None, b"correct horse"])
def test_a_key_is_read_as_it_was_written(passphrase):
    private = generate()
    signer = open_pem(to_pem(private, passphrase), passphrase)
    assert signer.public_key == signer_of(private).public_key
    signature = signer.sign(b"data")
    signer.public_key.verify_signature(signature, b"data")


def test_it_is_pkcs8_ed25519_that_other_tools_read():
    pem = to_pem(generate(), b"correct horse")
    assert pem.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert type(load_pem_private_key(pem, b"correct horse")).__name__ == "Ed25519PrivateKey"
    assert to_pem(generate(), None).startswith(b"-----BEGIN PRIVATE KEY-----")


def test_a_passphrase_does_not_matter_to_a_key_in_the_clear():
    private = generate()
    assert open_pem(to_pem(private, None), b"any").public_key == signer_of(private).public_key


@pytest.mark.parametrize(("passphrase", "word"), [(None, "is not set"), (b"wrong", "does not open")])
def test_a_locked_key(passphrase, word):
    with pytest.raises(LockedKey, match=word):
        open_pem(to_pem(generate(), b"correct horse"), passphrase)


def test_another_kind_of_key():
    pem = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(Refused, match="Ed25519"):
        open_pem(pem, None)


@pytest.mark.parametrize(
    "pem", [b"", b"x", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", b"x" * (PEM_MAX_OCTETS + 1), b"\xff" * 100]
)
def test_what_is_no_key(pem):
    with pytest.raises(Refused) as caught:
        open_pem(pem, None)
    assert caught.value.reason == "key"
