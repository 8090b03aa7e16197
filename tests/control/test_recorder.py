from __future__ import annotations

import json

import pytest

from blockd.audit.record import Entry, Event
from blockd.audit.store import ENTRIES, HEAD, REASONS
from blockd.control import stages
from blockd.control.judge import ADMITTED
from blockd.control.recorder import Recorder
from blockd.control.steps import NO_STEPS, Step
from blockd.errors import Corrupt, Refused, Unavailable
from blockd.terms import Instant, ListName
from tests.control.test_crashes import Fails
from tests.control.test_stages import built

A = ListName("f/a")
NOW = Instant(1000.5)


@pytest.fixture
def recorder(tmp_path):
    made = Recorder(tmp_path, NO_STEPS)
    yield made
    made.close()


def lines(folder):
    return [json.loads(line) for line in (folder / ENTRIES).read_text().splitlines()]


def admitted(recorder, **changes):
    return recorder.admit(stages.checked(built(**changes), "ab"), {A: ADMITTED})


def test_a_generation_is_recorded_after_its_lists(recorder, tmp_path):
    recorded = recorder.record(admitted(recorder), [Entry(Event.APPLIED, 1000, A, version=1, generation=1)], NOW)
    assert [(e["event"], e.get("table")) for e in lines(tmp_path)] == [("applied", None), ("generation", "ab")]
    assert recorded.index == 1
    assert recorder.levers.generation == 1
    assert recorder.written == 1000.0


def test_a_full_disk_records_nothing(tmp_path):
    recorder = Recorder(tmp_path, Fails(Step.RECORDED, "before"))
    with pytest.raises(OSError, match="No space"):
        recorder.record(admitted(recorder), [], NOW)
    assert recorder.levers.generation == 0
    recorder.close()


def test_what_was_recorded_before_needs_the_same_table(recorder):
    recorder.record(admitted(recorder), [], NOW)
    known = stages.checked(built(changed=frozenset()), "ab")
    assert recorder.recorded_before(known).index == 0
    for strange in (built(table_sha256="cd", changed=frozenset()), built(number=2, changed=frozenset())):
        with pytest.raises(Corrupt, match="not in the audit record"):
            recorder.recorded_before(stages.checked(strange, strange.table_sha256))


def test_a_change_that_was_not_judged_is_not_recorded(recorder):
    with pytest.raises(Refused):
        recorder.admit(stages.checked(built(), "ab"), {})


def test_names_and_reasons_stay_on_the_node(recorder, tmp_path):
    entry = recorder.explained(Entry(Event.HOLD, 1, A), "alice", "a subscriber rang: zebra.example")
    recorder.write(entry)
    public = (tmp_path / ENTRIES).read_text()
    assert "alice" not in public
    assert "zebra" not in public
    assert entry.actor.startswith("op-")
    private = json.loads((tmp_path / REASONS).read_text())
    assert private["who"] == "alice"
    assert (tmp_path / REASONS).stat().st_mode & 0o077 == 0


def test_levers_are_what_the_record_says_after_a_restart(tmp_path):
    first = Recorder(tmp_path, NO_STEPS)
    first.write(Entry(Event.HOLD, 7, A))
    first.close()
    second = Recorder(tmp_path, NO_STEPS)
    assert second.levers.holds == {A}
    assert (second.size, second.written) == (1, 7.0)
    assert len(second.root) == 64
    second.close()


def test_the_same_trouble_is_written_once(recorder, tmp_path):
    for n in range(5):
        recorder.write_about(Entry(Event.REFUSED, n, A, code="signature"))
    assert len(lines(tmp_path)) == 1


def test_a_record_that_was_changed_stops_every_update_and_nothing_else(tmp_path):
    first = Recorder(tmp_path, NO_STEPS)
    for n in range(3):
        first.write(Entry(Event.HOLD, n, A))
    first.close()
    text = (tmp_path / ENTRIES).read_text()
    (tmp_path / ENTRIES).write_text(text.replace('"hold"', '"held"', 1))
    second = Recorder(tmp_path, NO_STEPS)
    assert "record" in second.fault
    assert (second.size, second.root) == (0, "")
    for work in (lambda: second.write(Entry(Event.HOLD, 9, A)), lambda: second.admit(stages.checked(built(), "ab"), {A: ADMITTED})):
        with pytest.raises(Unavailable, match="record"):
            work()
    assert (tmp_path / HEAD).exists()
    assert (tmp_path / ENTRIES).read_text() == text.replace('"hold"', '"held"', 1), "what was changed is evidence"
    second.close()
