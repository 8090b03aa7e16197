"""The XDP program at work: loaded for one configuration, given one policy after another, counted.

A :class:`Loaded` is one program with its maps. Its configuration never changes; a new one is a new program, to which :meth:`Attached.replace`
changes the link over. The policy does: :meth:`Loaded.take` fills a new map through a mapping and puts it in place with one store. The old map is
freed by the kernel when the last packet that looks at it is done.

Counters are an array that this process has mapped: each CPU's own part. :meth:`Loaded.counted` gives what came since the last time.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Final

from blockd.errors import Unavailable
from blockd.kernel import driver
from blockd.kernel.forms import ASKED_MAX, COMBINATION_BYTES, HEADER_BYTES, UNIT_BYTES, pack_verdict, pack_verdicts, policy_layout
from blockd.kernel.plan import MODES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from blockd.kernel.forms import NativeVerdict, Settings
    from blockd.kernel.plan import Plan

OBJECT: Final = Path(__file__).resolve().parent.parent / "native" / "xdp_dns.bpf.o"
NOT_BUILT: Final = f'{OBJECT.name} was not built: install clang and build blockd again (or use its package), or set [dns] xdp = "off"'
PROGRAM: Final = "blockd_xdp"
CELL_BYTES: Final = 8
ALLOWED: Final = struct.pack("=I", 1)
FIRST: Final = struct.pack("=I", 0)


class Loaded:
    """A program for one configuration, with the maps that are its own."""

    def __init__(self, settings: Settings, plan: Plan, path: Path = OBJECT) -> None:
        """Unavailable: no program file, no libbpf, no privilege, or a kernel that does not take it."""
        if not path.is_file():
            raise Unavailable(NOT_BUILT)
        self._cells = settings.cells
        self._cpus = driver.cpus()
        sizes = {"cells": self._cpus * settings.cells}
        self.program = driver.Program(path, PROGRAM, settings={".rodata.settings": settings.pack()}, sizes=sizes)
        try:
            self._fill(plan)
            counters = driver_mapping(self.program.map("cells"), self._cpus * settings.cells * CELL_BYTES, write=False)
        except OSError as error:
            self.program.close()
            raise Unavailable(f"the XDP program's maps cannot be filled: {error.strerror}") from None
        self._counters = counters
        self._words = memoryview(counters).cast("Q")
        self._seen: dict[int, int] = {}
        self._used: set[int] = set()

    def _fill(self, plan: Plan) -> None:
        services, allowed4, allowed6 = (self.program.map(name) for name in ("services", "allowed4", "allowed6"))
        for service in plan.services:
            driver.put(services, service.key(), service.value())
        for fd, prefixes in ((allowed4, plan.allowed4), (allowed6, plan.allowed6)):
            for key in prefixes:
                driver.put(fd, key, ALLOWED)

    def use(self, policy: Policy) -> None:
        """Answer from this policy, from the next packet on. OSError."""
        driver.put(self.program.map("policies"), FIRST, struct.pack("=I", policy.fd))

    def use_none(self) -> None:
        """Let everything pass."""
        driver.remove(self.program.map("policies"), FIRST)

    def asked(self) -> list[bytes]:
        """The combinations of entries that the program met and does not know, at most ASKED_MAX of them."""
        fd = self.program.map("asked")
        found: list[bytes] = []
        while len(found) < ASKED_MAX and (one := driver.take(fd, COMBINATION_BYTES)) is not None:
            found.append(one)
        return found

    def teach(self, combination: bytes, verdict: NativeVerdict) -> bool:
        """Answer a combination from now on. False: there is no room for more."""
        try:
            driver.put(self.program.map("combinations"), combination, pack_verdict(verdict))
        except OSError as error:
            if error.errno == errno.E2BIG:
                return False
            raise
        return True

    def forget(self, combinations: Iterable[bytes]) -> None:
        """Make room: these belong to a policy that is gone."""
        fd = self.program.map("combinations")
        for key in combinations:
            driver.remove(fd, key)

    def watch(self, cells: Iterable[int]) -> None:
        """Cells that the program may count in, beside those that were named before."""
        self._used.update(cells)

    def counted(self) -> Mapping[int, int]:
        """What came since the last call, by cell; those without are left out."""
        found = {}
        for cell in self._used:
            total = sum(self._words[cpu * self._cells + cell] for cpu in range(self._cpus))
            more = total - self._seen.get(cell, 0)
            if more:
                self._seen[cell] = total
                found[cell] = more
        return found

    def close(self) -> None:
        """Give it back; what is attached stays until its link is closed."""
        self._words.release()
        self._counters.close()
        self.program.close()


class Policy:
    """A table with its verdicts, laid down for the program. Any number of :class:`Loaded` may use it."""

    def __init__(
        self,
        table: memoryview,
        key: bytes,
        verdicts: tuple[Sequence[NativeVerdict], bytes],
        epoch: int,
        *,
        ttl_s: int,
        udp_max: int,
        addresses: tuple[Sequence[bytes], Sequence[bytes]],
    ) -> None:
        """`verdicts`: (verdicts, index), as ``Core.swap`` takes them. Takes as long as copying the table. Unavailable: no memory."""
        self.epoch = epoch
        try:
            layout = policy_layout(
                bytes(table[:HEADER_BYTES]), key, epoch, ttl_s=ttl_s, udp_max=udp_max, addresses4=addresses[0], addresses6=addresses[1]
            )
            self.fd = driver.make_units("blockd_policy", layout.units, UNIT_BYTES)
        except (OSError, ValueError) as error:
            raise Unavailable(f"no room for the table in the kernel: {error}") from None
        try:
            with driver_mapping(self.fd, layout.units * UNIT_BYTES, write=True) as memory:
                memory[: len(layout.head)] = layout.head
                at, length = layout.buckets * UNIT_BYTES, layout.n_buckets * UNIT_BYTES
                memory[at : at + length] = table[HEADER_BYTES : HEADER_BYTES + length]
                packed = pack_verdicts(*verdicts)
                at = layout.verdicts * UNIT_BYTES
                memory[at : at + len(packed)] = packed
        except OSError as error:
            self.close()
            raise Unavailable(f"the table cannot be laid down for XDP: {error.strerror}") from None

    def close(self) -> None:
        """Let go; the kernel keeps it for a program that uses it. Idempotent."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def driver_mapping(fd: int, octets: int, *, write: bool) -> mmap.mmap:
    """A map of the kernel in our memory; its length is whole pages. OSError."""
    whole = (octets + mmap.PAGESIZE - 1) // mmap.PAGESIZE * mmap.PAGESIZE
    return mmap.mmap(fd, whole, prot=mmap.PROT_READ | (mmap.PROT_WRITE if write else 0))


class Attached:
    """A program on an interface."""

    def __init__(self, loaded: Loaded, ifindex: int, want: str) -> None:
        """`want`: ``[dns] xdp``, not off. Unavailable: no mode of it works there, or another program is attached."""
        self.ifindex = ifindex
        self.mode, self._link = _attach(loaded, ifindex, want)

    def replace(self, loaded: Loaded) -> None:
        """Change to another program between two packets. Unavailable."""
        try:
            self._link.update(loaded.program)
        except OSError as error:
            raise Unavailable(f"the XDP program cannot be replaced: {error.strerror}") from None

    def proof(self, loaded: Loaded) -> bool:
        """Whether the kernel says that this program runs on this interface: the link's word and the interface's."""
        try:
            return self._link.facts() == (loaded.program.id, self.ifindex) and driver.attached(self.ifindex) == loaded.program.id
        except OSError:
            return False

    def close(self) -> None:
        """Take it off."""
        self._link.close()


def _attach(loaded: Loaded, ifindex: int, want: str) -> tuple[str, driver.Link]:
    why = "no such mode"
    for mode in MODES[want]:
        try:
            return mode, driver.Link.attach(loaded.program, ifindex, mode)
        except OSError as error:
            why = f"{mode}: {error.strerror}"
            if error.errno == errno.EBUSY:
                return _take_over(loaded, ifindex, mode)
            if error.errno in {errno.EPERM, errno.EACCES}:
                raise Unavailable(driver.refusal(error.errno, [])) from None
    raise Unavailable(f'XDP cannot be attached ({why}): set [dns] xdp = "generic" or "off"')


def _take_over(loaded: Loaded, ifindex: int, mode: str) -> tuple[str, driver.Link]:
    """A program is there. When it is blockd's own, of a process that is about to end, its link becomes ours, in one step."""
    try:
        there = driver.attached(ifindex)
        link = driver.link_of(ifindex, there) if driver.program_name(there) == PROGRAM else None
        if link is not None:
            link.update(loaded.program)
            return mode, link
    except OSError as error:
        raise Unavailable(f"the XDP program of another blockd cannot be replaced: {error.strerror}") from None
    raise Unavailable('another XDP program is on the interface: take it off (ip link set DEV xdp off), or set [dns] xdp = "off"')
