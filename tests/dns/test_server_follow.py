"""Native threads and the health of upstreams: who is asked by whom, and what the loop learns of it."""

from __future__ import annotations

import dns.flags
import pytest

from blockd.config.schema import Endpoint
from blockd.config.schema import Upstream as Configured
from tests.dns.running import Running, addresses, configured, generation, listed, until
from tests.dns.upstream import ADDRESS, Upstream


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    return generation(tmp_path_factory.mktemp("follow"), 1, listed("f/own", ["casino.example"]))


def followed(r):
    """What the threads have been told, by thread."""
    return r.call(lambda: [worker._followed for worker in r.resolver._workers._workers])


def native(r):
    return r.call(r.resolver._workers.figures)["forwarded"]


def driven(r):
    return r.call(lambda: r.resolver._driver.counts["forwarded"])


def requests(r, upstream=0):
    return r.health().upstreams[upstream]["requests"]


@pytest.mark.parametrize("threads", ["1", "3"])
def test_plain_misses_are_the_threads_and_are_counted_once(live, threads):
    with Upstream() as up, Running(configured(up.port, threads=threads), live) as r:
        for number in range(12):
            assert addresses(r.ask(f"n{number}.example")) == [ADDRESS]
        assert (native(r), driven(r)) == (12, 0)
        until(lambda: requests(r)["ok"] == 12)
        assert addresses(r.ask("over.tcp.example", tcp=True)) == [ADDRESS]
        assert (native(r), driven(r)) == (12, 1)


def test_an_upstream_that_is_not_plain_udp_is_the_drivers(live):
    with Upstream() as up, Running(configured(up.port, scheme="tcp"), live) as r:
        assert addresses(r.ask("a.example")) == [ADDRESS]
        assert followed(r) == [[]] or followed(r) == [()]
        assert (native(r), driven(r)) == (0, 1)


def test_a_reload_to_another_upstream_holds_at_once(live):
    with Upstream() as one, Upstream() as two, Running(configured(one.port), live) as r:
        r.ask("a.example")
        r.reload(upstreams=(Configured("udp", Endpoint("127.0.0.1", two.port)),))
        for number in range(5):
            r.ask(f"b{number}.example")
        assert len([q for q in two.queries if q.name.startswith("b")]) == 5
        assert not [q for q in one.queries if q.name.startswith("b")]
        until(lambda: requests(r)["ok"] == 5)


def test_the_silence_that_threads_meet_makes_an_upstream_a_suspect_and_an_answer_ends_it(live):
    silent = []

    def script(query):
        if not silent:
            yield query.address()

    with Upstream(script) as one, Upstream() as two, Running(configured(one.port, two.port), live) as r:
        assert addresses(r.ask("a.example")) == [ADDRESS]
        assert [len(order) for order in followed(r)] == [2]
        silent.append(True)
        for number in range(6):
            assert addresses(r.ask(f"b{number}.example")) == [ADDRESS], "the second answers"
        until(lambda: requests(r)["timeout"] >= 1)
        for number in range(20):
            r.ask(f"c{number}.example")
            if not any(q.name == f"c{number}.example." for q in one.queries):
                break
        else:
            raise AssertionError("the silent one is still asked first")
        silent.clear()
        until(lambda: all(len(order) == 2 for order in followed(r)))


def test_what_a_thread_cannot_end_is_the_drivers(live):
    """Truncated: over TCP; refused: another upstream. The client has one answer."""

    def script(query):
        if query.name.startswith("big") and not query.tcp:
            yield query.reply(flags=dns.flags.TC)
        elif query.name.startswith("no"):
            yield query.reply(rcode="REFUSED")
        else:
            yield query.address()

    with Upstream(script) as one, Upstream() as two, Running(configured(one.port, two.port), live) as r:
        assert addresses(r.ask("big.example")) == [ADDRESS]
        assert [q.tcp for q in one.queries if q.name == "big.example."] == [False, True]
        assert addresses(r.ask("no.example")) == [ADDRESS]
        assert r.stats()["escalated"] == 2
