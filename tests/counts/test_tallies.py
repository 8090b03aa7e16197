from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from blockd.counts import layout
from blockd.counts.slab import Slab
from blockd.counts.tallies import FIXED, Tallies, Totals, limit_cell, page_cell, policy_source, sources, sparse
from blockd.terms import Action, Category, ListName

KEY = (ListName("f/a"), Category.GAMBLING, Action.STOP_PAGE, "dns", False)
CELL = layout.POLICY
MEANING = sources({KEY: CELL})


def octets(**cells):
    slab = Slab.in_memory()
    for cell, n in cells.items():
        slab.add(int(cell[1:]), n)
    return slab.read().tobytes()


@given(st.dictionaries(st.integers(0, layout.CELLS - 1), st.integers(1, (1 << 64) - 1), max_size=20))
def test_sparse_finds_every_cell(cells):
    words = array("Q", bytes(8 * layout.CELLS))
    for cell, value in cells.items():
        words[cell] = value
    assert sparse(words.tobytes()) == cells


def test_the_living_are_summed_and_zeros_are_there():
    tallies = Tallies()
    tallies.observe("resolver.0", octets(c3=5))
    tallies.observe("resolver.1", octets(c3=2, **{f"c{CELL}": 7}))
    totals = tallies.totals(MEANING)
    assert totals[FIXED[3]] == 7
    assert totals[policy_source(KEY)] == 7
    assert totals[FIXED[4]] == 0
    assert totals.keys() == set(MEANING.values())


def test_a_restart_never_takes_a_counter_back():
    tallies = Tallies()
    tallies.observe("old", octets(c3=5))
    tallies.fold("old", MEANING)
    tallies.observe("new", octets())
    assert tallies.totals(MEANING)[FIXED[3]] == 5
    tallies.observe("new", octets(c3=1))
    assert tallies.totals(MEANING)[FIXED[3]] == 6
    tallies.fold("old", MEANING)  # twice folded is folded once
    assert tallies.totals(MEANING)[FIXED[3]] == 6


def test_a_damaged_slab_keeps_its_last_values():
    tallies = Tallies()
    tallies.observe("a", octets(c3=5, c4=1))
    tallies.observe("a", octets(c4=2))
    totals = tallies.totals(MEANING)
    assert (totals[FIXED[3]], totals[FIXED[4]]) == (5, 2)


def test_a_cell_without_a_meaning_is_kept_until_it_has_one():
    tallies = Tallies()
    tallies.observe("a", octets(**{f"c{CELL}": 4}))
    tallies.fold("a", sources({}))
    assert policy_source(KEY) not in tallies.totals(sources({}))
    assert tallies.totals(MEANING)[policy_source(KEY)] == 4
    assert tallies.totals(MEANING)[policy_source(KEY)] == 4


def test_upstream_figures_go_on_after_the_resolver_starts_again():
    tallies = Tallies()
    for value in (10, 12, 3, 4):  # 3: it has started again
        tallies.observe_reported({("upstream", "udp://192.0.2.53:53", "ok"): value})
    assert tallies.totals({})[("upstream", "udp://192.0.2.53:53", "ok")] == 16


def test_cells_of_the_stop_page_and_of_limits():
    assert FIXED[page_cell(451, "ar")] == ("page", "451", "ar")
    assert FIXED[page_cell(421, "none")] == ("page", "421", "none")
    assert FIXED[limit_cell("stop_page_connections")] == ("limit", "stop_page_connections")


def test_totals_by_kind():
    totals = Totals({("hit", "f/b"): 1, ("hit", "f/a"): 2, ("shadow", "f/a"): 3})
    assert totals.of("hit") == {("f/a",): 2, ("f/b",): 1}


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["add", "end"]), st.integers(1, 9)), max_size=30))
def test_sums_only_grow_whatever_workers_do(events):
    tallies, slabs, starts, total = Tallies(), {}, 0, 0
    last = 0
    for worker, what, n in events:
        if worker not in slabs:
            starts += 1
            slabs[worker] = (f"{worker}{starts}", Slab.in_memory())
        name, slab = slabs[worker]
        if what == "add":
            slab.add(3, n)
            total += n
            tallies.observe(name, slab.read().tobytes())
        else:
            tallies.observe(name, slab.read().tobytes())
            tallies.fold(name, MEANING)
            del slabs[worker]
        now = tallies.totals(MEANING)[FIXED[3]]
        assert now == total >= last
        last = now
