"""Signing keys: Ed25519 (RFC 8032) in PKCS #8 PEM files (RFC 5958), encrypted under a passphrase. The one file that imports `cryptography`.

Nothing here reads or writes files: octets of a PEM in, a signer out. The library derives the key that encrypts a PEM from the passphrase
with few rounds, so the passphrase should be long and random (``openssl rand -base64 32``): it stands in a file, nobody types it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner, Key, SSlibKey  # type: ignore[attr-defined]  # public, but not declared as exported

from blockd.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CryptoSigner", "Key", "LockedKey", "generate", "open_pem", "to_pem"]

PEM_MAX_OCTETS = 16_384


class LockedKey(Refused):
    """The key is encrypted, and the passphrase is missing or another one's. `reason` is "key"."""


def generate() -> Ed25519PrivateKey:
    """Make a new key."""
    return Ed25519PrivateKey.generate()


def signer_of(private: Ed25519PrivateKey) -> CryptoSigner:
    """Return what signs with it; its ``public_key`` is what goes into metadata, its ``keyid`` the SHA-256 of that."""
    return CryptoSigner(private, SSlibKey.from_crypto(private.public_key()))


def to_pem(private: Ed25519PrivateKey, passphrase: bytes | None) -> bytes:
    """Write a key as PEM, in the clear when there is no passphrase."""
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def open_pem(pem: bytes, passphrase: bytes | None) -> CryptoSigner:
    """Read a key file. LockedKey: another passphrase is needed. Refused("key"): not an Ed25519 key."""
    if len(pem) > PEM_MAX_OCTETS:
        raise Refused("key", "too large for a key file")
    attempts: list[Callable[[], object]] = [lambda: load_pem_private_key(pem, None)]
    if passphrase:
        attempts.insert(0, lambda: load_pem_private_key(pem, passphrase))
    locked = b"ENCRYPTED" in pem
    for attempt in attempts:
        try:
            private = attempt()
        except (TypeError, ValueError, UnsupportedAlgorithm):  # TypeError: a passphrase for a key in the clear, or none for a locked one
            continue
        if isinstance(private, Ed25519PrivateKey):
            return signer_of(private)
        raise Refused("key", "not an Ed25519 key")
    if locked:
        what = "the passphrase does not open it" if passphrase else "it is encrypted and BLOCKD_FEED_PASSPHRASE_FILE is not set"
        raise LockedKey("key", what)
    raise Refused("key", "not a private key in PKCS #8 PEM form")
