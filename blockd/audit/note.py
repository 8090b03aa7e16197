"""Signed notes (C2SP signed-note v1.0.0): text that ends in a line feed, a blank line, and signature lines.

    blockd selftest 2026-11-24T12:00:00Z
    ...

    — gw1.example.net Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=

The key's number is the first four octets of SHA-256(name, LF, 0x01, public key); type 0x01 is Ed25519. Names hold no blank and no plus sign. Pure:
who signs is an argument.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from blockd.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

ED25519 = b"\x01"
DASH = "— "  # U+2014 and a blank
NOTE_MAX_BYTES = 1 << 20


def key_number(name: str, public: bytes) -> bytes:
    """Four octets that tell keys of one name apart."""
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + public).digest()[:4]


def verifier_key(name: str, public: bytes) -> str:
    """The ``vkey`` text that a verifier is given: ``name+hex(number)+base64(type, public key)``."""
    return f"{name}+{key_number(name, public).hex()}+{base64.b64encode(ED25519 + public).decode()}"


def parse_verifier_key(text: str) -> tuple[str, bytes]:
    """(name, public key) of a ``vkey``. Raises Refused("shape")."""
    try:
        name, number, encoded = text.strip().split("+", 2)  # base64 has plus signs too, names have none
        blob = base64.b64decode(encoded, validate=True)
    except ValueError:
        raise Refused("shape", "this is not a verifier key: it has the form name+number+base64") from None
    if not _is_name(name) or blob[:1] != ED25519 or len(blob) != 33 or key_number(name, blob[1:]).hex() != number:
        raise Refused("shape", "this is not an Ed25519 verifier key, or its number does not belong to its name and key")
    return name, blob[1:]


def sign_note(text: str, name: str, public: bytes, sign: Callable[[bytes], bytes]) -> str:
    """The note with one signature. `text` must end in a line feed and hold no other control character. Raises Refused("shape")."""
    _check_text(text)
    if not _is_name(name):
        raise Refused("shape", "a key's name holds no blank and no plus sign")
    signature = sign(text.encode())
    return f"{text}\n{DASH}{name} {base64.b64encode(key_number(name, public) + signature).decode()}\n"


def open_note(note: str, name: str, public: bytes, verify: Callable[[bytes, bytes], bool]) -> str:
    """The text of a note that this key signed. Unknown signatures do not count; a bad one of this key refuses the note. Raises Refused("signature")."""
    if len(note) > NOTE_MAX_BYTES:
        raise Refused("shape", f"the note is longer than {NOTE_MAX_BYTES} octets")
    at = note.rfind("\n\n")
    if at < 0 or not note.endswith("\n"):
        raise Refused("shape", "this is not a signed note: there is no blank line before its signatures")
    text, lines = note[: at + 1], note[at + 2 :].splitlines()
    _check_text(text)
    number = key_number(name, public)
    good = False
    for line in lines:
        signer, signature = _signature(line)
        if signer != name or signature[:4] != number:
            continue
        if not verify(signature[4:], text.encode()):
            raise Refused("signature", f"the signature of {name} does not fit the text")
        good = True
    if not good:
        raise Refused("signature", f"{name} has not signed this note")
    return text


def _signature(line: str) -> tuple[str, bytes]:
    name, _, encoded = line.removeprefix(DASH).partition(" ")
    try:
        blob = base64.b64decode(encoded, validate=True)
    except ValueError:
        blob = b""
    if not line.startswith(DASH) or not _is_name(name) or len(blob) < 5:
        raise Refused("shape", "a signature line is malformed")
    return name, blob


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(c.isspace() or not c.isprintable() for c in name)


def _check_text(text: str) -> None:
    if not text.endswith("\n") or any(ord(c) < 0x20 and c != "\n" for c in text):
        raise Refused("shape", "a note's text ends in a line feed and holds no other control character")
