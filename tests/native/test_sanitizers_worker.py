"""The native UDP worker under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer, between hostile clients and hostile upstreams.

`python -m tests.native.worker_driver --seconds 300` is the same for longer.
"""

from __future__ import annotations

import shutil

import pytest

from tests.house.sources import ROOT
from tests.native import worker_driver

SECONDS, SECONDS_MAX = 3, 27
BROKEN_SECONDS = 1  # most are seen long before


def too_little(figures: dict[str, int]) -> dict[str, int]:
    return {what: figures[what] for what, least in worker_driver.LEAST.items() if figures[what] < least}


@pytest.mark.parametrize(
    ("flags", "rated"),
    [(worker_driver.ADDRESS, False), (worker_driver.THREAD, True)],
    ids=["address: every request is accounted for", "thread: now and then the rate is limited"],
)
def test_a_hostile_world(tmp_path, flags, rated):
    """A run that did too little to find anything is no proof: on a busy machine it takes longer."""
    driver, seconds = worker_driver.build(tmp_path, *flags), SECONDS
    figures = worker_driver.run(driver, seed=1 + rated, seconds=seconds, rated=rated)
    while too_little(figures) and seconds < SECONDS_MAX:
        seconds *= 3
        figures = worker_driver.run(driver, seed=1 + rated, seconds=seconds, rated=rated)
    assert not too_little(figures)
    assert bool(figures["rates"]) == rated


# What is broken, in which file, how, under what, and what must be seen of it.
BROKEN = {
    "a table is freed while threads read it": (
        "worker_driver.c",
        "    hold(s);\n    old = s->core.policy;\n",
        "    free(old_table);\n    old_table = 0;\n    pause_us(20000);\n    hold(s);\n    old = s->core.policy;\n",
        ("-O1", "-fsanitize=address"),
        "heap-use-after-free",
    ),
    "a lock that locks nothing": (
        "worker_state.h",
        "    (void)pthread_mutex_lock(&w->gate);\n    (void)pthread_mutex_lock(&w->lock);\n    (void)pthread_mutex_unlock(&w->gate);\n",
        "    (void)w;\n",
        ("-O1", "-fsanitize=thread"),
        "data race|unlock of an unlocked mutex",
    ),
    "waiters are not judged again after a swap": (
        "worker_upstream.h",
        "    if (a->epoch == w->core.policy.epoch)\n        return 1;\n",
        "    if (a->epoch)\n        return 1;\n",
        ("-O1",),
        "half-judged",
    ),
    "targets are not judged": (
        "worker_upstream.h",
        "    worker_judge_targets(w, r, &first->q, &t);\n",
        "    worker_judge_targets(w, r, &first->q, &t);\n    t = (worker_targets){ 0 };\n",
        ("-O1",),
        "a listed name or target got records",
    ),
    "an answer twice": (
        "worker_upstream.h",
        "            worker_give(w, a, &b, &t);\n",
        "            worker_give(w, a, &b, &t), worker_give(w, a, &b, &t);\n",
        ("-O1",),
        "a second answer",
    ),
    "an answer under another ID": (
        "worker_state.h",
        "        worker_lay(w, &a->client, o->size);\n",
        "        w->batch.answer[w->n_out][0] ^= 1, worker_lay(w, &a->client, o->size);\n",
        ("-O1",),
        "nobody asked for",
    ),
    "a request that is not counted": (
        "worker_batch.h",
        "        counts_response(&w->core.counts, o->rcode, o->source);\n",
        "        if (w->now_ns % 64)\n            counts_response(&w->core.counts, o->rcode, o->source);\n",
        ("-O1",),
        "do not add up",
    ),
    "a socket that is not closed": (
        "forward_socket.h",
        "    (void)close(s->fd); /* it leaves the epoll set by that */\n",
        "    (void)epoll_ctl(f->epoll, EPOLL_CTL_DEL, s->fd, 0);\n",
        ("-O1",),
        "file descriptors are left|no socket|Too many open",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_is_seen(tmp_path, what):
    """The test above can fail: each of these is one line of ours, changed."""
    name, good, bad, flags, seen = BROKEN[what]
    own = tmp_path / "native"  # all in one folder: quotes look beside the source first
    shutil.copytree(ROOT / "blockd/native", own, ignore=shutil.ignore_patterns("*.so", "*.c", "*.o", "__pycache__"))
    for path in (*worker_driver.SOURCE.parent.glob("driver_*.h"), worker_driver.SOURCE):
        shutil.copy(path, own)
    text = (own / name).read_text(encoding="utf-8")
    assert text.count(good) == 1
    (own / name).write_text(text.replace(good, bad), encoding="utf-8")
    program = worker_driver.build(tmp_path, *flags, source=own / "worker_driver.c")
    with pytest.raises(AssertionError, match=seen):
        worker_driver.run(program, seed=3, seconds=BROKEN_SECONDS, rated=False)
