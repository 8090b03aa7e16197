"""The table file: what table_open and verify refuse, the mapping as a buffer, limits of the header."""

from __future__ import annotations

import hashlib
import struct

import pytest

from blockd.native import _table
from blockd.native._table import CompiledList, ListBuilder, Table, build_table
from tests.native.damage import damages
from tests.native.rows import to_wire
from tests.native.siphash import siphash128

KEY = bytes(range(16))

# struct table_header (native/table.h)
HEADER = struct.Struct("<8s II Q QQQQQ QQQ II 6Q 16s 32s 16s")
FIELDS = (
    "magic", "version", "header_bytes", "file_bytes", "n_home", "n_buckets", "n_entries", "n_sets", "n_rules", "sets_at", "rules_at", "rules_bytes",
    "probe_max", "kinds", "subtree0", "subtree1", "exact0", "exact1", "host0", "host1", "key_check", "body_sha256", "header_check",
)  # fmt: skip


@pytest.fixture
def path(tmp_path):
    builder = ListBuilder(KEY, b"")
    for i in range(500):
        builder.add_name(to_wire(b"n%d.test" % (i % 400)), 1, i % 2, i)
    builder.add_url(b"http://n1.test/", to_wire(b"n1.test"), 2, 1)
    builder.write(tmp_path / "l", b"[]")
    compiled = CompiledList(tmp_path / "l", KEY)
    build_table(tmp_path / "t", KEY, [(compiled, [0, 1, 3, 2])], b'["a rule"]', [1, 2, 6, 3])
    return tmp_path / "t"


def header(data: bytes) -> dict[str, object]:
    return dict(zip(FIELDS, HEADER.unpack(data[: HEADER.size]), strict=True))


def sealed(data: bytes, **changes) -> bytes:
    """The file with header fields changed, and header check (and digest, when the body is not the one it had) made to fit: a clever forger."""
    fields = header(data) | {"body_sha256": hashlib.sha256(data[4096:]).digest()} | changes | {"header_check": bytes(16)}
    packed = HEADER.pack(*(fields[name] for name in FIELDS))
    return packed[:-16] + siphash128(KEY, packed) + data[HEADER.size :]


def test_the_header_is_where_the_format_says(path):
    data = path.read_bytes()
    fields = header(data)
    assert fields["magic"] == b"BLKDTBL1"
    assert (fields["file_bytes"], fields["n_entries"]) == (len(data), 401)
    assert fields["body_sha256"] == hashlib.sha256(data[4096:]).digest()
    assert fields["key_check"] == siphash128(KEY, b"blockd table key")
    assert data[fields["rules_at"] :] == b'["a rule"]'
    assert sealed(data) == data


def test_the_load_is_near_the_plan(path):
    fields = header(path.read_bytes())
    assert 0.75 < fields["n_entries"] / (4 * fields["n_home"]) < 0.79
    assert 1 <= fields["probe_max"] < 30


def test_every_damage_is_refused(path):
    data = path.read_bytes()
    fields = header(data)
    for what, damaged in damages(
        data, (0, 8, 16, 24, HEADER.size - 64, HEADER.size, 4096, 4096 + 64, fields["sets_at"], fields["rules_at"])
    ):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"\w"):
            Table(path, KEY, verify=True)
            pytest.fail(f"taken: {what}")
    path.write_bytes(data)
    Table(path, KEY, verify=True)


@pytest.mark.parametrize(
    ("changes", "phrase"),
    [
        ({"magic": b"BLKDTBL2"}, "not a table"),
        ({"version": 2}, "another version"),
        ({"version": 1 << 24}, "another version"),
        ({"header_bytes": 64}, "another version"),
        ({"key_check": bytes(16)}, "another key"),
        ({"file_bytes": 4096}, "truncated"),
        ({"n_home": 0}, "sizes"),
        ({"n_home": 1 << 40}, "sizes"),
        ({"n_buckets": 0}, "sizes"),
        ({"n_buckets": (1 << 64) - 1}, "sizes"),
        ({"n_buckets": 1 << 58}, "sizes"),
        ({"n_sets": 0xFFFFFF}, "sizes"),
        ({"n_sets": (1 << 64) - 1}, "sizes"),
        ({"sets_at": 4096}, "sizes"),
        ({"rules_at": 1 << 63}, "sizes"),
        ({"rules_bytes": (1 << 64) - 1}, "sizes"),
    ],
)
def test_a_header_that_cannot_be_is_refused_without_verify(path, changes, phrase):
    """By whoever holds the key, even: a worker relies on these sizes for every access."""
    path.write_bytes(sealed(path.read_bytes(), **changes))
    with pytest.raises(ValueError, match=phrase):
        Table(path, KEY)


def edit(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def slots(data: bytes):
    """(offset of the payload, payload) of every slot."""
    for bucket in range(header(data)["n_buckets"]):
        for slot in range(4):
            at = 4096 + bucket * 64 + 48 + 4 * slot
            yield at, *struct.unpack_from("<I", data, at)


def test_a_body_that_no_builder_writes_is_refused(path):
    """Each with a digest and a header that fit: a builder with a bug."""
    data = path.read_bytes()
    fields = header(data)
    used = [at for at, payload in slots(data) if payload]
    free = next(at for at, payload in slots(data) if not payload and (at - 4096) % 64 > 48)
    sets = fields["sets_at"]
    first = next(a for a in used if (a - 4096) % 64 == 48 and struct.unpack_from("<I", data, a + 4)[0])
    cases = {
        "hole": edit(edit(edit(data, first, bytes(4)), first - 16, bytes(4)), first - 48, bytes(8)),
        "no set": edit(data, used[-1], struct.pack("<I", 1 << 24 | 0xFFFFF)),
        "out of turn": edit(data, used[0], struct.pack("<I", 1 << 24 | 2)),
        "kinds": edit(data, used[-1] + 3, b"\x40"),
        "empty": edit(data, 4096 + (free - 4096) // 64 * 64 + ((free - 4096) % 64 - 48) // 4 * 8, b"x"),
        "fill": edit(data, sets, struct.pack("<I", 1)),
        "out of range": edit(data, sets + 4, struct.pack("<I", 1 << 31)),
        "out of order": edit(data, sets + 4 * (fields["n_sets"] + 1), struct.pack("<I", 99)),
        "count": sealed(data, n_entries=fields["n_entries"] + 1),
        "header": edit(data, 4000, b"x"),
    }
    for phrase, damaged in cases.items():
        path.write_bytes(sealed(damaged) if phrase != "count" else damaged)
        with pytest.raises(ValueError, match=phrase):
            Table(path, KEY, verify=True)


def test_sets_of_a_file_that_was_not_verified_are_bounded(path):
    data = path.read_bytes()
    fields = header(data)
    for offset in (1 << 31, fields["n_sets"] * 4, 0xFFFFFFFF):
        path.write_bytes(sealed(edit(data, fields["sets_at"] + 4, struct.pack("<I", offset))))
        table = Table(path, KEY)
        with pytest.raises(ValueError, match="no such set"):
            table.set_rules(0)


def test_probes_of_a_file_that_was_not_verified_are_bounded(path):
    """All buckets full, and a probe_max beyond them: every look-up must still end inside the file."""
    data = path.read_bytes()
    fields = header(data)
    full = b"".join(struct.pack("<4Q4I4I", 1, 2, 3, 4, 1, 2, 3, 4, *[1 << 24 | 1] * 4) for _ in range(fields["n_buckets"]))
    path.write_bytes(sealed(edit(data, 4096, full), probe_max=0xFFFFFFFF))
    table = Table(path, KEY)
    for i in range(2000):
        assert table.lookup(to_wire(b"q%d.test" % i)) == []


def test_a_mapping_is_a_read_only_buffer_that_holds_it_open(path):
    table = Table(path, KEY)
    view = memoryview(table)
    assert view.readonly
    assert view.nbytes == table.bytes == path.stat().st_size
    assert bytes(view) == path.read_bytes()
    with pytest.raises(BufferError):
        table.close()
    with pytest.raises(TypeError):
        view[0] = 1
    view.release()
    table.close()
    table.close()
    for use in (
        lambda: table.lookup(b"\1a\0"),
        lambda: memoryview(table),
        lambda: table.rules,
        lambda: table.entries,
        lambda: table.set_rules(0),
    ):
        with pytest.raises(ValueError, match="closed"):
            use()


def test_a_file_that_is_replaced_or_removed_stays_mapped(path):
    table = Table(path, KEY)
    before = table.lookup(to_wire(b"n1.test"))
    path.unlink()
    path.write_bytes(b"other")
    assert table.lookup(to_wire(b"n1.test")) == before != []


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        Table(tmp_path / "none", KEY)
    with pytest.raises(ValueError, match="regular"):
        Table(tmp_path, KEY)
    with pytest.raises(ValueError, match="regular"):
        Table("/dev/zero", KEY)
    (tmp_path / "short").write_bytes(bytes(4095))
    with pytest.raises(ValueError, match="shorter"):
        Table(tmp_path / "short", KEY)


def test_the_longest_row_is_known_to_python():
    assert _table.LINE_MAX_BYTES == 8192
