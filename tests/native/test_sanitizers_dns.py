"""The DNS half under AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

import pytest

from tests.native import dns_driver
from tests.native.dns_packets import HEAVY


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    flags = ("-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    return dns_driver.compile_driver(tmp_path_factory.mktemp("asan"), *flags)


def test_the_sanitizer_reports(tmp_path):
    """The test can fail: one octet too far is seen."""
    source = tmp_path / "bad.c"
    good = "    core_handle(&core, in.data, size,"
    assert good in dns_driver.SOURCE.read_text()
    source.write_text(dns_driver.SOURCE.read_text().replace(good, "    core_handle(&core, in.data, size + 1,"))
    program = dns_driver.compile_driver(tmp_path, "-O1", "-fsanitize=address,undefined", source=source)
    with pytest.raises(AssertionError, match="heap-buffer-overflow"):
        dns_driver.run(program, "query", dns_driver.queries(10))


def test_queries(driver):
    dns_driver.run(driver, "query", dns_driver.queries(3000, seed=11))


def test_replies(driver):
    dns_driver.run(driver, "reply", dns_driver.replies(2500, seed=12))


def test_heavy_replies(driver):
    question = b"\3www\6tested\7example\0\0\xff\0\1"
    dns_driver.run(driver, "reply", [b"\7\7" + data[2:12] + question + data[33:] for data in HEAVY.values()])


def test_tables_of_state(driver):
    dns_driver.run(driver, "state", dns_driver.states(800, seed=13))
