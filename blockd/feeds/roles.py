"""The roles of a feed as both halves know them: lifetimes, names, paths, and what is signed about a list.

=========  =====================  =========  ========================================================
role       signed by              lives      says
=========  =====================  =========  ========================================================
root       signers, M of N        1 year     which keys count, for every role
targets    signers, M of N        6 months   which lists there are (one delegation each), nothing else
LIST       signers, M of N        14 days    one target, ``LIST/FILE``, and in ``custom`` how to read it
snapshot   the online key         7 days     the version of every role above
timestamp  the online key         24 hours   the version of the snapshot: the longest freeze that an attacker can get
=========  =====================  =========  ========================================================

(TUF specification 1.0, §4; consistent snapshots, §6.2.) ``custom`` is the same set of words on both sides: the publisher writes it
through :func:`to_custom`, a gateway reads it through :func:`from_custom` and takes no word that it does not know.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

from blockd.errors import Refused
from blockd.feeds.verified import ListMeta
from blockd.names import InvalidName, parse_domain
from blockd.terms import Action, Basis, Category, Format, Instant

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import Enum

    E = TypeVar("E", bound=Enum)

DAY_S = 86_400
ROOT_LIFE_S = 365 * DAY_S
TARGETS_LIFE_S = 182 * DAY_S
LIST_LIFE_S = 14 * DAY_S
SNAPSHOT_LIFE_S = 7 * DAY_S
TIMESTAMP_LIFE_S = DAY_S

BUILT = Instant(1_793_491_200.0)
"""2026-11-01T00:00Z: no clock that is right shows a time before this release was made. Moved at each release."""

LISTS_MAX = 500
SIGNERS_MAX = 32
TEXT_MAX_CHARACTERS = 500
"""Of one free text in the order register."""

TOP_ROLES = ("root", "targets", "snapshot", "timestamp")

_LIST = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}").fullmatch
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}").fullmatch
_TEXTS = ("authority", "reference", "deadline", "until")


def is_list_name(name: str) -> bool:
    """Tell whether `name` can be LIST: lower-case letters, digits, ``-``, ``_``, ``.``, at most 63, and none of TUF's own roles."""
    return _LIST(name) is not None and name not in TOP_ROLES


def is_target_path(path: str, name: str) -> bool:
    """Tell whether `path` is ``LIST/FILE`` for this list, with a FILE that is safe in a URL and on a disk."""
    folder, _, file = path.partition("/")
    return folder == name and _FILE(file) is not None


def target_path(name: str, file: str, meta: ListMeta) -> str:
    """Choose the path of a list's target: the publisher's file name where it is safe, else ``LIST.FORMAT``."""
    if _FILE(file) is None:
        file = f"{name}.{meta.format.value}"
    return f"{name}/{file}.age" if meta.secret else f"{name}/{file}"


def path_pattern(name: str) -> str:
    """What a list's role may speak about (TUF specification §4.5, PATHPATTERN; ``*`` does not match ``/``)."""
    return f"{name}/*"


def to_custom(meta: ListMeta) -> dict[str, object]:
    """Write what is signed about a list; keys that say nothing are left out."""
    custom: dict[str, object] = {
        "format": meta.format.value,
        "basis": meta.basis.value,
        "category": meta.category.value,
        "action": meta.action.value,
        "secret": meta.secret,
    }
    optional = {"canary": meta.canary, **{key: getattr(meta, key) for key in _TEXTS}}
    return custom | {key: value for key, value in optional.items() if value is not None}


def from_custom(custom: object) -> ListMeta:
    """Read what was signed about a list. Refused("shape") when a word is missing or not one that this release knows.

    Further keys are left alone (TUF specification §4.1: unrecognised fields stay), so that a later publisher can say more.
    """
    if not isinstance(custom, dict):
        raise Refused("shape", "the signed metadata does not say how to read the list: publish it with `blockd feed publish`")
    secret = custom.get("secret", False)
    if not isinstance(secret, bool):
        raise Refused("shape", "signed `secret` must be true or false")
    texts = {key: _text(custom, key) for key in _TEXTS}
    return ListMeta(
        format=_word(custom, "format", Format),
        basis=_word(custom, "basis", Basis),
        category=_word(custom, "category", Category),
        action=_word(custom, "action", Action),
        secret=secret,
        canary=_canary(custom),
        **texts,
    )


def _word(custom: Mapping[str, object], key: str, words: type[E]) -> E:
    value = custom.get(key)
    for word in words:
        if word.value == value:
            return word
    raise Refused("shape", f"signed `{key}` is not one of: {', '.join(str(w.value) for w in words)}; a newer blockd may know it")


def _text(custom: Mapping[str, object], key: str) -> str | None:
    value = custom.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > TEXT_MAX_CHARACTERS or not value.isprintable():
        raise Refused("shape", f"signed `{key}` is not one line of text with at most {TEXT_MAX_CHARACTERS} characters")
    return value


def _canary(custom: Mapping[str, object]) -> str | None:
    value = _text(custom, "canary")
    if value is None:
        return None
    try:
        return str(parse_domain(value))
    except InvalidName:
        raise Refused("shape", "signed `canary` is not a domain name") from None
