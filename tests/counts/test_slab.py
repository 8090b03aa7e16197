from __future__ import annotations

import pytest

from blockd.counts.layout import CELLS
from blockd.counts.slab import SLAB_BYTES, Slab, file_name, role_of


def test_add_and_read():
    slab = Slab.in_memory()
    slab.add(7)
    slab.add(7, 4)
    slab.add(CELLS - 1, 2)
    read = slab.read()
    assert (read[7], read[CELLS - 1], sum(read)) == (5, 2, 7)


def test_read_is_a_copy():
    slab = Slab.in_memory()
    before = slab.read()
    slab.add(0)
    assert before[0] == 0


@pytest.mark.parametrize(("cell", "n", "error"), [(-1, 1, IndexError), (CELLS, 1, IndexError), (0, -1, ValueError)])
def test_a_counter_only_grows_and_has_a_cell(cell, n, error):
    with pytest.raises(error):
        Slab.in_memory().add(cell, n)


def test_a_cell_wraps_as_the_native_core_does():
    slab = Slab.in_memory()
    slab.add(0, (1 << 64) - 1)
    slab.add(0, 2)
    assert slab.read()[0] == 1


def test_native_code_gets_writable_words():
    slab = Slab.in_memory()
    view = memoryview(slab.buffer)
    assert (view.readonly, view.nbytes, view.itemsize) == (False, SLAB_BYTES, 8)
    view[3] = 9
    assert slab.read()[3] == 9


@pytest.mark.parametrize("memory", [bytearray(8), bytes(SLAB_BYTES), bytearray(SLAB_BYTES + 8)])
def test_memory_of_another_size_or_kind_is_refused(memory):
    with pytest.raises(ValueError, match="writable octets"):
        Slab(memory)


def test_close_gives_the_memory_back_once():
    calls = []
    slab = Slab(bytearray(SLAB_BYTES), lambda: calls.append(1))
    slab.close()
    slab.close()
    assert calls == [1]


def test_names_of_files():
    name = file_name("resolver", "0", "0123456789abcdef")
    assert role_of(name) == "resolver"
    for bad in ("resolver.slab", "a/b.0.0123456789abcdef.slab", ".resolver.0.0123456789abcdef.slab", name + ".new", "counts.json"):
        assert role_of(bad) is None
    for parts in (("../x", "0", "0" * 16), ("web", "", "0" * 16), ("web", "0", "xyz")):
        with pytest.raises(ValueError, match="named"):
            file_name(*parts)
