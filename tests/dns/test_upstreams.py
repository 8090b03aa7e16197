"""Health as values: order, suspicion, probes."""

from __future__ import annotations

from blockd.config.schema import Endpoint, Upstream
from blockd.dns.upstreams import (
    HEDGED,
    PROBE_FIRST_MS,
    PROBE_LAST_MS,
    RESULTS,
    SENDS_MAX,
    SUSPECT_AFTER,
    WORKERS_MAX,
    Choice,
    Upstreams,
    Way,
)

A = Upstream("udp", Endpoint("192.0.2.1", 53))
B = Upstream("tcp", Endpoint("2001:db8::1", 5353))


def two():
    return Upstreams((A, B))


def silence(health, upstream, times=SUSPECT_AFTER, now=0):
    for _ in range(times):
        health.silent(upstream, now)


def take_down(health, upstream):
    silence(health, upstream)
    assert health.take_probes(0)
    health.probed(upstream, None, 1000)
    assert health.take_probes(1000 + PROBE_FIRST_MS)
    health.probed(upstream, None, 2000)


def test_the_order_of_the_configuration_is_the_order_of_preference():
    assert two().order() == (Choice(0, Way.UDP), Choice(1, Way.TCP))
    assert Upstreams(()).order() == ()
    assert not Upstreams(()).any_up


def test_a_few_silent_queries_make_a_suspect_that_is_asked_last():
    health = two()
    silence(health, 0, SUSPECT_AFTER - 1)
    assert health.order()[0].upstream == 0
    health.silent(0, 5)
    assert [c.upstream for c in health.order()] == [1, 0]
    assert health.up(0)


def test_an_answer_in_between_starts_the_count_again():
    health = two()
    silence(health, 0, SUSPECT_AFTER - 1)
    health.answered(0, 10)
    silence(health, 0, SUSPECT_AFTER - 1)
    assert health.order()[0].upstream == 0


def test_names_with_dead_servers_alone_never_take_an_upstream_down():
    health = two()
    silence(health, 0, 1000)
    assert health.up(0)
    assert health.take_probes(0) == [(0, Way.UDP)]
    health.probed(0, 5, 10)
    assert health.order()[0].upstream == 0


def test_probes_without_an_answer_take_it_down_and_one_with_brings_it_back():
    health = two()
    take_down(health, 0)
    assert not health.up(0)
    assert health.order() == (Choice(1, Way.TCP),)
    assert health.any_up
    health.probed(0, 3, 9000)
    assert health.order()[0] == Choice(0, Way.UDP, SENDS_MAX)


def test_when_all_are_down_each_is_asked_once():
    health = two()
    take_down(health, 0)
    take_down(health, 1)
    assert health.order() == (Choice(0, Way.UDP, 1, good=False), Choice(1, Way.TCP, 1, good=False))
    assert not health.any_up


def test_a_probe_is_not_sent_twice_and_probes_become_rarer():
    health = two()
    silence(health, 0)
    assert health.take_probes(0) == [(0, Way.UDP)]
    assert health.take_probes(10_000) == []  # it is under way
    now, waits = 1000, []
    for _ in range(8):
        health.probed(0, None, now)
        sent = next(t for t in range(now, now + 20_000) if health.take_probes(t))
        waits.append(sent - now)
        now = sent
    assert waits == [500, 500, 1000, 2000, 4000, 5000, 5000, 5000]
    assert waits[-1] == PROBE_LAST_MS


def test_a_good_upstream_is_not_probed():
    assert two().take_probes(10**9) == []


def test_a_probe_that_fails_after_an_answer_came_changes_nothing():
    health = two()
    silence(health, 0)
    health.take_probes(0)
    health.answered(0, 1)
    health.probed(0, None, 5)
    assert health.order()[0].upstream == 0


def test_a_probe_that_could_not_be_sent_says_nothing():
    health = two()
    silence(health, 0)
    for now in range(0, 100_000, 1000):
        if health.take_probes(now):
            health.not_probed(0, now)
    assert health.up(0)
    assert health.take_probes(200_000) == [(0, Way.UDP)]


def test_changes_are_told_once():
    health = two()
    assert health.take_changes() == []
    take_down(health, 0)
    assert health.take_changes() == [(A, False)]
    assert health.take_changes() == []
    health.answered(0, 1)
    assert health.take_changes() == [(A, True)]


def test_rows_for_status_and_metrics():
    health = two()
    health.count(1, "timeout")
    take_down(health, 0)
    rows = health.rows()
    assert [(r["address"], r["up"]) for r in rows] == [("udp://192.0.2.1:53", False), ("tcp://[2001:db8::1]:5353", True)]
    assert rows[1]["requests"] == {**dict.fromkeys((*RESULTS, HEDGED), 0), "timeout": 1}


# Native threads

C = Upstream("udp", Endpoint("192.0.2.3", 53))
T = Upstream("tls", Endpoint("192.0.2.4", 853), "resolver.example")


def row(number, ok=0, timeout=0, refused=0, mismatch=0, malformed=0):
    return number, ok, timeout, refused, mismatch, malformed, 10.0


def requests(health, upstream):
    return {result: n for result, n in health.rows()[upstream]["requests"].items() if n}


def test_native_threads_get_the_good_plain_ones_that_come_first():
    assert Upstreams((A, C), 7).plain(0) == ((7, A.endpoint), (8, C.endpoint))
    assert Upstreams((A, T, C)).plain(0) == ((0, A.endpoint),)
    assert Upstreams((T, A)).plain(0) == ()
    assert Upstreams((B, A)).plain(0) == ()
    assert Upstreams(()).plain(0) == ()


def test_a_suspect_is_not_for_native_threads():
    health = Upstreams((A, C))
    silence(health, 0)
    assert health.plain(0) == ((1, C.endpoint),)
    silence(health, 1)
    assert health.plain(0) == ()
    health.probed(1, 4.0, 10)
    assert health.plain(10) == ((1, C.endpoint),)


def test_native_sums_are_read_as_differences_of_each_thread():
    health = Upstreams((A, C), 5)
    health.take_native(0, [row(5, ok=10, refused=1), row(6)], 0)
    health.take_native(1, [row(5, ok=7, mismatch=2)], 0)
    health.take_native(0, [row(5, ok=12, refused=1, malformed=1), row(6, timeout=1)], 250)
    assert requests(health, 0) == {"ok": 19, "refused": 1, "mismatch": 2, "malformed": 1}
    assert requests(health, 1) == {"timeout": 1}


def test_native_sums_that_went_back_began_again():
    health = Upstreams((A,))
    health.take_native(0, [row(0, ok=10)], 0)
    health.take_native(0, [row(0, ok=3)], 0)
    health.take_native(0, [], 0)
    health.take_native(0, [row(0, ok=2)], 0)
    assert requests(health, 0) == {"ok": 15}


def test_rows_of_another_configuration_are_nobodys():
    health = Upstreams((A,), 5)
    health.take_native(0, [row(4, ok=1), row(6, ok=1)], 0)
    assert requests(health, 0) == {}
    assert (health.place(4), health.place(5), health.place(6), health.place(-1)) == (None, 0, None, None)


def test_silence_in_native_threads_makes_a_suspect_and_an_answer_ends_it():
    health = Upstreams((A, C))
    health.take_native(0, [row(0, ok=1, timeout=50)], 0)
    assert health.plain(0)[0][0] == 0  # something came
    health.take_native(0, [row(0, ok=1, timeout=50 + SUSPECT_AFTER)], 250)
    assert health.plain(250) == ((1, C.endpoint),)
    assert health.take_probes(250) == [(0, Way.UDP)]
    health.take_native(0, [row(0, ok=2, timeout=50 + SUSPECT_AFTER)], 500)
    assert health.plain(500)[0][0] == 0


def test_what_native_threads_hedged_went_to_the_second():
    health = Upstreams((A, C))
    health.take_native(0, [], 0, hedged=4)  # under another configuration
    health.take_native(0, [], 0, hedged=6)
    health.take_native(1, [], 0)
    health.take_native(1, [], 0, hedged=1)
    assert requests(health, 1) == {HEDGED: 3}


def test_threads_that_are_long_gone_are_forgotten():
    health = Upstreams((A,))
    for worker in range(WORKERS_MAX + 50):
        health.take_native(worker, [row(0, ok=1)], 0)
    assert len(health._native) == WORKERS_MAX
    assert requests(health, 0) == {"ok": WORKERS_MAX + 50}


# Late, and in trouble


def test_the_order_says_when_each_is_late():
    health = two()
    for _ in range(30):
        health.answered(0, 33)
    assert [c.late_ms for c in health.order()] == [33, None]


def test_a_trouble_is_told_once_until_it_is_another_and_an_answer_ends_it():
    health = Upstreams((T,))
    for _ in range(3):
        health.trouble(0, "its certificate has expired")
    assert health.take_troubles() == [(T, "its certificate has expired")]
    assert health.take_troubles() == []
    assert health.rows()[0]["why"] == "its certificate has expired"
    health.answered(0, 5)
    assert health.take_troubles() == []
    assert health.rows()[0]["why"] == ""
    health.trouble(0, "its certificate has expired")
    assert len(health.take_troubles()) == 1
