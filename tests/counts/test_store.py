"""The ledger over real files, real processes and real failures: no count is lost, none is released twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from blockd.counts import store
from blockd.counts.cells import assign
from blockd.counts.slab import SLAB_BYTES, role_of
from blockd.counts.store import FILE, Ledger, create_slab
from blockd.counts.tallies import FIXED
from blockd.counts.windows import ListKind, Rules
from blockd.errors import Unavailable
from blockd.terms import Action, Category, Instant, ListName

NAME = ListName("hotline/secret")
SECRET = ListKind(NAME, 5000, secret=True, category=Category.GAMBLING)
OPEN = ListKind(NAME, 5000, secret=False, category=Category.GAMBLING)
KEY = (NAME, Category.GAMBLING, Action.NXDOMAIN, "dns", False)
CELLS = assign({}, [KEY])
HIT = ("hit", NAME, "gambling", "nxdomain", "dns")
RULES = Rules(3600.0, 10)


class Box:
    """One gateway's directories."""

    def __init__(self, path: Path):
        self.state, self.run = path / "state", path / "run"
        self.now = 1_000_000.0
        self.ledger = self.open()

    def open(self):
        self.ledger = Ledger(self.state, self.run, RULES)
        return self.ledger

    def slab(self, role="resolver"):
        return create_slab(self.run / "counts", role)

    def collect(self, *lists, after_s=1.0, **more):
        self.now += after_s
        return self.ledger.collect(Instant(self.now), cells=CELLS, lists=lists or (OPEN,), **more)

    def files(self):
        return sorted(p.name for p in (self.run / "counts").iterdir())


@pytest.fixture
def box(tmp_path):
    return Box(tmp_path)


def test_a_slab_is_a_private_file_of_full_size(box):
    slab = box.slab()
    (name,) = box.files()
    status = (box.run / "counts" / name).stat()
    assert role_of(name) == "resolver"
    assert (status.st_size, status.st_blocks * 512 >= SLAB_BYTES, status.st_mode & 0o777) == (SLAB_BYTES, True, 0o600)
    slab.close()


def test_close_waits_for_the_native_core(box):
    slab = box.slab()
    held = memoryview(slab.buffer)
    slab.add(3, 5)
    slab.close()
    assert box.collect().values[FIXED[3]] == 5
    assert box.files(), "the lock is still held, so nobody took it for dead"
    held.release()
    slab.close()
    box.collect()
    assert not box.files()


def test_two_workers_and_a_restart_sum_up(box):
    one, two = box.slab(), box.slab("web")
    one.add(3, 5)
    two.add(3, 2)
    one.add(CELLS[KEY], 4)
    shown = box.collect()
    assert (shown.values[FIXED[3]], shown.values[HIT]) == (7, 4)
    one.add(3, 1)  # after the last look, before it ends
    one.close()
    again = box.slab()
    assert box.collect().values[FIXED[3]] == 8
    again.add(3, 1)
    assert box.collect().values[FIXED[3]] == 9
    assert len(box.files()) == 2, "the dead slab is gone"
    two.close()
    again.close()


def test_a_worker_that_was_killed_is_folded(box):
    child = subprocess.Popen(
        [sys.executable, "-c", f"""
import sys, time
from pathlib import Path
from blockd.counts.store import create_slab
slab = create_slab(Path({str(box.run / "counts")!r}), "resolver")
slab.add(3, 41)
print("up", flush=True)
time.sleep(60)
"""],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with child:
        assert child.stdout.readline() == "up\n"
        assert box.collect().values[FIXED[3]] == 41
        assert box.files()
        child.send_signal(signal.SIGKILL)
        child.wait(10)
    assert box.collect().values[FIXED[3]] == 41
    assert not box.files()
    box.open()
    assert box.collect().values[FIXED[3]] == 41


def test_control_that_starts_again_goes_on_where_it_was(box):
    slab = box.slab()
    slab.add(3, 5)
    box.collect()
    box.open()
    slab.add(3, 1)
    assert box.collect().values[FIXED[3]] == 6
    slab.close()


def test_a_power_failure_takes_the_slabs_but_not_what_was_written(box):
    slab = box.slab()
    slab.add(3, 5)
    box.collect()
    slab.add(3, 1)
    box.collect(after_s=store.PERSIST_EVERY_S + 1)
    for path in (box.run / "counts").iterdir():
        path.unlink()
    slab.close()
    box.open()
    assert box.collect().values[FIXED[3]] == 6


def test_a_release_survives_and_is_not_repeated(box):
    slab = box.slab()
    box.collect(SECRET)
    slab.add(CELLS[KEY], 25)
    assert box.collect(SECRET).values[HIT] == 0
    box.open()
    assert box.collect(SECRET, after_s=1800).values[HIT] == 0, "a restart does not end a window"
    assert box.collect(SECRET, after_s=1800).values[HIT] == 20
    box.open()
    assert box.collect(SECRET).values[HIT] == 20
    slab.add(CELLS[KEY], 5)
    assert box.collect(SECRET, after_s=3600).values[HIT] == 30, "5 + 5 carried over the restart"
    slab.close()


def test_nothing_new_is_shown_that_could_not_be_remembered(box, monkeypatch):
    slab = box.slab()
    box.collect(SECRET)
    slab.add(CELLS[KEY], 25)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(store.Ledger, "_write", full)
        for _ in range(2):  # the second time the step has nothing new, and still must not show
            with pytest.raises(Unavailable, match="No space left"):
                box.collect(SECRET, after_s=3600)
    shown = box.collect(SECRET, after_s=0)
    assert shown.values[HIT] == 20
    box.open()
    assert box.collect(SECRET).values[HIT] == 20
    slab.close()


@pytest.mark.parametrize("with_effect", [False, True], ids=["failed", "failed with effect"])
@pytest.mark.parametrize("step", ["write", "fsync", "replace", "unlink"])
def test_a_crash_at_every_step_of_folding_counts_once(box, monkeypatch, step, with_effect):
    slab = box.slab()
    slab.add(3, 5)
    slab.add(CELLS[KEY], 7)
    box.collect()
    slab.add(3, 2)
    slab.close()

    def failing(real):
        def call(*args, **kwargs):
            if with_effect:
                real(*args, **kwargs)
            raise OSError(5, "Input/output error")

        return call

    with monkeypatch.context() as broken:
        if step == "write":
            broken.setattr(
                store.os,
                "open",
                lambda path, flags, *a, real=os.open: failing(real)(path, flags, *a) if FILE in str(path) else real(path, flags, *a),
            )
        elif step == "fsync":
            broken.setattr(store.os, "fsync", failing(os.fsync))
        else:
            broken.setattr(Path, step, failing(getattr(Path, step)))
        with pytest.raises(Unavailable):
            box.collect()
    box.open()  # the process died there
    shown = box.collect()
    assert (shown.values[FIXED[3]], shown.values[HIT]) == (7, 7)
    assert not box.files()
    box.open()
    assert box.collect().values[FIXED[3]] == 7


def test_a_damaged_file_is_set_aside_with_an_alarm(box):
    slab = box.slab()
    slab.add(3, 5)
    box.collect()
    path = box.state / "counts" / FILE
    path.write_bytes(path.read_bytes()[:-9])
    ledger = box.open()
    assert len(ledger.alarms) == 1
    assert "\n" not in ledger.alarms[0]
    assert path.with_suffix(".damaged").exists()
    assert box.collect().values[FIXED[3]] == 5
    slab.close()


def test_a_list_that_is_expected_is_withheld_before_it_is_loaded(box):
    slab = box.slab()
    box.collect(OPEN)
    box.ledger.expect([SECRET])
    slab.add(3, 1)
    assert box.collect(OPEN).values[FIXED[3]] == 0, "a list that is loaded is about to become a secret one"
    assert box.collect(OPEN).windowed
    slab.close()


def test_an_expectation_ends_when_it_came_true_or_was_dropped(box):
    for end in (lambda: box.collect(SECRET), lambda: box.ledger.expect([OPEN]), box.ledger.forget_expected):
        box.ledger.expect([SECRET])
        assert box.collect(OPEN).windowed
        end()
        assert not box.collect(OPEN, after_s=3600).windowed


def test_files_that_are_no_slabs_are_left_alone(box):
    slab = box.slab()
    other = box.run / "counts" / "notes.slab"
    other.write_bytes(b"x")
    box.collect()
    assert other.exists()
    slab.close()


def test_a_slab_of_the_wrong_size_is_not_read(box):
    (box.run / "counts").mkdir(parents=True)
    bad = box.run / "counts" / "resolver.0.0123456789abcdef.slab"
    bad.write_bytes(b"\xff" * 100)
    assert box.collect().values[FIXED[0]] == 0
    assert not bad.exists()


def test_a_link_planted_as_a_slab_is_not_followed(box, tmp_path):
    target = tmp_path / "target"
    target.write_bytes(b"\xff" * SLAB_BYTES)
    (box.run / "counts").mkdir(parents=True)
    (box.run / "counts" / "resolver.0.0123456789abcdef.slab").symlink_to(target)
    assert box.collect().values[FIXED[0]] == 0
    assert target.exists()


def test_no_room_for_a_slab_is_said_at_the_start(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.os, "posix_fallocate", full)
    with pytest.raises(Unavailable, match="No space left"):
        create_slab(tmp_path / "counts", "resolver")
    assert not list((tmp_path / "counts").iterdir())


def test_upstream_queries_go_through_the_same_release(box):
    address = "udp://192.0.2.53:53"
    key = ("upstream", address, "ok")
    box.collect(SECRET, reported={key: 0})
    shown = box.collect(SECRET, reported={key: 15})
    assert shown.of("upstream") == {(address, "ok"): 0}
    shown = box.collect(SECRET, reported={key: 15}, after_s=3600)
    assert shown.of("upstream") == {(address, "ok"): 10}


def test_what_threads_did_with_queries_is_released_like_them_and_restarts_are_live(box):
    """Queries less forwarded ones, less cached ones, are hits."""
    event, restart = ("worker", "forwarded"), ("worker_restart",)
    box.collect(SECRET, reported={event: 0, restart: 0})
    shown = box.collect(SECRET, reported={event: 15, restart: 1})
    assert (shown.values[event], shown.values[restart]) == (0, 1)
    shown = box.collect(SECRET, reported={event: 15, restart: 1}, after_s=3600)
    assert (shown.values[event], shown.values[restart]) == (10, 1)


def test_close_writes_the_last_counts(box):
    slab = box.slab()
    box.collect()
    slab.add(3, 4)
    slab.close()
    box.ledger.close(Instant(box.now), cells=CELLS, lists=[OPEN])
    box.open()
    assert box.collect().values[FIXED[3]] == 4


def test_new_rules_hold_from_the_next_collect(box):
    slab = box.slab()
    box.collect(SECRET)
    slab.add(CELLS[KEY], 25)
    box.ledger.configure(Rules(3600.0, 25))
    assert box.collect(SECRET, after_s=3600).values[HIT] == 25
    slab.close()
