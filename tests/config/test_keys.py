# ruff: noqa: RUF009 -- as in the schema
from __future__ import annotations

from dataclasses import dataclass

from blockd.config.keys import Key, Table, declared, key, table, tables
from blockd.config.values import TEXTS, text


@dataclass(frozen=True)
class Inner:
    a: str = key(text("x"), "Doc of a.", "default")


@dataclass(frozen=True)
class Outer:
    plain: int  # not of the file
    b: str = key(text("x"), "Doc of b.")
    c: tuple = key(TEXTS, "Doc of c.", (), name="see", built=False)
    inner: Inner = table(Inner, "Doc of inner.")
    many: tuple = tables(Inner, "Doc of many.")


def test_declarations_come_back_in_order():
    found = {name: (declaration, default) for name, declaration, default in declared(Outer)}
    assert list(found) == ["b", "c", "inner", "many"]
    assert isinstance(found["b"][0], Key)
    assert found["b"][0].required
    assert found["c"][0].name == "see"
    assert not found["c"][0].built
    assert found["c"][1] == ()
    assert isinstance(found["inner"][0], Table)
    assert found["inner"][1] == Inner("default")
    assert found["many"][0].many
