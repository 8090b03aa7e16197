"""The release rules. The attacks here are differences: between scrapes, and between series of one scrape."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockd.counts.tallies import FIXED
from blockd.counts.windows import MERGED, ListKind, Rules, State, step, stricter, totals
from blockd.terms import Category, Instant, ListName

K = 10
RULES = Rules(3600.0, K)
SECRET = ListKind(ListName("hotline/secret"), 5000, secret=True, category=Category.CSAM)
SMALL = ListKind(ListName("hotline/small"), 49, secret=True, category=Category.OTHER)
TINY = ListKind(ListName("hotline/tiny"), 3, secret=False, category=Category.CSAM)
OPEN = ListKind(ListName("ops/gambling"), 3, secret=False, category=Category.GAMBLING)

REQUEST = ("requests", "udp", "ipv4", "A")
POLICY = ("responses", "NXDOMAIN", "policy")
CACHE = ("responses", "NOERROR", "cache")
FAST = ("duration", "policy", "0")
NS = ("duration_ns", "policy")
PAGE = ("page", "403", "en")
UPSTREAM = ("upstream", "udp://192.0.2.53:53", "ok")
LIMIT = ("limit", "tcp_connections")


def hit(kind, what="hit"):
    return (what, kind.name, kind.category.value, "nxdomain", "dns")


class Gateway:
    """A gateway whose counters are moved by hand."""

    def __init__(self, *lists, rules=RULES):
        self.lists, self.rules, self.now, self.state = lists, rules, Instant(1_000_000.0), State()
        self.sums = dict.fromkeys(FIXED, 0) | {UPSTREAM: 0}
        for kind in (SECRET, SMALL, TINY, OPEN):
            self.sums |= {hit(kind): 0, hit(kind, "shadow"): 0}

    def block(self, kind, n=1):
        """What one blocked query moves."""
        for key in (REQUEST, POLICY, FAST, hit(kind)):
            self.sums[key] += n
        self.sums[NS] += n * 31_415

    def allow(self, n=1):
        for key in (REQUEST, CACHE, ("duration", "cache", "0")):
            self.sums[key] += n

    def scrape(self, after_s=1.0):
        self.now = Instant(self.now + after_s)
        self.state = step(self.state, self.sums, self.lists, self.rules, self.now)
        return totals(self.state, self.rules)


def moved(before, after):
    return {key: n - before.values.get(key, 0) for key, n in after.values.items() if n != before.values.get(key, 0)}


def test_without_a_sensitive_list_figures_are_live_exact_and_unmerged():
    gw = Gateway(OPEN)
    before = gw.scrape()
    gw.block(OPEN)
    after = gw.scrape()
    assert moved(before, after) == {REQUEST: 1, POLICY: 1, FAST: 1, hit(OPEN): 1, NS: 31_415}
    assert not after.windowed


@pytest.mark.parametrize("kind", [SECRET, SMALL, TINY])
def test_nothing_moves_before_the_window_ends(kind):
    gw = Gateway(kind, OPEN)
    first = gw.scrape()
    for _ in range(59):
        gw.block(kind, 7)
        gw.block(OPEN, 100)
        gw.allow(1000)
        gw.sums[PAGE] += 3
        gw.sums[UPSTREAM] += 3
        gw.sums[hit(kind, "shadow")] += 40
        assert moved(first, gw.scrape(60.0)) == {}
    assert gw.scrape(1.0).windowed


def test_at_the_end_of_a_window_series_move_by_multiples_and_the_rest_is_carried():
    gw = Gateway(SECRET)
    first = gw.scrape()
    gw.block(SECRET, 37)
    second = gw.scrape(3600)
    assert moved(first, second)[hit(SECRET)] == 30
    gw.block(SECRET, 2)
    third = gw.scrape(3600)
    assert moved(second, third) == {}
    gw.block(SECRET, 1)
    fourth = gw.scrape(3600)
    assert moved(third, fourth)[hit(SECRET)] == 10


def test_a_single_hit_and_no_hit_look_the_same():
    quiet, hit_once = Gateway(SECRET, OPEN), Gateway(SECRET, OPEN)
    for window in range(5):
        for gw in (quiet, hit_once):
            gw.allow(13)
            gw.block(OPEN, 4)
        if window == 2:
            hit_once.sums[hit(SECRET)] += 1
        assert quiet.scrape(3600).values == hit_once.scrape(3600).values


def test_difference_attack_requests_minus_other_answers():
    # One hit among known traffic: what a scraper could subtract must not leave 1.
    gw = Gateway(SECRET)
    first = gw.scrape()
    gw.allow(9)
    gw.block(SECRET, 1)
    change = moved(first, gw.scrape(3600))
    assert change == {REQUEST: 10}  # ten queries; whether one was blocked is below every series' threshold


def test_difference_attack_policy_answers_minus_hits_of_open_lists():
    gw = Gateway(SECRET, OPEN)
    first = gw.scrape()
    gw.block(OPEN, 19)
    gw.block(SECRET, 1)
    change = moved(first, gw.scrape(3600))
    assert change[POLICY] - change[hit(OPEN)] in {0, K}
    assert hit(SECRET) not in change


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["secret", "small", "open", "allow", "page", "upstream"]),
            st.integers(0, 25),
            st.sampled_from([1.0, 700.0, 1900.0, 3600.0]),
        ),
        max_size=30,
    ),
    st.integers(2, 12),
    st.dictionaries(st.integers(0, 20), st.integers(-3, 3), max_size=6),
)
def test_no_difference_of_consecutive_scrapes_is_below_the_threshold_but_zero(events, k, factors):
    gw = Gateway(SECRET, SMALL, OPEN, rules=Rules(3600.0, k))
    scrapes, times = [gw.scrape()], [gw.now]
    for what, n, after_s in events:
        kind = {"secret": SECRET, "small": SMALL, "open": OPEN}.get(what)
        if kind:
            gw.block(kind, n)
        elif what == "allow":
            gw.allow(n)
        else:
            gw.sums[PAGE if what == "page" else UPSTREAM] += n
        scrapes.append(gw.scrape(after_s))
        times.append(gw.now)
    ends = []
    for (before, after), at in zip(pairwise(scrapes), times[1:], strict=True):
        change = {key: n for key, n in moved(before, after).items() if key[0] != "duration_ns"}
        assert all(n > 0 for n in change.values()), "a counter went back"
        assert all(n % k == 0 for n in change.values())
        combined = sum(factors.get(i, 1) * n for i, n in enumerate(change.values()))
        assert combined % k == 0  # any whole combination, as an attacker might subtract
        if change:
            ends.append(at)
    assert all(later - earlier >= 3600 for earlier, later in pairwise(ends))
    for series, n in scrapes[-1].values.items():
        if series[0] != "duration_ns" and MERGED not in series:
            assert n <= gw.sums[series], "more was released than happened"


@given(st.lists(st.integers(0, 30), min_size=1, max_size=20))
def test_nothing_is_lost_what_is_withheld_is_below_the_threshold(windows):
    gw = Gateway(SECRET)
    gw.scrape()
    for n in windows:
        gw.block(SECRET, n)
        shown = gw.scrape(3600)
    for key in (hit(SECRET), POLICY, REQUEST, FAST):
        assert 0 <= gw.sums[key] - shown.values[key] < K


def test_small_sensitive_lists_are_released_as_one():
    gw = Gateway(SMALL, TINY, SECRET)
    first = gw.scrape()
    gw.block(SMALL, 6)
    gw.block(TINY, 5)
    gw.block(SECRET, 12)
    shown = gw.scrape(3600)
    merged = ("hit", MERGED, MERGED, MERGED, "dns")
    assert {key: n for key, n in moved(first, shown).items() if key[0] == "hit"} == {merged: 10, hit(SECRET): 10}
    assert hit(SMALL) not in shown.values
    assert hit(TINY) not in shown.values
    assert shown.values[("shadow", MERGED, MERGED, MERGED, "dns")] == 0


def test_a_list_that_grows_out_of_being_small_starts_its_own_series():
    gw = Gateway(SMALL)
    gw.scrape()
    gw.block(SMALL, 15)
    shown = gw.scrape(3600)
    grown = ListKind(SMALL.name, 50, secret=True, category=SMALL.category)
    gw.lists = (grown,)
    gw.block(SMALL, 6)  # 5 were left
    after = gw.scrape(3600)
    assert after.values[("hit", MERGED, MERGED, MERGED, "dns")] == shown.values[("hit", MERGED, MERGED, MERGED, "dns")] == 10
    assert after.values[hit(SMALL)] == 10


def test_one_entry_of_category_csam_makes_a_list_sensitive():
    mixed = ListKind(ListName("ops/mixed"), 1000, secret=False, category=Category.OTHER)
    gw = Gateway(mixed)
    entry = ("hit", "ops/mixed", "csam", "nxdomain", "dns")
    gw.sums[entry] = 0
    gw.scrape()
    gw.sums[entry] += 1
    shown = gw.scrape()
    assert shown.windowed
    assert shown.values[entry] == 0


def test_a_sensitive_list_that_arrives_stops_everything_at_once():
    gw = Gateway(OPEN)
    gw.block(OPEN, 3)
    before = gw.scrape()
    gw.block(OPEN, 1)
    gw.block(SECRET, 1)  # between two scrapes, already live
    gw.lists = (OPEN, SECRET)
    assert moved(before, gw.scrape()) == {}


def test_when_the_sensitive_list_leaves_what_was_withheld_stays_withheld():
    gw = Gateway(OPEN, SECRET)
    first = gw.scrape()
    gw.block(SECRET, 3)
    gw.block(OPEN, 14)
    gw.lists = (OPEN,)
    assert moved(first, gw.scrape(60)) == {}, "the window goes on to its end"
    end = gw.scrape(3600)
    assert moved(first, end)[hit(OPEN)] == 10
    assert not end.windowed
    gw.block(OPEN, 1)
    live = gw.scrape()
    assert moved(end, live) == {REQUEST: 1, POLICY: 1, FAST: 1, NS: 31_415, hit(OPEN): 1}, "live again, by what is new alone"
    gw.lists = (OPEN, SECRET)
    gw.scrape()
    gw.block(OPEN, 6)
    again = gw.scrape(3600)
    assert again.values[hit(OPEN)] == live.values[hit(OPEN)] + 10, "the four that waited count now"


def test_hits_of_a_sensitive_list_that_left_do_not_come_out_live():
    gw = Gateway(OPEN, SECRET)
    gw.scrape()
    gw.lists = (OPEN,)
    gw.scrape(3600)
    before = gw.scrape()
    gw.block(SECRET, 1)  # a worker that was late to swap
    assert hit(SECRET) not in moved(before, gw.scrape())


def test_the_sum_of_durations_tells_nothing_that_the_buckets_do_not():
    fast, slow = Gateway(SECRET), Gateway(SECRET)
    for gw, ns in ((fast, 1), (slow, 99_999)):
        gw.scrape()
        gw.block(SECRET, 10)
        gw.sums[NS] = ns
    assert fast.scrape(3600).values[NS] == slow.scrape(3600).values[NS] == 10 * 50_000


def test_limits_stay_live_but_for_those_that_hits_move():
    gw = Gateway(SECRET)
    before = gw.scrape()
    for name in (
        "tcp_connections",
        "hits",
        "stop_page_connections",
        "pending",
        "rate",
        "ring",
        "xdp_rate",
        "udp_receive",
        "forward_waiters",
    ):
        gw.sums[("limit", name)] += 1
    live = ("pending", "rate", "udp_receive", "forward_waiters")
    assert moved(before, gw.scrape()) == {LIMIT: 1, **{("limit", name): 1 for name in live}}


def test_a_clock_set_back_does_not_shorten_a_window_and_one_set_forward_releases_once():
    gw = Gateway(SECRET)
    first = gw.scrape()
    gw.block(SECRET, 20)
    assert moved(first, gw.scrape(-100_000)) == {}
    assert moved(first, gw.scrape(3599)) == {}
    assert moved(first, gw.scrape(2))[hit(SECRET)] == 20


def test_rules_are_never_weaker_than_the_contract():
    assert Rules(1.0, 0) == Rules(3600.0, 2)
    assert Rules(7200.0, 25).window_s == 7200.0


def test_sums_that_went_back_release_nothing_twice():
    gw = Gateway(OPEN)
    gw.block(OPEN, 5)
    shown = gw.scrape()
    gw.sums[hit(OPEN)] = 2
    assert gw.scrape().values[hit(OPEN)] == shown.values[hit(OPEN)]
    gw.sums[hit(OPEN)] = 6
    assert gw.scrape().values[hit(OPEN)] == 6


def test_of_two_versions_of_a_list_the_stricter_holds():
    open_ = ListKind(TINY.name, 900, secret=False, category=Category.ADULT)
    assert stricter(open_, TINY) == stricter(TINY, open_) == TINY
    assert stricter(open_, ListKind(TINY.name, 1000, secret=True, category=Category.ADULT)) == ListKind(
        TINY.name, 900, secret=True, category=Category.ADULT
    )
