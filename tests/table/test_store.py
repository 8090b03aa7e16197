"""The key and the generations on the disk: made once, opened whole or not at all."""

from __future__ import annotations

import shutil
import threading

import pytest

from blockd.errors import Corrupt
from blockd.table import store
from blockd.table.lookup import name_matches
from blockd.table.manifest import Manifest, dump_manifest
from blockd.terms import Kind, ListName
from tests.table.generation import make_current, write_generation
from tests.table.oracle import Source, wire

ONE = Source(ListName("f/one"), ((wire("a.test"), Kind.SUBTREE, None), (b"http://b.test/", Kind.URL, wire("b.test"))))


@pytest.fixture
def state(tmp_path):
    write_generation(tmp_path, store.make_key(tmp_path), 7, [ONE])
    make_current(tmp_path, 7)
    return tmp_path


def test_the_key_is_made_once_and_is_for_its_owner_alone(tmp_path):
    key = store.make_key(tmp_path)
    assert len(key) == 16
    assert key == store.make_key(tmp_path) == store.load_key(tmp_path)
    assert (tmp_path / "table.key").stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["table.key"]


def test_two_that_make_the_key_at_once_agree(tmp_path):
    keys: list[bytes] = []
    threads = [threading.Thread(target=lambda: keys.append(store.make_key(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["table.key"]


@pytest.mark.parametrize("data", [b"", bytes(15), bytes(17)])
def test_a_file_that_is_no_key_is_corrupt(tmp_path, data):
    (tmp_path / "table.key").write_bytes(data)
    with pytest.raises(Corrupt, match="16 octets"):
        store.make_key(tmp_path)


def test_no_key_yet(tmp_path):
    with pytest.raises(FileNotFoundError):
        store.load_key(tmp_path)


def test_the_generation_in_force_is_opened(state):
    live = store.open_current(state, verify=True)
    assert live is not None
    assert (live.number, list(live.lists), live.table.entries) == (7, ["f/one"], 3)
    assert [m.list for m in name_matches(live, wire("www.a.test"))] == ["f/one"]


def test_before_the_first_generation_there_is_none(tmp_path):
    assert store.open_current(tmp_path) is None


def test_the_old_generation_stays_usable_while_the_next_is_in_force(state):
    old = store.open_current(state)
    write_generation(state, store.load_key(state), 8, [Source(ListName("f/two"), ((wire("c.test"), Kind.EXACT, None),))])
    make_current(state, 8)
    new = store.open_current(state)
    shutil.rmtree(state / "generations" / "7")
    assert old is not None
    assert new is not None
    assert name_matches(old, wire("a.test"))
    assert not name_matches(new, wire("a.test"))
    assert name_matches(new, wire("c.test"))


def corrupt(state, **kwargs) -> str:
    with pytest.raises(Corrupt) as caught:
        store.open_current(state, **kwargs)
    text = str(caught.value)
    assert "\n" not in text
    assert str(state) not in text
    return text


def test_a_missing_generation_is_corrupt(state):
    shutil.rmtree(state / "generations" / "7")
    assert "No such file" in corrupt(state)


@pytest.mark.parametrize("file", ["table.blkt", "manifest.json"])
def test_a_missing_or_empty_file_is_corrupt(state, file):
    path = state / "generations" / "7" / file
    path.write_bytes(b"")
    corrupt(state)
    path.unlink()
    corrupt(state)


def test_another_key_is_corrupt(state):
    (state / "table.key").write_bytes(bytes(16))
    assert "another key" in corrupt(state)
    (state / "table.key").unlink()
    assert "table.key" in corrupt(state)


def test_a_flipped_bit_in_the_body_is_seen_when_it_is_verified(state):
    path = state / "generations" / "7" / "table.blkt"
    data = bytearray(path.read_bytes())
    data[4100] ^= 1
    path.write_bytes(data)
    assert "digest" in corrupt(state, verify=True)


def test_a_manifest_of_other_lists_is_corrupt(state):
    (state / "generations" / "7" / "manifest.json").write_bytes(dump_manifest(Manifest(7, {}, {})))
    assert "does not know" in corrupt(state)


def test_current_that_is_no_link_is_corrupt(state):
    (state / "current").unlink()
    (state / "current").mkdir()
    assert "not a link" in corrupt(state)


def test_a_compiled_list_is_opened_whole_or_corrupt(state):
    key = store.load_key(state)
    path = state / "generations" / "7" / "0.blkl"
    assert store.open_list(path, key).entries == 2
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Corrupt, match="truncated"):
        store.open_list(path, key)
    with pytest.raises(Corrupt, match="No such file"):
        store.open_list(path.with_name("none"), key)
