"""No header of the table half reads one octet outside its input: inputs lie between pages that can't be touched."""

from __future__ import annotations

import subprocess

import pytest

from blockd.native._table import CompiledList, ListBuilder, build_table
from tests.native import table_driver
from tests.native.rows import to_wire

KEY = bytes(range(16))


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    return table_driver.compile_driver(tmp_path_factory.mktemp("guard"), "-O2")


def files(folder) -> tuple[bytes, bytes]:
    """A compiled list and its table, of sizes that are multiples of 64, so that they end where their page does."""
    builder = ListBuilder(KEY, b"")
    for i in range(300):
        builder.add_name(to_wire(b"n%d.x.w%d.example" % (i, i % 7)), 1 + i % 2, i % 2, i)
    builder.write(folder / "l", b"[0,1]")
    size = (folder / "l").stat().st_size
    compiled = CompiledList(folder / "l", KEY)
    build_table(folder / "t", KEY, [(compiled, [0, 1])], b"", [1, 2])
    pad = -(folder / "t").stat().st_size % 64
    build_table(folder / "t", KEY, [(compiled, [0, 1])], b" " * pad, [1, 2])
    builder = ListBuilder(KEY, b"")
    for i in range(300):
        builder.add_name(to_wire(b"n%d.x.w%d.example" % (i, i % 7)), 1 + i % 2, i % 2, i)
    builder.write(folder / "l", b"[0,1]" + b" " * (-size % 64))
    return (folder / "l").read_bytes(), (folder / "t").read_bytes()


TABLE_PLACES = (*range(0, 200, 8), 4096, 4104, 4096 + 48, 4096 + 52)
LIST_PLACES = (*range(0, 64, 8), 256, 264, 272, 276)


def test_the_guard_catches_a_read_too_far(tmp_path):
    """The test can fail: a reader that looks at the octet behind its input dies."""
    source = tmp_path / "bad.c"
    source.write_text(table_driver.SOURCE.read_text().replace("uint64_t seen = mix(sip_hash", "uint64_t seen = data[size] + mix(sip_hash"))
    program = tmp_path / "bad"
    subprocess.run(["gcc", *table_driver.WARNINGS, "-O1", str(source), "-o", str(program)], check=True)
    with pytest.raises(AssertionError, match="exit -11"):
        table_driver.run(program, "hash", [b"x" * 4096])


def test_rows(driver):
    inputs = table_driver.texts(1500)
    assert table_driver.run(driver, "rows", inputs)[1] > 20_000


def test_names_urls_digests_and_rails(driver):
    inputs = table_driver.names(1500)
    assert table_driver.run(driver, "hash", inputs) == (len(inputs), len(inputs))


def test_table_files(driver, tmp_path):
    _, table = files(tmp_path)
    assert len(table) % 64 == 0
    opened = table_driver.run(driver, "table", table_driver.damaged(table, 3000, TABLE_PLACES))[1]
    assert opened > 500


def test_compiled_lists(driver, tmp_path):
    compiled, _ = files(tmp_path)
    assert table_driver.run(driver, "list", table_driver.damaged(compiled, 3000, LIST_PLACES))[1] > 10


def test_threads_read_as_one(driver):
    big = b"".join(b"n%d.w%d.example.test\n" % (i, i % 50) for i in range(30_000))
    table_driver.run(driver, "Rows", [big, big[:-1], b"x" * 70_000 + big, big.replace(b"\n", b"\r\n\n")])
