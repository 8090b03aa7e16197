"""Secret lists: encrypted to each member with age (age-encryption.org/v1). The one file that imports `pyrage`.

TUF signs and does not encrypt, so the target of a secret list is an age file: its hash and signatures cover the ciphertext. A gateway
decrypts into memory, never onto a disk. Recipients are ``age1...`` public keys (X25519); an identity file is what ``age-keygen`` writes.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pyrage  # type: ignore[import-untyped]  # a compiled module without stubs

from blockd.errors import Misconfigured, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import IO

    from typing_extensions import Buffer

HEADER = b"age-encryption.org/v1"
PLAIN_MAX_OCTETS = 1 << 30


class _Bounded(io.BytesIO):
    """Takes what is decrypted, up to a limit. The library turns any exception of a writer into OSError, so it is remembered here."""

    full = False

    def write(self, data: Buffer, /) -> int:
        if self.tell() + memoryview(data).nbytes > PLAIN_MAX_OCTETS:
            self.full = True
            raise OSError
        return super().write(data)


def encrypt(plain: bytes, recipients: Iterable[str]) -> bytes:
    """Encrypt to every recipient. Misconfigured: one is not an ``age1...`` public key, or there is none."""
    keys = []
    for number, text in enumerate(recipients, 1):
        try:
            keys.append(pyrage.x25519.Recipient.from_str(text.strip()))
        except pyrage.RecipientError:
            raise Misconfigured(
                f"recipient {number} is not an age public key (age1...): ask the member for the one of age-keygen"
            ) from None
    if not keys:
        raise Misconfigured("a secret list needs at least one --recipient age1...")
    return bytes(pyrage.encrypt(plain, keys))


def read_identity(text: str) -> list[pyrage.x25519.Identity]:
    """Read the keys of an identity file's text. Misconfigured: it holds none, or a line that is none."""
    identities = []
    for line in text.splitlines():
        said = line.strip()
        if not said or said.startswith("#"):
            continue
        try:
            identities.append(pyrage.x25519.Identity.from_str(said))
        except pyrage.IdentityError:
            raise Misconfigured("the age identity file holds a line that is no AGE-SECRET-KEY-1...: make one with age-keygen") from None
    if not identities:
        raise Misconfigured("the age identity file holds no key: make one with age-keygen and give the public half to the publisher")
    return identities


def decrypt(cipher: IO[bytes], identity: str) -> bytes:
    """Decrypt in memory with the keys of an identity file's text.

    Misconfigured: the text holds no identity. Refused("shape"): not an age file, damaged, or not encrypted to any of them.
    """
    identities = read_identity(identity)
    plain = _Bounded()
    try:
        pyrage.decrypt_io(cipher, plain, identities)
    except OSError:  # damaged, after a header that opened
        why = (
            f"is larger than {PLAIN_MAX_OCTETS} octets"
            if plain.full
            else "is damaged behind its header: the publisher must publish it again"
        )
        raise Refused("shape", f"the secret list {why}") from None
    except pyrage.DecryptError:
        raise Refused(
            "shape", "the secret list does not open with this gateway's age identity: ask the publisher to add it as a recipient"
        ) from None
    return plain.getvalue()
