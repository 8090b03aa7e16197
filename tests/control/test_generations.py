from __future__ import annotations

import json
import os

import pytest

from blockd.control import stages
from blockd.control.generations import CELLS_FILE, KEEP_GENERATIONS, Generations
from blockd.control.judge import ADMITTED
from blockd.control.sources import Placement
from blockd.control.steps import NO_STEPS
from blockd.errors import Corrupt
from blockd.native._table import ListBuilder
from blockd.table.rules import Rule, dump_rules
from blockd.table.store import make_key, open_current, open_list
from blockd.terms import Action, Category, Kind, ListName
from tests.control.test_sources import source

A, B = ListName("f/a"), ListName("f/b")


class Store:
    def __init__(self, state_dir):
        self.state_dir = state_dir
        self.key = make_key(state_dir)
        self.generations = Generations(state_dir, self.key, NO_STEPS)

    def placement(self, name, *names, version=1, out=None):
        path = self.state_dir / "lists" / name / f"{version}.blkl"
        path.parent.mkdir(parents=True, exist_ok=True)
        builder = ListBuilder(self.key, b"")
        builder.add_text("".join(f"{n}\n" for n in names).encode(), "domains", 1, 0)
        builder.write(path, dump_rules([Rule(name, Kind.SUBTREE, Category.GAMBLING)]))
        item = source(name, version=version, compiled=str(path.relative_to(self.state_dir)), entries=len(names))
        return Placement(item, out)

    def build(self, number, *placements, cells=()):
        placed = {p.source.name: p for p in placements}
        compiled = {name: open_list(self.state_dir / p.source.compiled, self.key) for name, p in placed.items() if p.out is None}
        built = self.generations.build(number, placed, compiled, cells, frozenset(placed))
        checked = self.generations.check(built, compiled)
        for item in compiled.values():
            item.close()
        return checked

    def put(self, number, *placements, cells=()):
        checked = self.build(number, *placements, cells=cells)
        judgements = dict.fromkeys(checked.built.changed, ADMITTED)
        self.generations.activate(stages.recorded(stages.admitted(checked, judgements), 0))
        return checked.built


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def test_what_is_built_is_read_back_and_served(store):
    built = store.put(1, store.placement(A, "casino.example"), store.placement(B, "bingo.example", version=4, out="killed"))
    assert built.entries == 1
    live = open_current(store.state_dir, verify=True)
    assert (live.number, set(live.lists)) == (1, {A})
    live.table.close()
    assert store.generations.current() == 1
    assert store.generations.placements(1) == built.placements
    table = store.generations.table(1)
    assert (table.generation, table.entries, table.bytes) == (1, 1, (built.directory / "table.blkt").stat().st_size)


def test_before_the_first(store):
    assert store.generations.current() == 0
    assert store.generations.placements(0) == {}
    assert store.generations.cells(0) == {}
    assert store.generations.table(0).generation == 0
    assert store.generations.next_number(0) == 1


@pytest.mark.parametrize("file", ["table.blkt", "manifest.json", "sources.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_damage_is_found_when_it_is_reopened(store, file, damage):
    built = store.put(1, store.placement(A, *(f"n{i}.example" for i in range(50))))
    path = built.directory / file
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 0x41
        path.write_bytes(data)
    elif damage == "cut":
        os.truncate(path, len(data) // 2)
    else:
        path.unlink()
    try:
        checked = store.generations.reopen(1, built.table_sha256)
    except Corrupt as error:
        assert "n1.example" not in str(error)
        return
    # A flipped octet of JSON can be another valid text; the table's digest is the record's business, what lies beside it is compared here.
    assert file != "table.blkt"
    assert checked.built.placements != built.placements or file == "manifest.json"


def test_another_generations_table_is_not_this_one(store):
    built = store.put(1, store.placement(A, "casino.example"))
    assert store.generations.reopen(1, built.table_sha256).built.number == 1
    assert store.generations.reopen(1, None).built.table_sha256 == built.table_sha256
    with pytest.raises(Corrupt, match="not the one"):
        store.generations.reopen(1, "00")
    (store.state_dir / "generations" / "1").rename(store.state_dir / "generations" / "2")
    with pytest.raises(Corrupt):
        store.generations.reopen(2, built.table_sha256)


def test_a_write_that_the_disk_lost_is_found_by_the_check(store):
    placement = store.placement(A, "casino.example")
    compiled = {A: open_list(store.state_dir / placement.source.compiled, store.key)}
    built = store.generations.build(1, {A: placement}, compiled, (), frozenset({A}))
    (built.directory / "table.blkt").write_bytes((built.directory / "table.blkt").read_bytes()[:-1] + b"\xff")
    with pytest.raises(Corrupt):
        store.generations.check(built, compiled)
    compiled[A].close()


def test_a_table_of_other_entries_is_found_by_the_check(store):
    placement, other = store.placement(A, "casino.example"), store.placement(B, "bingo.example")
    compiled = {A: open_list(store.state_dir / placement.source.compiled, store.key)}
    built = store.generations.build(1, {A: placement}, compiled, (), frozenset({A}))
    others = {A: open_list(store.state_dir / other.source.compiled, store.key)}
    with pytest.raises(Corrupt):
        store.generations.check(built, others)
    compiled[A].close()
    others[A].close()


def test_numbers_are_never_used_twice(store):
    store.put(3, store.placement(A, "casino.example"))
    assert store.generations.next_number(0) == 4
    assert store.generations.next_number(9) == 10
    store.build(5, store.placement(A, "casino.example"))
    assert store.generations.next_number(0) == 6


@pytest.mark.parametrize("target", ["generations/9", "/etc", None])
def test_a_link_that_leads_nowhere_is_damage(store, target):
    link = store.state_dir / "current"
    link.symlink_to(target) if target else link.mkdir()
    with pytest.raises(Corrupt):
        store.generations.current()


def test_old_generations_go_but_never_one_that_is_in_use(store):
    for number in range(1, 10):
        store.put(number, store.placement(A, f"n{number}.example", version=number), store.placement(B, "b.example"))
    held = store.placement(A, "held.example", version=99)
    store.generations.prune(9, {1, 2}, [held.source.compiled])
    assert store.generations.numbers() == [1, 2, *range(10 - KEEP_GENERATIONS, 10)]
    names = sorted(int(p.stem) for p in (store.state_dir / "lists" / A).iterdir())
    assert names == [1, 2, *range(10 - KEEP_GENERATIONS, 10), 99]
    store.generations.prune(9, (), [])
    assert store.generations.numbers() == list(range(10 - KEEP_GENERATIONS, 10))
    assert not (store.state_dir / "lists" / A / "99.blkl").exists()
    assert (store.state_dir / "lists" / B / "1.blkl").exists()


def test_a_generation_behind_the_last_ones_is_kept_when_it_is_current(store):
    first = store.put(1, store.placement(A, "a.example"))
    for number in range(2, 9):
        store.build(number, store.placement(A, "a.example"))
    assert store.generations.current() == 1
    store.generations.prune(1, (), [])
    assert first.directory.is_dir()


def cell(name, shadow=False):
    return (name, Category.GAMBLING, Action.NXDOMAIN, "dns", shadow)


def test_a_cell_keeps_its_meaning_over_generations(store):
    store.put(1, store.placement(A, "a.example"), cells=[cell(A), cell(B)])
    before = dict(store.generations.cells(1))
    store.put(2, store.placement(A, "a.example"), cells=[cell(ListName("f/0")), cell(A, shadow=True)])
    after = store.generations.cells(2)
    assert before.items() <= after.items()
    assert len(set(after.values())) == len(after) == 4


def test_cells_outlive_all_generations(store):
    store.put(1, store.placement(A, "a.example"), cells=[cell(A)])
    number = store.generations.cells(1)[cell(A)]
    store.generations.forget(1)
    (store.state_dir / "current").unlink()
    store.put(2, store.placement(A, "a.example"), cells=[cell(ListName("f/0")), cell(A)])
    assert store.generations.cells(2)[cell(A)] == number


@pytest.mark.parametrize("damage", [b"", b"{", b"[[1]]", b'[["f/a","nothing","nxdomain","dns",false,9]]'])
def test_damaged_cells_are_taken_from_the_generation_in_force(store, damage):
    store.put(1, store.placement(A, "a.example"), cells=[cell(B), cell(A)])
    path = store.state_dir / "counts" / CELLS_FILE
    path.write_bytes(damage)
    store.put(2, store.placement(A, "a.example"), cells=[cell(A)])
    assert store.generations.cells(2) == store.generations.cells(1)
    assert len(json.loads(path.read_bytes())) == 2


def test_a_build_that_fails_leaves_nothing(store, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("blockd.control.durable.write_new", full)
    with pytest.raises(OSError, match="No space"):
        store.build(1, store.placement(A, "a.example"))
    assert not list((store.state_dir / "generations").iterdir())


def test_drafts_are_forgotten(store):
    (store.state_dir / "generations" / "7.tmp").mkdir()
    store.generations.forget_drafts()
    assert store.generations.numbers() == []
    assert not list((store.state_dir / "generations").iterdir())
