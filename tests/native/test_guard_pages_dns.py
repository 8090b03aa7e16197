"""No header of the DNS half reads or writes one octet outside what it is given: inputs and answers lie between pages that can't be touched."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.house.sources import ROOT
from tests.native import dns_driver
from tests.native.dns_packets import HEAVY


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    return dns_driver.compile_driver(tmp_path_factory.mktemp("guard"), "-O2")


BROKEN = {
    "reads": ("    int rcode = question_walk(in, n, q);", "    int rcode = question_walk(in, n + 1, q) + in[n] * 0;"),
    "writes": ("    return w.full ? answer_bare(out, room, q, rcode, ede, 1) : writer_at(&w);", "    out[room] = 0; return writer_at(&w);"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_the_guard_catches_one_octet_too_far(tmp_path, what):
    """The test can fail: a core that goes one octet too far dies."""
    headers = tmp_path / "native"
    shutil.copytree(ROOT / "blockd/native", headers, ignore=shutil.ignore_patterns("*.so", "*.c"))
    good, bad = BROKEN[what]
    changed = [path for path in headers.glob("*.h") if good in path.read_text(encoding="utf-8")]
    assert changed
    for path in changed:
        path.write_text(path.read_text(encoding="utf-8").replace(good, bad), encoding="utf-8")
    program = dns_driver.compile_driver(tmp_path, f"-I{headers}", "-O1", "-Wno-error", source=copied(tmp_path))
    with pytest.raises(AssertionError, match="exit -11"):
        dns_driver.run(program, "query", dns_driver.queries(50))


def copied(folder):
    """The driver, including the changed headers by their path: quotes look beside the source first."""
    source = folder / "native" / "dns_driver.c"
    source.write_text(dns_driver.SOURCE.read_text(encoding="utf-8"), encoding="utf-8")
    return source


def test_queries(driver):
    inputs = dns_driver.queries(6000)
    count, answered = dns_driver.run(driver, "query", inputs)
    assert count == len(inputs)
    assert answered > count // 2


def test_replies(driver):
    inputs = dns_driver.replies(6000)
    count, passed = dns_driver.run(driver, "reply", inputs)
    assert count == len(inputs)
    assert passed > 700


def test_heavy_replies(driver):
    """With the question that the driver asks: the pointers go astray, the sizes stay."""
    question = b"\3www\6tested\7example\0\0\xff\0\1"
    dns_driver.run(driver, "reply", [b"\7\7" + data[2:12] + question + data[33:] for data in HEAVY.values()])


def test_tables_of_state(driver):
    assert dns_driver.run(driver, "state", dns_driver.states(1500))[1] > 1000


FREE_OF_LIBC = """
#include "question.h"
#include "answer.h"
#include "table.h"
#include "cache_key.h"
typedef struct { unsigned char *p; unsigned long n; const table_view *t; const answer_settings *s; dns_question *q; table_hit *hits; unsigned *rcode; } job;
int probe(job *j);
int probe(job *j)
{
    if (question_walk(j->p, j->n, j->q) != RCODE_NOERROR || !table_lookup(j->t, &j->q->name, j->hits))
        return 0;
    return (int)answer_blocked(j->p, UDP_SIZE_MIN, j->q, j->s, ACTION_STOP_PAGE, EDE_BLOCKED, j->rcode);
}
"""


def test_the_hot_headers_need_nothing_but_memory_functions(tmp_path):
    """The same files are to compile for BPF: no allocation, no libc."""
    source = tmp_path / "probe.c"
    source.write_text(FREE_OF_LIBC)
    subprocess.run(
        ["gcc", *dns_driver.WARNINGS, "-O2", "-ffreestanding", "-fno-stack-protector", "-c", str(source), "-o", str(tmp_path / "probe.o")],
        check=True,
    )
    symbols = subprocess.run(["nm", "-u", str(tmp_path / "probe.o")], check=True, capture_output=True, text=True).stdout.split()
    assert set(symbols) - {"U"} <= {"memcpy", "memset", "memmove", "memcmp", "_GLOBAL_OFFSET_TABLE_"}


@pytest.mark.skipif(shutil.which("clang") is None, reason="no clang")
def test_the_hot_headers_compile_for_bpf(tmp_path):
    source = tmp_path / "probe.c"
    source.write_text(FREE_OF_LIBC)
    machine = subprocess.run(["gcc", "-print-multiarch"], check=True, capture_output=True, text=True).stdout.strip()
    flags = ("-target", "bpf", f"-D__{machine.partition('-')[0]}__", f"-I/usr/include/{machine}", f"-I{ROOT / 'blockd' / 'native'}")
    subprocess.run(["clang", *flags, "-std=c11", "-O2", "-c", str(source), "-o", str(tmp_path / "probe.o")], check=True)


@pytest.mark.skipif(shutil.which("clang") is None, reason="no clang")
def test_the_headers_compile_with_clang_without_a_warning(tmp_path):
    program = dns_driver.compile_driver(tmp_path, "-O2", compiler="clang")
    dns_driver.run(program, "query", dns_driver.queries(200))
    dns_driver.run(program, "reply", dns_driver.replies(200))
