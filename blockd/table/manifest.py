"""What lies beside a generation's table: which lists it was built from, and which counter cells it uses.

Canonical JSON (sorted keys, no spaces), so that equal generations have equal manifests. The table file holds the rules; the manifest
says what the lists of those rules are. :class:`Corrupt` when a manifest does not say it: our own state is damaged.

    >>> load_manifest(dump_manifest(Manifest(7, {}, {}))).number
    7
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blockd.control.live import LiveList
from blockd.errors import Corrupt
from blockd.terms import Action, Basis, Category, ListName

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """`cells`: (list, category, action, stage, shadow) -> counter cell, as in :class:`LiveGeneration`."""

    number: int
    lists: Mapping[ListName, LiveList]
    cells: Mapping[tuple[ListName, Category, Action, str, bool], int]


def dump_manifest(manifest: Manifest) -> bytes:
    """Canonical JSON; the inverse of :func:`load_manifest`."""
    value = {
        "version": VERSION,
        "generation": manifest.number,
        "lists": [
            {
                "name": item.name,
                "version": item.version,
                "basis": item.basis.value,
                "category": item.category.value,
                "action": item.action.value,
                "secret": item.secret,
                "canary": item.canary,
                "entries": item.entries,
            }
            for item in manifest.lists.values()
        ],
        "cells": [[key[0], key[1].value, key[2].value, key[3], key[4], cell] for key, cell in manifest.cells.items()],
    }
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _list(row: dict[str, Any]) -> LiveList:
    return LiveList(
        name=ListName(row["name"]),
        version=int(row["version"]),
        basis=Basis(row["basis"]),
        category=Category(row["category"]),
        action=Action(row["action"]),
        secret=bool(row["secret"]),
        canary=row["canary"],
        entries=int(row["entries"]),
    )


def load_manifest(data: bytes) -> Manifest:
    """Read a manifest. Corrupt: it is none, of another version, or says the impossible. Lists keep their order."""
    try:
        value = json.loads(data)
        if value["version"] != VERSION:
            raise Corrupt("the generation's manifest is of another version")
        lists = [_list(row) for row in value["lists"]]
        cells = {
            (ListName(name), Category(category), Action(action), str(stage), bool(shadow)): int(cell)
            for name, category, action, stage, shadow, cell in value["cells"]
        }
        return Manifest(int(value["generation"]), {item.name: item for item in lists}, cells)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Corrupt(f"the generation's manifest is damaged ({type(error).__name__})") from None
