"""A goal is reached when the figures say so, and by both of them."""

from __future__ import annotations

import pytest

from bench.judge import LARGE, MILLION, SMALL, judge, markdown
from bench.measure import Row
from bench.report import Measured


def row(peer, entries, *, cpu=100.0, rate=100.0, octets=None, problem="", rounds=3, threads=(1.0,)):
    made = Row(peer, "1", entries, problem=problem, octets_an_entry=octets)
    for mix in ("blocked", "cached", "mixed"):
        # a machine that slows down from round to round: only ratios within a round mean something
        made.runs[mix] = [{"round": n, "rate": rate / (n + 1), "per_cpu": cpu / (n + 1), "threads_s": list(threads)} for n in range(rounds)]
    return made


def updated(peer, entries, **changed):
    return {
        "peer": peer,
        "entries": entries,
        "live_s": 1.0,
        "gap_max_ms": 5.0,
        "quiet_gap_max_ms": 5.0,
        "lost": 0,
        "sent": 9,
        "wrong": 0,
        **changed,
    }


def all_reached():
    """A run in which everything was reached."""
    return Measured(
        rows={
            **{
                f"size-{n}": [
                    row("blockd", n, cpu=200.0, rate=200.0),
                    row("raw UDP ceiling", n, cpu=210.0, rate=210.0),
                    row("raw UDP ceiling, long", n, cpu=205.0, rate=205.0),
                    row("dnsdist CDB", n),
                    row("unbound RPZ", n, cpu=60.0, rate=60.0),
                ]
                for n in (SMALL, MILLION)
            },
            "sizes": [
                row("blockd", 1),
                row("blockd", SMALL),
                row("blockd", LARGE, octets=20.6),
                row("dnsdist CDB", 1),
                row("dnsdist CDB", LARGE),
            ],
            "threads": [row("blockd", MILLION), row("blockd, 2 threads", MILLION, cpu=95.0, rate=180.0, threads=(0.6, 0.4))],
        },
        updates=[u for n in (MILLION, LARGE) for u in (updated("blockd", n, live_s=0.5), updated("dnsdist CDB", n))],
        goals=[{"what": "XDP", "wanted": ">= 0.9x", "figure": "0.95x", "reached": "yes"}],
        ready=[
            {"peer": "blockd", "entries": LARGE, "in_force_s": 0.01, "process_s": 0.3, "daemon_s": 0.6},
            {"peer": "unbound local-zone", "entries": MILLION, "daemon_s": 3.0},
        ],
    )


def reached(measured, what):
    found = [goal for goal in judge(measured) if goal.what.startswith(what)]
    assert len(found) == 1, [goal.what for goal in found]
    return found[0]


def test_all_reached():
    goals = judge(all_reached())
    assert {goal.reached for goal in goals} == {"yes"}, [goal for goal in goals if goal.reached != "yes"]
    assert reached(all_reached(), "two workers").figure == "1.80x (1.90x by processor time)"
    assert len(goals) == 20
    assert markdown(goals).count("\n") == 2 + len(goals)


def test_nothing_measured_is_nothing_reached():
    assert {goal.reached for goal in judge(Measured())} == {"not measured"}


@pytest.mark.parametrize(
    ("what", "part", "peer", "entries", "figures"),
    [
        ("blocked, 100,000 entries : best peer", f"size-{SMALL}", "dnsdist CDB", SMALL, (130.0, 130.0)),
        ("blocked, 1,000,000 entries : best peer", f"size-{MILLION}", "unbound RPZ", MILLION, (130.0, 130.0)),
        ("cached, 1,000,000 entries : best peer", f"size-{MILLION}", "dnsdist CDB", MILLION, (140.0, 140.0)),
        ("mixed, 1,000,000 entries : best peer", f"size-{MILLION}", "dnsdist CDB", MILLION, (120.0, 120.0)),
        ("blocked, 100,000 entries : raw UDP ceiling, long", f"size-{SMALL}", "raw UDP ceiling, long", SMALL, (230.0, 230.0)),
        ("cached, 10,000,000 entries : one entry", "sizes", "blockd", LARGE, (96.0, 96.0)),
        ("blocked, 10,000,000 : 100,000 entries", "sizes", "blockd", LARGE, (89.0, 89.0)),
        ("two workers", "threads", "blockd, 2 threads", MILLION, (84.0, 169.0)),
    ],
)
def test_a_missed_ratio_is_no(what, part, peer, entries, figures):
    measured = all_reached()
    at = next(i for i, r in enumerate(measured.rows[part]) if (r.peer, r.entries) == (peer, entries))
    cpu, rate = figures
    measured.rows[part][at] = row(peer, entries, cpu=cpu, rate=rate, octets=20.0, threads=(0.5, 0.5) if part == "threads" else (1.0,))
    assert reached(measured, what).reached == "no"


def test_one_of_two_figures_is_said_and_is_not_yes():
    measured = all_reached()
    measured.rows[f"size-{MILLION}"][3] = row("dnsdist CDB", MILLION, cpu=100.0, rate=190.0)
    goal = reached(measured, "blocked, 1,000,000 entries : best peer")
    assert goal.reached == "by processor time only"
    assert goal.figure == "1.05x (2.00x per CPU s)"
    measured.rows[f"size-{MILLION}"][3] = row("dnsdist CDB", MILLION, cpu=190.0, rate=100.0)
    assert reached(measured, "blocked, 1,000,000 entries : best peer").reached == "by rate only"


def test_a_peer_with_wrong_answers_is_not_the_best_one():
    measured = all_reached()
    measured.rows[f"size-{MILLION}"][3] = row(
        "dnsdist CDB", MILLION, cpu=500.0, rate=500.0, problem="blocked: 3 % of its answers are wrong"
    )
    goal = reached(measured, "blocked, 1,000,000 entries : best peer")
    assert goal.note == "best peer: unbound RPZ"
    assert goal.reached == "yes"


def test_our_own_wrong_answers_reach_nothing():
    measured = all_reached()
    measured.rows[f"size-{MILLION}"][0].problem = "cached: 1 % of its answers are wrong"
    goal = reached(measured, "cached, 1,000,000 entries : best peer")
    assert (goal.reached, goal.note) == ("no", "cached: 1 % of its answers are wrong")


@pytest.mark.parametrize(
    ("what", "changed"),
    [
        ("queries lost", {"lost": 1}),
        ("longest stall", {"gap_max_ms": 5.1}),
        ("enforced after", {"live_s": 1.1}),
        ("enforced after", {"live_s": 0.0}),
    ],
)
def test_an_update_is_judged_by_all_that_it_must_do(what, changed):
    measured = all_reached()
    measured.updates[0].update(changed)
    assert reached(measured, f"update of 1,000 on 1,000,000 under load: {what}").reached == "no"


def test_memory_and_starts():
    measured = all_reached()
    measured.rows["sizes"][2].octets_an_entry = 24.1
    measured.ready[0]["in_force_s"] = 0.031
    assert reached(measured, "10,000,000 entries: resident").reached == "no"
    assert reached(measured, "10,000,000 entries: ready").reached == "no"


def test_a_second_thread_without_work_proves_nothing():
    measured = all_reached()
    measured.rows["threads"][1] = row("blockd, 2 threads", MILLION, cpu=100.0, rate=200.0, threads=(1.0,))
    assert reached(measured, "two workers").reached == "no"
