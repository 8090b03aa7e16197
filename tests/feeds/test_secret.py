from __future__ import annotations

import io

import pyrage
import pytest

from blockd.errors import Misconfigured, Refused
from blockd.feeds import secret
from blockd.feeds.secret import HEADER, decrypt, encrypt

PLAIN = b"secret.example\n" * 10_000


@pytest.fixture
def identity():
    return pyrage.x25519.Identity.generate()


def test_every_recipient_reads_it(identity):
    other = pyrage.x25519.Identity.generate()
    cipher = encrypt(PLAIN, [str(identity.to_public()), f" {other.to_public()}\n"])
    assert cipher.startswith(HEADER)
    assert b"secret.example" not in cipher
    for key in (identity, other):
        assert decrypt(io.BytesIO(cipher), f"# created: today\n\n{key}\n") == PLAIN


def test_another_member_does_not(identity):
    cipher = encrypt(PLAIN, [str(identity.to_public())])
    with pytest.raises(Refused, match="recipient") as caught:
        decrypt(io.BytesIO(cipher), str(pyrage.x25519.Identity.generate()))
    assert caught.value.reason == "shape"


@pytest.mark.parametrize(
    "damage", [lambda c: c[:-1], lambda c: c[:300] + b"!" + c[301:], lambda c: b"", lambda c: PLAIN, lambda c: c[:-1] + bytes([c[-1] ^ 1])]
)
def test_a_damaged_file(identity, damage):
    cipher = damage(encrypt(PLAIN, [str(identity.to_public())]))
    with pytest.raises(Refused) as caught:
        decrypt(io.BytesIO(cipher), str(identity))
    assert caught.value.reason == "shape"
    assert caught.value.__cause__ is None


def test_more_than_the_limit(identity, monkeypatch):
    monkeypatch.setattr(secret, "PLAIN_MAX_OCTETS", 1000)
    cipher = encrypt(PLAIN, [str(identity.to_public())])
    with pytest.raises(Refused, match="larger than 1000"):
        decrypt(io.BytesIO(cipher), str(identity))


@pytest.mark.parametrize("recipients", [[], ["age1"], ["ssh-ed25519 AAAA"], [""]])
def test_recipients_that_are_none(recipients):
    with pytest.raises(Misconfigured):
        encrypt(PLAIN, recipients)


@pytest.mark.parametrize("text", ["", "# nothing\n", "AGE-SECRET-KEY-1", "hello"])
def test_identities_that_are_none(identity, text):
    with pytest.raises(Misconfigured) as caught:
        decrypt(io.BytesIO(encrypt(PLAIN, [str(identity.to_public())])), text)
    assert "hello" not in str(caught.value)
