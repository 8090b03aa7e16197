"""The table half under AddressSanitizer and UndefinedBehaviorSanitizer, and its threads under ThreadSanitizer."""

from __future__ import annotations

import subprocess

import pytest

from tests.native import table_driver
from tests.native.test_guard_pages_table import LIST_PLACES, TABLE_PLACES, files


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    flags = ("-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    return table_driver.compile_driver(tmp_path_factory.mktemp("asan"), *flags)


@pytest.fixture(scope="module")
def threaded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tsan")
    program = table_driver.compile_driver(folder, "-O1", "-g", "-fsanitize=thread")
    started = subprocess.run(
        [program, "rows", "/dev/null", folder], capture_output=True, text=True, env=table_driver.ENVIRONMENT, check=False
    )
    if "unexpected memory mapping" in started.stderr:
        pytest.skip("ThreadSanitizer does not start under this kernel's address randomisation")
    return program


def test_the_sanitizer_reports(tmp_path):
    """The test can fail: one octet too far is seen."""
    source = tmp_path / "bad.c"
    source.write_text(table_driver.SOURCE.read_text().replace("uint64_t seen = mix(sip_hash", "uint64_t seen = data[size] + mix(sip_hash"))
    program = tmp_path / "bad"
    subprocess.run(["gcc", *table_driver.WARNINGS, "-O1", "-fsanitize=address,undefined", str(source), "-o", str(program)], check=True)
    with pytest.raises(AssertionError, match="heap-buffer-overflow"):
        table_driver.run(program, "hash", [b"x" * 100])


def test_rows(driver):
    inputs = table_driver.texts(400)
    table_driver.run(driver, "rows", inputs)


def test_names_urls_digests_and_rails(driver):
    table_driver.run(driver, "hash", table_driver.names(1500))


def test_table_files(driver, tmp_path):
    table_driver.run(driver, "table", table_driver.damaged(files(tmp_path)[1], 1000, TABLE_PLACES))


def test_compiled_lists(driver, tmp_path):
    table_driver.run(driver, "list", table_driver.damaged(files(tmp_path)[0], 1000, LIST_PLACES))


def big() -> list[bytes]:
    rows = b"".join(b"n%d.w%d.example.test\n" % (i, i % 50) for i in range(20_000))
    return [rows, rows[:-1] + b"#\xff\n" * 2000, b"a.test\n" * 20_000, b"\n" * 70_000]


def test_building(driver):
    table_driver.run(driver, "build", big())


def test_threads_share_nothing_unguarded(threaded):
    table_driver.run(threaded, "build", big())
