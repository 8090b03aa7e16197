"""The node's own Ed25519 key: signs what this gateway says of itself (selftest now, the record's checkpoints later).

`state_dir/node.pem`, 0600, made when it is first needed. Trust: whoever has it can speak for this node; it decides nothing about lists.
"""

from __future__ import annotations

import os
import secrets
import socket
from typing import TYPE_CHECKING, Self

from blockd.audit import note
from blockd.errors import Corrupt, Refused, Unavailable
from blockd.feeds import keys
from blockd.table.store import fsync_directory

if TYPE_CHECKING:
    from pathlib import Path

    from blockd.config.schema import Config

FILE = "node.pem"


class NodeKey:
    """A name and a signer."""

    def __init__(self, name: str, signer: keys.CryptoSigner) -> None:
        self.name = name
        self._signer = signer
        self.public = bytes.fromhex(signer.public_key.keyval["public"])

    @classmethod
    def load(cls, config: Config) -> Self:
        """Read the key; make it when there is none. Unavailable: the disk refuses. Corrupt: the file is no key."""
        path = config.state_dir / FILE
        try:
            if not path.exists():
                _make(path)
            return cls(node_name(config), keys.open_pem(path.read_bytes(), None))
        except OSError as error:
            raise Unavailable(f"{path}: {error.strerror}; run this as root or as blockd's user") from None
        except Refused as error:
            raise Corrupt(f"{path}: {error}; restore it, or remove it and tell those who know the old key") from None

    def sign(self, text: str) -> str:
        """A signed note (C2SP signed-note) of a text that ends in a line feed."""
        return note.sign_note(text, self.name, self.public, self._sign)

    @property
    def verifier(self) -> str:
        """What someone who wants to check a note is given."""
        return note.verifier_key(self.name, self.public)

    def _sign(self, data: bytes) -> bytes:
        return bytes.fromhex(self._signer.sign(data).signature)


def node_name(config: Config) -> str:
    """The key's name: the record's origin without its year, else the machine's name."""
    origin = config.audit.origin.replace("/{year}", "").replace("{year}", "").strip("/")
    return origin or f"blockd/{socket.gethostname()}"


def _make(path: Path) -> None:
    """Write a new key under another name and link it into place: whole or not at all, and the first of two makers wins."""
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(keys.to_pem(keys.generate(), None))
            file.flush()
            os.fsync(fd)
            owner = path.parent.stat()
            if os.geteuid() == 0 and owner.st_uid != 0:
                # The command may run as root, the daemon as its user. By descriptor: that user could put a link in the name's place.
                os.fchown(fd, owner.st_uid, owner.st_gid)
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    fsync_directory(path.parent)
