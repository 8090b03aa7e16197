"""The schema is the only description of the configuration: every key is documented, and its default is one of its kind."""

from __future__ import annotations

import tomllib
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from blockd.config.keys import Key, Table, declared
from blockd.config.schema import THREADS, Config, Dns, MaxChange, both_shares
from blockd.config.values import BadValue


def every(cls=Config, path=""):
    for attribute, declaration, default in declared(cls):
        name = f"{path}{getattr(declaration, 'name', '') or attribute}"
        yield name, declaration, default
        if isinstance(declaration, Table):
            yield from every(declaration.type, f"{name}.")


KEYS = [(name, declaration, default) for name, declaration, default in every() if isinstance(declaration, Key)]


@pytest.mark.parametrize(("name", "declaration", "default"), list(every()), ids=lambda v: v if isinstance(v, str) else "")
def test_everything_is_documented_in_sentences(name, declaration, default):
    assert declaration.doc[0].isupper() or declaration.doc[0] == "`"
    assert declaration.doc.endswith(".")
    assert "  " not in declaration.doc


@pytest.mark.parametrize(("name", "declaration", "default"), KEYS, ids=lambda v: v if isinstance(v, str) else "")
def test_a_default_can_be_written_and_read(name, declaration, default):
    if declaration.required:
        return
    written = declaration.kind.write(default)
    assert declaration.kind.read(tomllib.loads(f"x = {written}")["x"], Path("/etc/blockd")) == default


@pytest.mark.parametrize(("name", "declaration", "default"), KEYS, ids=lambda v: v if isinstance(v, str) else "")
def test_an_example_can_be_read(name, declaration, default):
    if declaration.example:
        declaration.kind.read(tomllib.loads(f"x = {declaration.example}")["x"], Path("/etc/blockd"))


def test_every_field_of_every_section_is_a_key():
    for cls in [Config, *(d.type for _, d, _ in every() if isinstance(d, Table))]:
        assert {f.name for f in fields(cls)} - {name for name, _, _ in declared(cls)} <= {"path"}


def test_values_of_the_contract():
    config = Config(Path("blockd.toml"))
    assert config.dns.cache_bytes == 256 << 20
    assert config.dns.allow_from == ("127.0.0.0/8", "::1/128")
    assert config.dns.before_lists == "servfail"
    assert [str(e) for e in config.dns.listen] == ["0.0.0.0:53", "[::]:53"]
    assert (config.counts.window_s, config.counts.threshold) == (3600, 10)
    assert [str(e) for e in config.admin.listen] == ["127.0.0.1:9553"]
    assert MaxChange() == MaxChange(add=0.25, remove=0.10, floor=50)


def test_a_section_is_frozen():
    with pytest.raises(FrozenInstanceError):
        Dns().cache_bytes = 1


def test_max_change_in_short():
    assert both_shares("5%") == MaxChange(add=0.05, remove=0.05)
    assert both_shares(5) is None
    with pytest.raises(BadValue):
        both_shares("5")


@pytest.mark.parametrize(("said", "cores", "threads"), [("auto", 1, 1), ("auto", 4, 4), ("auto", 200, 64), ("1", 8, 1), ("64", 2, 64)])
def test_threads_are_one_for_each_core_or_a_number(said, cores, threads):
    assert Dns(threads=THREADS.read(said, Path())).thread_count(cores) == threads


@pytest.mark.parametrize("said", ["", "0", "65", "-1", "04", "4.0", "all", 4, True])
def test_other_numbers_of_threads_are_refused(said):
    with pytest.raises(BadValue):
        THREADS.read(said, Path())
