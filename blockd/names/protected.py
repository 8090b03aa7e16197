"""Names that no entry may block: the shipped ``lists/protected-names.txt``. The configuration adds the operator's own.

One name a line, ``#`` starts a comment. The rails protect each of these names and all of its parents, not the names under it.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from blockd.errors import Corrupt, Refused
from blockd.names import store
from blockd.names.domain import parse_domain

if TYPE_CHECKING:
    from blockd.names.domain import DomainName

FILE = "protected-names.txt"


def parse(data: bytes) -> tuple[DomainName, ...]:
    """Read such a file, in its order. Corrupt: the number of the first line that is no name."""
    names = []
    for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            names.append(parse_domain(text))
        except Refused as refused:
            raise Corrupt(f"line {number} of the protected names is no name ({refused.reason})") from None
    return tuple(names)


@cache
def protected_names() -> tuple[DomainName, ...]:
    """Read the names that blockd ships, once."""
    return parse(store.read(FILE))
