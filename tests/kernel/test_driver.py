"""libbpf's edges: what a person reads when the kernel says no, and the kernel's own word about what is attached."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from blockd.errors import Unavailable
from blockd.kernel import driver
from blockd.kernel.forms import Settings
from blockd.kernel.plan import Plan
from blockd.kernel.store import PROGRAM, Attached, Loaded
from tests.system.netns import Cable, inside
from tests.system.xdp_gateway import need_bpf


def test_without_privileges_the_line_names_them():
    assert "CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON" in driver.refusal(errno.EPERM, [])
    assert "Linux 5.18" in driver.refusal(errno.EINVAL, ["libbpf: prog 'x': failed to load: -22"])


def test_a_machine_without_libbpf_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr(driver, "LIBRARY", "libbpf.so.none")
    monkeypatch.setattr(driver, "_library", None)
    with pytest.raises(Unavailable, match="apt-get install libbpf1"):
        driver.library()


def test_entries_queues_and_keys():
    need_bpf()
    fd = driver.make_units("test", 2, 64)
    try:
        driver.put(fd, (1).to_bytes(4, "little"), b"x" * 64)
        assert driver.get(fd, (1).to_bytes(4, "little"), 64) == b"x" * 64
        assert driver.get(fd, (9).to_bytes(4, "little"), 64) is None
        assert len(driver.keys(fd, 4)) == 2
    finally:
        os.close(fd)


def test_a_program_that_is_there_already_is_replaced_in_place_and_one_that_is_taken_off_shows():
    need_bpf()
    with Cable() as cable, inside(cable.server):
        index = socket.if_nametoindex("eth0")
        one, two = (Loaded(Settings(0, 0, 0, -1, 1, 0, (), bytes(6)), Plan()) for _ in range(2))
        old = Attached(one, index, "generic")
        assert old.proof(one)
        assert not old.proof(two)
        new = Attached(two, index, "generic")  # as a process that starts while the one before it is about to end
        assert new.proof(two)
        assert not old.proof(one)
        assert driver.program_name(driver.attached(index)) == PROGRAM
        old.close()
        assert new.proof(two)  # the old process's end takes nothing off
        new.close()
        assert driver.attached(index) == 0
        one.close()
        two.close()
