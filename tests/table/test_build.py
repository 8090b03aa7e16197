"""Tables against the dictionary oracle: several lists, all kinds, any order of rows and lists."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blockd.errors import Corrupt, Refused
from blockd.native._table import CompiledList, ListBuilder, Table, build_table, check_table
from blockd.table.build import BuiltTable, build, check, plan, rules_of
from blockd.table.rules import Rule, dump_rules, load_rules
from blockd.terms import Category, Kind, ListName
from tests.table.oracle import KEY, Oracle, Source, wire

# Few labels and few suffixes, so that names meet: entries above, below and at each other.
label = st.sampled_from([b"a", b"b", b"www", b"example", b"a" * 63, b"\0", b"a.b", b"\xff", b"0"])
name = st.lists(label, min_size=1, max_size=3).map(lambda ls: wire((*ls, b"test")))
deep = st.lists(st.just(b"x"), max_size=120).map(lambda ls: wire((*ls, b"a", b"test")))
names = name | deep
url = st.sampled_from([b"http://a.test/", b"https://a.test/x", b"http://192.0.2.1/", b"", b"\4test\0", b"x" * 3000])
name_kind = st.sampled_from([Kind.SUBTREE, Kind.EXACT, Kind.ALLOW_SUBTREE, Kind.ALLOW_EXACT])
entry = st.tuples(names, name_kind, st.none()) | st.tuples(url, st.just(Kind.URL), st.none() | names)
sources = st.lists(st.lists(entry, max_size=12).map(tuple), max_size=4).map(
    lambda lists: [Source(ListName(f"feed/list{i}"), entries) for i, entries in enumerate(lists)]
)


def make(folder, lists: list[Source], file: str = "table.blkt") -> tuple[BuiltTable, list[CompiledList]]:
    compiled = [source.compile(folder / f"{i}.blkl") for i, source in enumerate(lists)]
    return build(folder / file, KEY, compiled), compiled


def said(table: Table, rules: tuple[Rule, ...], number: int) -> frozenset[Rule]:
    return frozenset(rules[i] for i in table.set_rules(number))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sources, st.lists(names, max_size=10))
def test_a_table_says_what_the_dictionaries_say(tmp_path, lists, others):
    built, compiled = make(tmp_path, lists)
    table = check(built, KEY, compiled)
    rules = load_rules(table.rules)
    oracle = Oracle()
    for source in lists:
        source.tell(oracle)
    assert (built.entries, table.entries) == (oracle.entries, oracle.entries)
    asked = {key for source in lists for key, kind, _ in source.entries if kind is not Kind.URL}
    asked |= {host for source in lists for *_, host in source.entries if host}
    asked |= {b"\1z" + key for key in asked if len(key) < 253} | set(others) | {b"\0", b"\4test\0"}
    for key in asked:
        hits = [(said(table, rules, number), depth, whole) for number, depth, whole in table.lookup(key)]
        assert hits == oracle.lookup(key)
        assert table.url_host(key) == (key != b"\0" and any(r.kind is Kind.URL_HOST for rs, _, w in oracle.lookup(key) if w for r in rs))
    for key in (*oracle.urls, b"http://other.test/", b"\1a\4test\0"):
        number = table.lookup_url(key)
        assert (frozenset() if number is None else said(table, rules, number)) == oracle.url(key)
    table.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sources, st.randoms(use_true_random=False))
def test_bytes_follow_from_the_entries_alone(tmp_path, lists, random):
    make(tmp_path, lists, "one")
    shuffled = []
    for source in lists:
        entries = [*source.entries, *source.entries[:3]]
        random.shuffle(entries)
        shuffled.append(Source(source.name, tuple(entries)))
    random.shuffle(shuffled)
    make(tmp_path, shuffled, "other")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_another_key_gives_another_table(tmp_path):
    source = Source(ListName("f/l"), ((wire("a.test"), Kind.SUBTREE, None),))
    compiled = source.compile(tmp_path / "l", bytes(16))
    build(tmp_path / "one", bytes(16), [compiled])
    make(tmp_path, [source], "two")
    assert (tmp_path / "one").read_bytes() != (tmp_path / "two").read_bytes()


def many(folder, count: int, name: bytes = b"w%d.example.com", rules: tuple[Rule, ...] | None = None) -> CompiledList:
    builder = ListBuilder(KEY, b"")
    assert builder.add_text(b"".join(name % i + b"\n" for i in range(count)), "domains", 1, 0) == []
    path = folder / f"{count}-{abs(hash(name))}.blkl"
    builder.write(path, dump_rules(rules or (Rule(ListName(f"f/n{count}"), Kind.SUBTREE, Category.OTHER),)))
    return CompiledList(path, KEY)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 100, 4_000, 250_000])
def test_every_entry_of_a_big_list_is_found_and_no_other(tmp_path, count):
    compiled = many(tmp_path, count)
    table = check(build(tmp_path / "t", KEY, [compiled]), KEY, [compiled])
    assert table.entries == count
    for i in range(0, count, max(1, count // 1000)):
        assert table.lookup(wire(f"w{i}.example.com")) == [(0, 3, True)]
        assert table.lookup(wire(f"x.w{i}.example.com")) == [(0, 3, False)]
        assert table.lookup(wire(f"v{i}.example.com")) == []
    assert table.lookup(wire("example.com")) == []


def test_an_entry_costs_at_most_24_octets(tmp_path):
    """On the disk and resident: the mapping is the file. Two lists that overlap, so that there are several sets."""
    lists = [many(tmp_path, 200_000), many(tmp_path, 100_000), many(tmp_path, 50_000, b"y%d.test")]
    built = build(tmp_path / "t", KEY, lists)
    table = check(built, KEY, lists)
    assert (table.entries, table.sets) == (250_000, 3)
    assert table.bytes / table.entries < 21
    assert table.bytes == built.path.stat().st_size


def test_a_name_on_many_lists_has_one_entry(tmp_path):
    lists = [Source(ListName(f"f/{i:03}"), ((wire("a.test"), Kind.SUBTREE if i % 2 else Kind.EXACT, None),)) for i in range(150)]
    built, compiled = make(tmp_path, lists)
    table = check(built, KEY, compiled)
    ((number, depth, whole),) = table.lookup(wire("a.test"))
    assert (depth, whole, table.entries) == (2, True, 1)
    assert {r.list for r in said(table, built.plan.rules, number)} == {source.name for source in lists}


def test_every_combination_of_lists_is_its_own_set(tmp_path):
    lists = [
        Source(ListName(f"f/{i}"), tuple((wire(f"n{n}.test"), Kind.SUBTREE, None) for n in range(1, 1024) if n >> i & 1)) for i in range(10)
    ]
    built, compiled = make(tmp_path, lists)
    table = check(built, KEY, compiled)
    assert table.sets == 1023
    for n in range(1, 1024):
        ((number, _, _),) = table.lookup(wire(f"n{n}.test"))
        assert {r.list for r in said(table, built.plan.rules, number)} == {f"f/{i}" for i in range(10) if n >> i & 1}


def test_more_combinations_than_workers_can_decide_about_are_refused(tmp_path, monkeypatch):
    lists = [
        Source(ListName(f"f/{i}"), tuple((wire(f"n{n}.test"), Kind.SUBTREE, None) for n in range(1, 16) if n >> i & 1)) for i in range(4)
    ]
    built, compiled = make(tmp_path, lists)
    monkeypatch.setattr("blockd.table.build.SETS_MAX", 14)
    with pytest.raises(Refused, match="15 combinations"):
        check(built, KEY, compiled)


def test_more_than_sixteen_entries_on_one_name_keep_the_most_specific(tmp_path):
    entries = tuple((wire((*[b"x"] * n, b"test")), Kind.SUBTREE, None) for n in range(1, 40))
    built, compiled = make(tmp_path, [Source(ListName("f/l"), entries)])
    hits = check(built, KEY, compiled).lookup(wire((*[b"x"] * 39, b"test")))
    assert [depth for _, depth, _ in hits] == list(range(25, 41))


def test_rules_left_out_leave_their_entries_out(tmp_path):
    source = Source(
        ListName("f/l"),
        ((wire("a.test"), Kind.SUBTREE, None), (wire("b.test"), Kind.EXACT, None), (wire("a.test"), Kind.ALLOW_EXACT, None)),
    )
    compiled = source.compile(tmp_path / "l")
    built = build(tmp_path / "t", KEY, [compiled], frozenset({source.rule(Kind.SUBTREE), source.rule(Kind.ALLOW_EXACT)}))
    table = check(built, KEY, [compiled])
    assert (table.entries, table.lookup(wire("a.test")), len(table.lookup(wire("b.test")))) == (1, [], 1)
    assert source.rule(Kind.SUBTREE) not in built.plan.rules


def test_the_plan_is_the_sorted_union():
    a, b, c = (Rule(ListName(f"f/{x}"), Kind.EXACT, Category.OTHER) for x in "abc")
    planned = plan([[c, a], [], [b, c]], frozenset({b}))
    assert planned.rules == (a, c)
    assert planned.numbers == ((1, 0), (), (-1, 1))


def test_rules_that_another_release_wrote_are_corrupt(tmp_path):
    builder = ListBuilder(KEY, b"")
    builder.write(tmp_path / "l", b'[{"list":"f/l","kind":77}]')
    with pytest.raises(Corrupt, match="compile it again"):
        rules_of(CompiledList(tmp_path / "l", KEY))


def test_the_check_sees_a_table_that_says_less_more_or_other(tmp_path):
    """A builder that went wrong, as far as the lists can tell: each file is whole and well-formed."""
    small, large, other = many(tmp_path, 900), many(tmp_path, 1000), many(tmp_path, 1000, b"z%d.example.com")
    for built_from, said_to_be in ((small, large), (large, small), (large, other)):
        planned = plan([rules_of(built_from)])
        build_table(tmp_path / "t", KEY, [(built_from, [0])], dump_rules(planned.rules), planned.kinds)
        with pytest.raises(ValueError, match=r"table has entries|not in the table"):
            check_table(Table(tmp_path / "t", KEY), [(said_to_be, [0])], planned.kinds)
        with pytest.raises(Corrupt):
            check(BuiltTable(tmp_path / "t", built_from.entries, planned), KEY, [said_to_be])
    build_table(tmp_path / "t", KEY, [(small, [0])], b"[]", [Kind.EXACT])
    with pytest.raises(ValueError, match="rules are not those"):
        check_table(Table(tmp_path / "t", KEY), [(small, [0])], [Kind.SUBTREE])


def test_what_build_table_refuses(tmp_path):
    compiled = many(tmp_path, 3)
    for lists, kinds in (
        ([(compiled, [])], [1]),
        ([(compiled, [1])], [1]),
        ([(compiled, [-2])], [1]),
        ([(compiled, [0])], [0]),
        ([(compiled, [0])], [7]),
    ):
        with pytest.raises(ValueError, match="rule"):
            build_table(tmp_path / "t", KEY, lists, b"[]", kinds)
    for lists in ([compiled], [(compiled,)], [(compiled, [0], 1)], [("x", [0])]):
        with pytest.raises(TypeError):
            build_table(tmp_path / "t", KEY, lists, b"[]", [1])
    with pytest.raises(FileNotFoundError):
        build_table(tmp_path / "none" / "t", KEY, [(compiled, [0])], b"[]", [1])
    compiled.close()
    with pytest.raises(ValueError, match="closed"):
        build_table(tmp_path / "t", KEY, [(compiled, [0])], b"[]", [1])
    assert not (tmp_path / "t").exists()
