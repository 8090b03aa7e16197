from __future__ import annotations

import errno
import json
import os
import stat

import pytest

from blockd.audit.record import Entry, Event, commitment, decode, pseudonym
from blockd.audit.store import ENTRIES, HEAD, PSEUDONYM_KEY, REASONS, AuditLog, read_entries
from blockd.errors import Corrupt, Unavailable
from blockd.terms import ListName


def entry(n: int) -> Entry:
    return Entry(Event.APPLIED, n, ListName("a/b"), version=n)


@pytest.fixture
def folder(tmp_path):
    log = AuditLog.open(tmp_path)
    for n in range(5):
        assert log.append(entry(n)) == n
    log.close()
    return tmp_path


def test_it_goes_on_where_it_stopped(folder):
    log = AuditLog.open(folder)
    before = log.root
    assert log.size == 5
    log.append(entry(5))
    assert (log.size, log.root != before) == (6, True)
    log.close()
    assert [decode(line).version for line in (folder / ENTRIES).read_bytes().splitlines()] == list(range(6))


def test_one_writer(folder):
    log = AuditLog.open(folder)
    with pytest.raises(Unavailable, match="another process"):
        AuditLog.open(folder)
    log.close()


def test_a_torn_last_line_was_never_acted_on(folder):
    with (folder / ENTRIES).open("ab") as file:
        file.write(b'{"event":"appl')
    log = AuditLog.open(folder)
    assert log.size == 5
    log.append(entry(5))
    log.close()
    log = AuditLog.open(folder)
    assert log.size == 6
    log.close()


def test_a_crash_between_entry_and_head(folder):
    head = (folder / HEAD).read_bytes()
    log = AuditLog.open(folder)
    log.append(entry(5))
    log.close()
    (folder / HEAD).write_bytes(head)
    log = AuditLog.open(folder)
    assert log.size == 6
    log.close()


@pytest.mark.parametrize("attack", ["removed entry", "changed entry", "reordered entries", "rolled-back file"])
def test_a_record_that_was_changed_is_refused(folder, attack):
    path = folder / ENTRIES
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(
        {
            "removed entry": b"".join(lines[:2] + lines[3:]),
            "changed entry": b"".join(lines).replace(b'"version":3', b'"version":4'),
            "reordered entries": b"".join([lines[1], lines[0], *lines[2:]]),
            "rolled-back file": b"".join(lines[:4]),
        }[attack]
    )
    before = path.read_bytes()
    with pytest.raises(Corrupt, match="5 entries"):
        AuditLog.open(folder)
    assert path.read_bytes() == before, "evidence must stay"


@pytest.mark.parametrize("persisted", [False, True], ids=["failed and not persisted", "failed but persisted"])
def test_an_append_that_fails_is_not_in_the_record(folder, monkeypatch, persisted):
    log = AuditLog.open(folder)
    before = (log.size, log.root)
    if persisted:
        monkeypatch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(5, "Input/output error")))
    else:
        monkeypatch.setattr(os, "pwrite", lambda fd, data, at: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match=r"error|space"):
        log.append(entry(5))
    monkeypatch.undo()
    assert (log.size, log.root) == before
    log.append(entry(6))
    log.close()
    log = AuditLog.open(folder)
    assert [decode(line).version for line in (folder / ENTRIES).read_bytes().splitlines()] == [0, 1, 2, 3, 4, 6]
    log.close()


def test_reasons_stay_on_the_node(folder):
    log = AuditLog.open(folder)
    who, digest = log.explain("alice", "a wrong entry, called by the hotline")
    log.append(Entry(Event.KILLED, 9, ListName("a/b"), actor=who, reason=digest))
    log.close()
    public = (folder / ENTRIES).read_bytes()
    assert b"alice" not in public
    assert b"wrong entry" not in public
    kept = json.loads((folder / REASONS).read_text().splitlines()[-1])
    assert commitment(bytes.fromhex(kept["salt"]), kept["reason"]) == digest
    assert stat.S_IMODE((folder / REASONS).stat().st_mode) == 0o600


def fills_up(after: int):
    """A disk with room for so many octets: the write that meets the end takes a part, the next one is refused."""
    left = [after]
    write = os.write

    def work(fd, data):
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part = data[: left[0]]
        left[0] -= len(part)
        return write(fd, part)

    return work


@pytest.mark.parametrize("room", [0, 7])
def test_a_full_disk_leaves_no_half_key_of_pseudonyms(tmp_path, monkeypatch, room):
    """An empty key would make a pseudonym the plain hash of a name, which anybody can guess."""
    with monkeypatch.context() as full, pytest.raises(OSError, match="No space"):
        full.setattr("blockd.audit.store.os.write", fills_up(room))
        AuditLog.open(tmp_path)
    log = AuditLog.open(tmp_path)
    assert len((tmp_path / PSEUDONYM_KEY).read_bytes()) == 16
    name = log.explain("alice", "why")[0]
    log.close()
    log = AuditLog.open(tmp_path)
    assert log.explain("alice", "again")[0] == name
    log.close()


def test_half_a_key_of_pseudonyms_is_made_anew(tmp_path):
    (tmp_path / PSEUDONYM_KEY).write_bytes(b"")
    log = AuditLog.open(tmp_path)
    assert log.explain("alice", "why")[0] != pseudonym(b"", "alice")
    log.close()


def test_a_reason_that_does_not_fit_is_not_half_there(folder, monkeypatch):
    log = AuditLog.open(folder)
    log.explain("alice", "one")
    with monkeypatch.context() as full, pytest.raises(OSError, match="No space"):
        full.setattr("blockd.audit.store.os.write", fills_up(30))
        log.explain("bob", "two")
    log.explain("carol", "three")
    log.close()
    assert [json.loads(line)["reason"] for line in (folder / REASONS).read_text().splitlines()] == ["one", "three"]


def test_a_head_that_does_not_fit_leaves_the_one_before(folder, monkeypatch):
    log = AuditLog.open(folder)
    with monkeypatch.context() as full:
        full.setattr("blockd.audit.store.os.write", fills_up(10))
        log.append(entry(5))
    log.close()
    log = AuditLog.open(folder)
    assert log.size == 6
    log.close()


def test_readers_see_every_whole_entry_and_hold_nothing(folder):
    log = AuditLog.open(folder)
    with (folder / ENTRIES).open("ab") as file:
        file.write(b"\0\0\0\n")
    assert [e.version for e in read_entries(folder)] == list(range(5))
    log.close()
