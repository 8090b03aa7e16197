from __future__ import annotations

import struct

import dns.message
import dns.name
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.queries import CACHED_NAMES, CLASSES, cached_name, message, name, names, write_list, write_queries


def test_no_name_comes_twice():
    assert len(set(names(200_000))) == 200_000


@given(st.sets(st.integers(0, 2**32 - 1), min_size=2, max_size=2))
def test_two_numbers_never_give_one_label(numbers):
    # The seven digits are a bijection of the number; what follows them and stands in front is a function of it.
    assert len({name(number) for number in numbers}) == 2


@given(st.integers(0, 2**32 - 1))
def test_a_name_is_a_host_name_below_example(number):
    made = dns.name.from_text(name(number))
    assert made.is_subdomain(dns.name.from_text("example."))
    assert made.to_text() == made.to_text().lower()
    assert len(made.labels) in {3, 4}


def test_a_longer_list_begins_with_a_shorter(tmp_path):
    short, long = write_list(tmp_path / "a", 50), write_list(tmp_path / "b", 80)
    assert long.read_text().splitlines()[:50] == short.read_text().splitlines()
    assert [*names(30, start=50)] == long.read_text().splitlines()[50:]


def test_a_query_reads_back():
    query = dns.message.from_wire(message("www.Any.example", 28))
    assert query.id == 0
    assert query.question[0].to_text() == "www.Any.example. IN AAAA"


def test_the_file_has_all_three_classes(tmp_path):
    data = write_queries(tmp_path / "q", 500).read_bytes()
    listed = set(names(500))
    count, at, seen = struct.unpack_from("<I", data, 4)[0], 8, dict.fromkeys(CLASSES, 0)
    for _ in range(count):
        kind, octets = struct.unpack_from("<BH", data, at)
        wire = data[at + 3 : at + 3 + octets]
        at += 3 + octets
        seen[CLASSES[kind]] += 1
        if seen[CLASSES[kind]] > 200:
            continue
        asked = dns.message.from_wire(wire).question[0].name.to_text(omit_final_dot=True)
        above = {asked, asked.removeprefix("www."), asked.removeprefix("a.b.")}
        assert bool(above & listed) == (CLASSES[kind] == "blocked")
    assert at == len(data)
    assert seen["cached"] == CACHED_NAMES
    assert all(seen.values())


@pytest.mark.parametrize("number", [0, CACHED_NAMES - 1])
def test_a_cached_name_is_never_listed(number):
    assert cached_name(number).endswith(".allowed.example")
