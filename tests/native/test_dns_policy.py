"""From hits to verdicts: one, several, learned combinations, hosts of URL entries, swaps."""

from __future__ import annotations

from array import array

import dns.rcode
import pytest

from blockd.native._dns import Core
from blockd.native._table import Table
from blockd.terms import Kind, Source
from tests.native.dns_tools import CELL, KEY, NONE, NXDOMAIN, REFUSED, Rig, ask_for, check_soa, ede, read, wire

NOTHING = (NONE, -1, -1, ())
SHADOW = (NONE, -1, -1, (CELL + 5,))
BLOCK = (NXDOMAIN, 15, CELL, (CELL + 5,))


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_shadow_is_counted_and_resolved(rig, tmp_path):
    rig.swap(tmp_path, {"seen.example": [(Kind.SUBTREE, 0)]}, [SHADOW], lambda *_: 0)
    assert rig.ask(ask_for("a.seen.example")).why == "miss"
    assert rig.count(CELL + 5) == 1
    rig.resolve(ask_for("a.seen.example"), "a.seen.example 60 A 192.0.2.1")
    assert rig.send(ask_for("a.seen.example")).answer
    assert rig.count(CELL + 5) == 3


def test_exact_entries_say_nothing_about_names_below(rig, tmp_path):
    rig.swap(tmp_path, {"one.example": [(Kind.EXACT, 0)]}, [BLOCK], lambda *_: 0)
    assert rig.send(ask_for("one.example")).rcode() == dns.rcode.NXDOMAIN
    assert rig.ask(ask_for("a.one.example")).hits == ()


def test_the_index_knows_whether_it_is_the_whole_name(rig, tmp_path):
    entries = {"mixed.example": [(Kind.SUBTREE, 0), (Kind.EXACT, 1)]}
    rig.swap(tmp_path, entries, [BLOCK, (REFUSED, 16, CELL + 1, ())], lambda _rules, full: 1 if full else 0)
    assert rig.send(ask_for("mixed.example")).rcode() == dns.rcode.REFUSED
    assert rig.send(ask_for("a.mixed.example")).rcode() == dns.rcode.NXDOMAIN


LAYERS = {"deep.example": [(Kind.SUBTREE, 0)], "in.deep.example": [(Kind.ALLOW_SUBTREE, 1)], "x.in.deep.example": [(Kind.EXACT, 2)]}


def layered(rig, folder, verdicts=(BLOCK, NOTHING, BLOCK)):
    rig.swap(folder, LAYERS, verdicts, lambda rules, _full: rules[0])
    return {rules: number for number in range(rig.table.sets) for rules in rig.table.set_rules(number)}


def test_several_hits_are_pythons_to_decide(rig, tmp_path):
    sets = layered(rig, tmp_path)
    ask = rig.ask(ask_for("x.in.deep.example"))
    assert (ask.why, ask.hits) == ("hits", ((sets[0], False), (sets[1], False), (sets[2], True)))
    assert rig.ask(ask_for("y.in.deep.example")).hits == ((sets[0], False), (sets[1], False))
    assert rig.send(ask_for("other.deep.example")).rcode() == dns.rcode.NXDOMAIN


def test_hits_that_all_mean_nothing_pass(rig, tmp_path):
    layered(rig, tmp_path, (NOTHING, NOTHING, NOTHING))
    assert rig.ask(ask_for("x.in.deep.example")).why == "miss"
    layered(rig, tmp_path, (NOTHING, NOTHING, SHADOW))
    assert rig.ask(ask_for("x.in.deep.example")).why == "hits"


def test_a_learned_combination_needs_python_no_more(rig, tmp_path):
    layered(rig, tmp_path)
    ask = rig.ask(ask_for("y.in.deep.example"))
    rig.core.add_verdict(SHADOW, ask.hits)
    assert rig.ask(ask_for("z.in.deep.example")).why == "miss"
    assert rig.count(CELL + 5) == 1
    ask = rig.ask(ask_for("x.in.deep.example"))
    assert ask.why == "hits"
    number = rig.core.add_verdict((REFUSED, 17, CELL + 2, ()), ask.hits)
    assert number == 4
    assert rig.send(ask_for("x.in.deep.example")).rcode() == dns.rcode.REFUSED
    assert rig.core.stats()["combinations"] == 2
    layered(rig, tmp_path)
    assert rig.ask(ask_for("y.in.deep.example")).why == "hits"
    assert rig.core.stats()["combinations"] == 0


def test_combinations_have_a_limit(rig, tmp_path):
    layered(rig, tmp_path)
    for number in range(6000):
        assert rig.core.add_verdict(NOTHING, [(number, False), (number, True)]) == 3 + number
    assert 3500 < rig.core.stats()["combinations"] <= 4096
    assert rig.ask(ask_for("y.in.deep.example")).why == "hits"


def test_known_answers_what_may_pass_from_the_cache(rig, tmp_path):
    layered(rig, tmp_path)
    query = ask_for("y.in.deep.example")
    ask = rig.ask(query)
    assert rig.core.known(ask, rig.now_ms) is None
    rig.resolve(query, "y.in.deep.example 60 A 192.0.2.1")
    assert rig.core.known(rig.ask(query), rig.now_ms + 10_000)
    rig.core.flush()
    rig.core.remember_failure(ask, rig.now_ms)
    found = rig.core.known(ask, rig.now_ms)
    assert found is not None
    assert found[3] & 15 == dns.rcode.SERVFAIL


def test_hosts_of_url_entries_lose_their_https_records_alone(rig, tmp_path):
    """So that no HTTP/3 and no ECH goes round a URL entry (RFC 9460): NODATA, with an SOA."""
    rig.swap(tmp_path, {"host.example": [(Kind.URL_HOST, 1)]}, [NOTHING], lambda *_: 0)
    for qtype in ("HTTPS", "SVCB"):
        query = ask_for("host.example", qtype, use_edns=0)
        answer = rig.send(query)
        assert (answer.rcode(), ede(answer)) == (dns.rcode.NOERROR, None)
        check_soa(answer, query)
        assert rig.ask(ask_for("a.host.example", qtype)).why == "miss"
    for qtype in ("A", "AAAA", "TXT", "ANY"):
        assert rig.ask(ask_for("host.example", qtype)).hits == ()
    assert rig.responses("NOERROR", Source.POLICY) == 2


def test_a_url_host_that_is_blocked_is_blocked(rig, tmp_path):
    rig.swap(tmp_path, {"host.example": [(Kind.URL_HOST, 1), (Kind.SUBTREE, 2)]}, [BLOCK], lambda *_: 0)
    assert rig.send(ask_for("host.example", "HTTPS")).rcode() == dns.rcode.NXDOMAIN


def test_a_combination_that_python_lets_pass_can_name_a_url_host(rig, tmp_path):
    """The first question of a combination goes through Python: the mark holds for it too."""
    entries = {"www.host.example": [(Kind.URL_HOST, 1), (Kind.SUBTREE, 2)], "host.example": [(Kind.SUBTREE, 3)]}
    rig.swap(tmp_path, entries, [SHADOW], lambda *_: 0xFFFFFFFF)
    query = ask_for("www.host.example", "HTTPS", use_edns=0)
    ask = rig.ask(query)
    assert ask.why == "hits"
    for answer in (rig.core.known(ask, rig.now_ms), rig.core.stale(ask, rig.now_ms)):
        check_soa(read(answer, query), query)
    assert rig.core.known(rig.ask(ask_for("www.host.example")), rig.now_ms) is None


def test_marks_of_lists_in_shadow_are_not_in_force(rig, tmp_path):
    rig.swap(
        tmp_path,
        {"host.example": [(Kind.URL_HOST, 1)], "other.example": [(Kind.URL_HOST, 3)]},
        [NOTHING],
        lambda *_: 0,
        lambda rules: 3 in rules,
    )
    assert rig.ask(ask_for("host.example", "HTTPS")).why == "miss"
    check_soa(rig.send(ask_for("other.example", "HTTPS")), ask_for("other.example"))


def test_more_hits_than_fit_are_counted_and_the_deepest_stay(rig, tmp_path):
    names = [".".join("abcdefghijklmnopqrstuvwxyz"[-n:]) for n in range(2, 22)]
    rig.swap(tmp_path, {name: [(Kind.SUBTREE, number)] for number, name in enumerate(names)}, [BLOCK], lambda *_: 0)
    ask = rig.ask(ask_for(names[-1]))
    assert len(ask.hits) == 16
    assert ask.hits[-1][1]
    assert rig.limit("hits") == 1


def test_the_root_is_never_looked_up(rig, tmp_path):
    rig.block(tmp_path, "bad.example")
    assert rig.ask(ask_for(".", "NS")).hits == ()


def test_without_a_table_everything_is_a_miss(rig):
    rig.core.swap(None, b"", [], b"")
    assert rig.ask(ask_for("bad.example")).why == "miss"


def test_a_refused_swap_leaves_all_as_it_was(rig, tmp_path):
    rig.block(tmp_path, "bad.example")
    table = rig.table
    good = array("I", [0, 0])
    for wrong in (
        (table, KEY[:-1], [BLOCK], good), (table, bytes(16), [BLOCK], good), (b"short", KEY, [BLOCK], good), (bytes(5000), KEY, [BLOCK], good),
        (table, KEY, [], good), (table, KEY, [BLOCK], array("I", [0])), (table, KEY, [BLOCK], array("I", [0, 1])),
        (table, KEY, [(6, -1, -1, ())], good), (table, KEY, [(-1, -1, -1, ())], good), (table, KEY, [(2, -2, -1, ())], good),
        (table, KEY, [(2, 15, CELL - 1, ())], good), (table, KEY, [(2, 15, 1 << 16, ())], good), (table, KEY, [(2, 15, -2, ())], good),
        (table, KEY, [(2, 15, -1, (0,))], good), (table, KEY, [BLOCK], good, b""),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"."):
            rig.core.swap(*wrong)
    for wrong in (
        (table, KEY, None, good), (table, KEY, [None], good), (table, KEY, [(2, 15, -1)], good), (table, KEY, [(2, 15, -1, None)], good),
        (table, KEY, "x", good), (table, "key", [BLOCK], good), (3, KEY, [BLOCK], good), (table, KEY, [BLOCK], 7), (table, KEY, [BLOCK], good, 7),
        (table, KEY, [(2, 15, -1, ("x",))], good),
    ):  # fmt: skip
        with pytest.raises(TypeError):
            rig.core.swap(*wrong)
    assert rig.send(ask_for("x.bad.example")).rcode() == dns.rcode.NXDOMAIN


def test_the_old_table_can_be_closed_after_a_swap(rig, tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    rig.block(tmp_path / "1", "bad.example")
    old = rig.table
    with pytest.raises(BufferError):
        old.close()
    rig.block(tmp_path / "2", "worse.example")
    old.close()
    assert rig.ask(ask_for("bad.example")).why == "miss"
    assert rig.send(ask_for("worse.example")).rcode() == dns.rcode.NXDOMAIN
    rig.core.swap(None, b"", [], b"")
    rig.table.close()


def test_a_table_in_any_buffer_is_copied_from_nowhere(rig, tmp_path):
    """The core reads the buffer itself: a damaged table in memory is refused by its header."""
    rig.block(tmp_path, "bad.example")
    data = bytearray((tmp_path / "table").read_bytes())
    data[24] ^= 1
    with pytest.raises(ValueError, match=r"."):
        rig.core.swap(data, KEY, [BLOCK], array("I", [0, 0]))
    data[24] ^= 1
    rig.core.swap(data, KEY, [BLOCK], array("I", [0, 0]))
    assert rig.send(ask_for("bad.example")).rcode() == dns.rcode.NXDOMAIN
    with pytest.raises(BufferError):
        data.append(0)


def test_the_slab_and_layout_must_fit(rig):
    layout = tuple(rig.core.__class__.__module__)  # a sequence of the wrong things
    with pytest.raises(TypeError):
        Core(cache_bytes=0, slab=rig.slab.buffer, layout=layout[:9])
    with pytest.raises(ValueError, match="layout"):
        Core(cache_bytes=0, slab=rig.slab.buffer, layout=(0,) * 9)
    with pytest.raises(ValueError, match="layout"):
        Core(cache_bytes=0, slab=rig.slab.buffer, layout=())
    with pytest.raises(BufferError):
        Core(cache_bytes=0, slab=bytes(524288), layout=(0,) * 9)


def test_verdicts_have_a_limit(rig, tmp_path):
    rig.block(tmp_path, "bad.example")
    for _ in range((1 << 16) - 1):
        rig.core.add_verdict(NOTHING)
    with pytest.raises(ValueError, match="too many"):
        rig.core.add_verdict(NOTHING)


def test_lookup_agrees_with_the_table(rig, tmp_path):
    """The core and Table.lookup read the same file by the same header."""
    layered(rig, tmp_path)
    assert isinstance(rig.table, Table)
    for name in ("x.in.deep.example", "in.deep.example", "deep.example", "example", "a.b.c.deep.example"):
        found = rig.core.handle(ask_for(name).to_wire(), 0, 4, 0)
        hits = tuple((number, full) for number, _, full in rig.table.lookup(wire(name)))
        if len(hits) > 1:
            assert found.hits == hits
