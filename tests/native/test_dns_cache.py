"""The answer cache and the memory of failures: ageing, bounds, what a swap changes (RFC 2308, RFC 9520, standards.md c.3 rules 16-18)."""

from __future__ import annotations

import random

import dns.flags
import dns.message
import dns.rcode
import pytest

from blockd.native._dns import Ask
from blockd.terms import Kind, Source, Transport
from tests.native.dns_tools import CELL, NONE, NXDOMAIN, Rig, ask_for, ede, raw_answer, raw_query, read, upstream_answer

TXT = 16


@pytest.fixture
def rig() -> Rig:
    return Rig()


def ttls(answer: dns.message.Message) -> list[int]:
    return [some.ttl for section in (answer.answer, answer.authority, answer.additional) for some in section]


RECORDS = ("www.example.com 300 CNAME a.example.com", "a.example.com 100 A 192.0.2.1")


def test_ttls_age_and_the_least_one_ends_it(rig):
    query = ask_for("www.example.com")
    rig.resolve(query, *RECORDS, additional=["b.example.com 200 A 192.0.2.2"])
    for elapsed_ms, seen in ((0, 0), (999, 0), (1000, 1), (50_500, 50), (99_999, 99)):
        rig.now_ms = 1_000_000 + elapsed_ms
        assert ttls(rig.send(query)) == [300 - seen, 100 - seen, 200 - seen]
    rig.now_ms += 1
    assert rig.ask(query).why == "miss"
    assert rig.core.stats()["cache_entries"] == 1  # for want of a newer one, for a day
    rig.now_ms += 86_400_000
    assert rig.ask(query).why == "miss"
    assert rig.core.stats()["cache_entries"] == 0


def test_a_clock_that_goes_back_ages_nothing(rig):
    query = ask_for("www.example.com")
    rig.resolve(query, *RECORDS)
    rig.now_ms -= 500_000
    assert ttls(rig.send(query)) == [300, 100]


def test_negative_answers_are_cached_for_their_ttl(rig):
    query = ask_for("nx.example.com", use_edns=0)
    rig.resolve(query, authority=["example.com 900 SOA ns.example.com root.example.com 1 2 3 4 60"], rcode=3)
    rig.now_ms += 20_000
    answer = rig.send(query)
    assert answer.rcode() == dns.rcode.NXDOMAIN
    assert ttls(answer) == [40]
    rig.now_ms += 40_000
    assert rig.ask(query)


def test_each_client_sees_its_own_letters_and_id(rig):
    rig.resolve(ask_for("www.example.com"), *RECORDS)
    for name in ("WWW.example.com", "wWw.ExAmPlE.cOm"):
        answer = rig.send(ask_for(name))
        assert str(answer.answer[0].name) == name + "."
        assert str(answer.answer[1].name) == "a." + name[4:] + "."


@pytest.mark.parametrize(
    "other",
    [
        ask_for("www.example.com", "AAAA"), ask_for("ww.example.com"), ask_for("www.example.com", want_dnssec=True), ask_for("www.example.com", rdclass="HS"),
        ask_for("www.example.com", flags=dns.flags.CD | dns.flags.RD), ask_for("www.www.example.com"),
    ],
)  # fmt: skip
def test_the_key_is_name_type_class_do_and_cd(rig, other):
    query = ask_for("www.example.com")
    rig.resolve(query, *RECORDS)
    ask = rig.ask(other)
    rig.core.flush()
    assert ask.key != rig.ask(query).key
    assert len(ask.key) == 16


def test_edns_rd_and_transport_are_not_in_the_key(rig):
    rig.resolve(ask_for("www.example.com"), *RECORDS)
    for query in (ask_for("WWW.example.com", use_edns=0), ask_for("www.example.com", flags=0)):
        for transport in Transport:
            assert rig.send(query, transport).answer


def test_equal_questions_have_equal_keys_in_one_process_and_no_other(rig):
    query = ask_for("www.example.com")
    key = rig.ask(query).key
    assert rig.ask(ask_for("WWW.EXAMPLE.com", use_edns=0)).key == key
    assert Rig().ask(query).key != key


@pytest.mark.parametrize("records", [("www.example.com 0 A 192.0.2.1",), ("www.example.com 60 CNAME x.example",), ()])
def test_what_is_not_cacheable_is_not_cached(rig, records):
    query = ask_for("www.example.com")
    rig.resolve(query, *records)
    assert rig.ask(query)


def test_coalesced_clients_share_one_entry(rig):
    queries = [ask_for("www.example.com"), ask_for("WWW.example.com", use_edns=0)]
    asks = [rig.ask(query) for query in queries]
    reply = rig.reply(asks[0], upstream_answer(asks[0], *RECORDS))
    for ask, query in zip(asks, queries, strict=True):
        assert ttls(read(rig.core.finish(ask, reply, rig.now_ms), query)) == [300, 100]
    assert rig.core.stats()["cache_entries"] == 1


def test_a_new_answer_takes_the_place_of_the_old(rig):
    query = ask_for("www.example.com")
    asks = [rig.ask(query), rig.ask(query)]
    for ask, address in zip(asks, ("192.0.2.1", "192.0.2.2"), strict=True):
        rig.core.finish(ask, rig.reply(ask, upstream_answer(ask, f"www.example.com 60 A {address}")), rig.now_ms)
    assert rig.send(query).answer[0][0].address == "192.0.2.2"
    assert rig.core.stats()["cache_entries"] == 1
    assert rig.core.stats()["cache_evictions"] == 0


@pytest.mark.parametrize("size", [0, 1, 65535])
def test_no_cache_is_a_choice(size):
    rig = Rig(cache_bytes=size)
    query = ask_for("www.example.com")
    rig.resolve(query, *RECORDS)
    assert rig.ask(query)
    assert rig.core.stats()["cache_bytes_max"] == 0


def fill(rig: Rig, number: int, ttl: int = 1000) -> bytes:
    """One answer of about 130 octets into the cache; its query."""
    query = raw_query(f"n{number}.example.com", TXT)
    ask = rig.raw(query)
    assert isinstance(ask, Ask)
    rig.core.finish(ask, rig.reply(ask, raw_answer(query, ttl, b"\x64" + b"x" * 100)), rig.now_ms)
    return query


def test_the_cache_is_bounded_and_the_oldest_go_first():
    rig = Rig(cache_bytes=1 << 16)
    queries = [fill(rig, number) for number in range(2000)]
    stats = rig.core.stats()
    assert stats["cache_bytes"] <= stats["cache_bytes_max"] <= 1 << 16
    assert stats["cache_entries"] < 2000
    assert stats["cache_evictions"] == 2000 - stats["cache_entries"] == rig.limit("cache")
    held = [isinstance(rig.raw(query), bytes) for query in queries]
    assert sum(held) == stats["cache_entries"]
    assert sum(held) > 200
    assert not any(held[: 2000 - 2 * sum(held)])


def test_what_is_used_stays():
    """The second chance: one name that is asked all the time is never asked upstream again."""
    rig = Rig(cache_bytes=1 << 16)
    used = fill(rig, 0)
    for number in range(1, 5000):
        fill(rig, number)
        if number % 50 == 0:
            assert isinstance(rig.raw(used), bytes), number


def test_what_expired_is_no_eviction():
    rig = Rig(cache_bytes=1 << 16)
    for number in range(3000):
        fill(rig, number, ttl=1)
        rig.now_ms += 100
    assert rig.core.stats()["cache_evictions"] == 0


def test_an_answer_too_large_for_the_cache_is_not_kept():
    rig = Rig(cache_bytes=1 << 16)
    query = ask_for("big.example.com", "TXT")
    records = [f"big.example.com 60 TXT {'x' * 250}{i:02}" for i in range(70)]
    assert len(rig.resolve(query, *records, transport=Transport.TCP).answer[0]) == 70
    assert isinstance(rig.raw(query.to_wire()), Ask)


@pytest.mark.parametrize("seed", range(4))
def test_a_cached_answer_is_always_the_right_one(seed):
    """Sizes, uses, times and drops at random in a small ring, against a dict."""
    rng = random.Random(seed)
    rig = Rig(cache_bytes=rng.choice((1 << 16, 100_000, 150_001)))
    stored: dict[int, tuple[bytes, int]] = {}
    hits = 0
    for step in range(6000):
        number = rng.randrange(300)
        query = raw_query(f"n{number}.example.com", TXT, step)
        found = rig.raw(query, Transport.TCP)
        if isinstance(found, bytes):
            hits += 1
            rdata, until_ms = stored[number]
            assert found.endswith(rdata)
            assert found[:2] == query[:2]
            assert rig.now_ms < until_ms
        else:
            ttl = rng.choice((1, 5, 50))
            rdata = b"\x06%06d" % step + b"\xff" * rng.choice((0, 256, 1024)) + b"\0" * rng.randrange(16)
            stored[number] = (rdata, rig.now_ms + ttl * 1000)
            rig.core.finish(found, rig.reply(found, raw_answer(query, ttl, rdata)), rig.now_ms)
        rig.now_ms += rng.choice((0, 1, 10, 100))
        if rng.random() < 0.0005:
            rig.core.flush()
            assert rig.core.stats()["cache_entries"] == 0
        stats = rig.core.stats()
        assert stats["cache_bytes"] <= stats["cache_bytes_max"]
    assert hits > 200


def test_flush_forgets_all(rig):
    query = ask_for("www.example.com")
    rig.resolve(query, *RECORDS)
    ask = rig.ask(ask_for("other.example"))
    rig.core.remember_failure(ask, rig.now_ms)
    rig.core.flush()
    assert rig.ask(query)
    assert rig.ask(ask_for("other.example"))
    assert rig.core.stats()["failures"] == 0


# What a swap changes.


def folders(tmp_path):
    for number in range(100):
        folder = tmp_path / str(number)
        folder.mkdir()
        yield folder


def test_a_name_that_is_blocked_later_is_not_served_from_the_cache(rig, tmp_path):
    query = ask_for("www.example.com")
    rig.resolve(query, *RECORDS)
    rig.block(tmp_path, "example.com")
    assert rig.send(query).rcode() == dns.rcode.NXDOMAIN


def test_an_answer_whose_target_is_blocked_later_is_dropped(rig, tmp_path):
    """The packet cache that goes on serving a newly listed CNAME target: seen in the field."""
    query = ask_for("www.example.com")
    rig.resolve(query, "www.example.com 300 CNAME cdn.bad.example", "cdn.bad.example 300 A 192.0.2.1")
    assert rig.send(query).answer
    rig.block(tmp_path, "bad.example")
    assert rig.ask(query).why == "miss"
    assert rig.core.stats()["cache_entries"] == 0
    ask = rig.ask(query)
    assert rig.reply(ask, upstream_answer(ask, "www.example.com 300 CNAME cdn.bad.example")).hits


def test_an_answer_without_listed_targets_outlives_swaps(rig, tmp_path):
    query = ask_for("www.example.com")
    rig.resolve(query, *RECORDS)
    for folder, name in zip(folders(tmp_path), ("bad.example", "worse.example", "xa.example.com"), strict=False):
        rig.block(folder, name)
        assert rig.send(query).answer
    assert rig.core.stats()["cache_entries"] == 1


def test_an_answer_that_came_before_a_swap_is_judged_after_it(rig, tmp_path):
    query = ask_for("www.example.com")
    ask = rig.ask(query)
    reply = rig.reply(ask, upstream_answer(ask, "www.example.com 300 CNAME cdn.bad.example", "cdn.bad.example 300 A 192.0.2.1"))
    rig.block(tmp_path, "bad.example")
    rig.core.finish(ask, reply, rig.now_ms)
    assert rig.ask(query).why == "miss"


def test_shadow_hits_of_targets_are_counted_for_cached_answers_once_each(rig, tmp_path):
    rig.swap(tmp_path, {"seen.example": [(Kind.SUBTREE, 0)]}, [(NONE, -1, -1, (CELL,))], lambda *_: 0)
    query = ask_for("www.example.com")
    ask = rig.ask(query)
    reply = rig.reply(
        ask,
        upstream_answer(
            ask, "www.example.com 300 CNAME a.seen.example", "a.seen.example 300 CNAME b.seen.example", "b.seen.example 300 A 192.0.2.1"
        ),
    )
    assert len(reply.hits) == 2
    rig.core.finish(ask, reply, rig.now_ms)
    assert rig.count(CELL) == 0  # Python counts what it judged
    for n in (1, 2, 3):
        assert rig.send(query).answer
        assert rig.count(CELL) == n


def test_targets_with_several_hits_are_asked_again_until_the_core_has_learned(rig, tmp_path):
    entries = {"deep.example": [(Kind.SUBTREE, 0)], "ok.deep.example": [(Kind.ALLOW_SUBTREE, 1)]}
    rig.swap(tmp_path, entries, [(NXDOMAIN, 15, CELL, ()), (NONE, -1, -1, ())], lambda rules, _full: rules[0])
    query = ask_for("www.example.com")
    records = ("www.example.com 300 CNAME ok.deep.example", "ok.deep.example 300 A 192.0.2.1")
    rig.resolve(query, *records)
    ask = rig.ask(query)
    reply = rig.reply(ask, upstream_answer(ask, *records))
    (hits,) = reply.hits
    rig.core.add_verdict((NONE, -1, -1, ()), hits)
    rig.core.finish(ask, reply, rig.now_ms)
    assert rig.send(query).answer


# Failures.


def failing(rig: Rig, query: dns.message.Message) -> int:
    """Fail once, and say for how many milliseconds it is not asked again."""
    ask = rig.ask(query)
    rig.core.remember_failure(ask, rig.now_ms)
    start = rig.now_ms
    while isinstance(found := rig.raw(query.to_wire()), bytes):
        answer = dns.message.from_wire(found)
        assert (answer.rcode(), ede(answer)) == (dns.rcode.SERVFAIL, 13)
        rig.now_ms += 500
    return rig.now_ms - start


def test_failures_hold_five_seconds_then_twice_as_long_up_to_five_minutes(rig):
    """RFC 9520 §3.2: at least 1 s, at most 5 min."""
    query = ask_for("www.example.com", use_edns=0)
    assert [failing(rig, query) // 1000 for _ in range(9)] == [5, 10, 20, 40, 80, 160, 300, 300, 300]


def test_a_failure_told_of_twice_counts_once(rig):
    query = ask_for("www.example.com", use_edns=0)
    ask = rig.ask(query)
    for _ in range(10):
        rig.core.remember_failure(ask, rig.now_ms)
    assert failing_ends(rig, query) == 5000


def failing_ends(rig: Rig, query: dns.message.Message) -> int:
    start = rig.now_ms
    while isinstance(rig.raw(query.to_wire()), bytes):
        rig.now_ms += 100
    return rig.now_ms - start


def test_a_good_answer_and_a_long_pause_forget_failures(rig):
    query = ask_for("www.example.com", use_edns=0)
    assert [failing(rig, query) for _ in range(2)] == [5000, 10_000]
    rig.resolve(query, "www.example.com 0 A 192.0.2.1")
    rig.now_ms += 1000
    assert [failing(rig, query) for _ in range(2)] == [5000, 10_000]
    rig.now_ms += 300_000
    assert failing(rig, query) == 5000


def test_a_failure_is_of_its_question_alone(rig):
    rig.core.remember_failure(rig.ask(ask_for("www.example.com")), rig.now_ms)
    assert rig.ask(ask_for("www.example.com", "AAAA"))
    assert rig.ask(ask_for("example.com"))
    assert rig.responses("SERVFAIL", Source.ERROR) == 0


def test_a_cached_answer_is_better_than_a_failure(rig):
    query = ask_for("www.example.com")
    ask = rig.ask(query)
    rig.resolve(query, *RECORDS)
    rig.core.remember_failure(ask, rig.now_ms)
    assert rig.send(query).answer


def test_what_is_kept_for_nobody_is_cached_and_not_counted(rig):
    query = ask_for("www.example.com")
    ask = rig.ask(query)
    rig.core.remember_failure(ask, rig.now_ms)
    rig.core.keep(ask, rig.reply(ask, upstream_answer(ask, *RECORDS)), rig.now_ms)
    assert rig.responses("NOERROR", Source.UPSTREAM) == 0
    assert rig.send(query).answer
    assert rig.responses("NOERROR", Source.CACHE) == 1


def test_failures_have_a_limit(rig):
    """A flood of names that fail takes no more memory, and is counted."""
    for number in range(40_000):
        ask = rig.raw(raw_query(f"n{number}"))
        rig.core.remember_failure(ask, rig.now_ms)
    held = rig.core.stats()["failures"]
    assert 12_000 < held <= 16_384
    assert rig.limit("failure_cache") == 40_000 - held
