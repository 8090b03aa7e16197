"""The forms in which user space tells the XDP program things: blockd/native/xdp_policy.h, in Python. A test compiles that header and compares.

All integers are in the machine's order, ports and addresses in network order. Nothing is decided here but what does not fit: a verdict that would
count more cells than its form has room for is marked unsure, and the program leaves such a name to user space.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

UNIT_BYTES: Final = 64
ADDRESSES_MAX: Final = 4
PROBES_MAX: Final = 32
HITS_MAX: Final = 6
PORTS_MAX: Final = 4
SERVICES_MAX: Final = 1024
PREFIXES_MAX: Final = 1024
COMBINATIONS_MAX: Final = 4096
ASKED_MAX: Final = 256
FOREIGN: Final = 1

SHADOWS_MAX: Final = 2
VERDICT_BYTES: Final = 16
HEADER_BYTES: Final = 4096  # of a table's file

_POLICY = struct.Struct("=16sQIIIIIIIHBBQ")
_TABLE = struct.Struct("<8sIIQQQQQQQQQII48s")  # table_header of table.h
_VERDICT = struct.Struct("=IIIhBB")
_COMBINATION = struct.Struct(f"=II{HITS_MAX}I")
_SERVICE = struct.Struct("=16s2sHHBx")
_SETTINGS = struct.Struct(f"=6I{2 * PORTS_MAX}s6s2x")

COMBINATION_BYTES: Final = _COMBINATION.size
FIXED_UNITS: Final = 4

NativeVerdict = tuple[int, int, int, tuple[int, ...]]
"""(action, EDE or -1, hit cell or -1, shadow cells): :data:`blockd.policy.verdict.NativeVerdict`."""


@dataclass(frozen=True, slots=True)
class Service:
    """A place where queries are answered: packed address, port, VLAN identifiers (outer first, 0: none)."""

    address: bytes
    port: int
    vlans: tuple[int, int] = (0, 0)
    foreign: bool = False  # another program's

    def key(self) -> bytes:
        """Its key in the map."""
        family = 6 if len(self.address) == 16 else 4
        return _SERVICE.pack(self.address, self.port.to_bytes(2, "big"), *self.vlans, family)

    def value(self) -> bytes:
        """What the map says of it."""
        return struct.pack("=I", FOREIGN if self.foreign else 0)


@dataclass(frozen=True, slots=True)
class Settings:
    """What is fixed when a program is loaded. Cells are those of a slab; `rate_limit_cell` -1: not counted."""

    requests: int
    responses: int
    durations: int
    rate_limit_cell: int
    cells: int
    rate: int
    ports: tuple[int, ...]
    mac: bytes

    def pack(self) -> bytes:
        """The section ``.rodata.settings``. ValueError: more ports than there is room for."""
        if len(self.ports) > PORTS_MAX:
            raise ValueError(f"more than {PORTS_MAX} ports")
        ports = b"".join(port.to_bytes(2, "big") for port in self.ports)
        return _SETTINGS.pack(
            self.requests, self.responses, self.durations, self.rate_limit_cell + 1, self.cells, self.rate, ports, self.mac
        )


def prefix(packed: bytes, bits: int) -> bytes:
    """The key of a network in ``allowed4`` or ``allowed6``."""
    return struct.pack("=I", bits) + packed


def pack_verdict(verdict: NativeVerdict) -> bytes:
    """One verdict."""
    action, ede, hit, shadow = verdict
    cells = [cell + 1 for cell in shadow[:SHADOWS_MAX]]
    cells += [0] * (SHADOWS_MAX - len(cells))
    return _VERDICT.pack(hit + 1, *cells, ede, action, len(shadow) > SHADOWS_MAX)


UNSURE: Final = _VERDICT.pack(0, 0, 0, -1, 0, 1)


def pack_combination(epoch: int, hits: Sequence[tuple[int, bool]]) -> bytes:
    """The key of a combination of entries, shallowest first. ValueError: too many."""
    if len(hits) > HITS_MAX:
        raise ValueError(f"more than {HITS_MAX} entries")
    numbers = [number * 2 + full for number, full in hits]
    return _COMBINATION.pack(epoch, len(hits), *numbers, *[0] * (HITS_MAX - len(hits)))


def read_combination(octets: bytes) -> tuple[int, tuple[tuple[int, bool], ...]]:
    """(epoch, hits) of what the program asks about. ValueError: not such a thing."""
    epoch, n, *hits = _COMBINATION.unpack(octets)
    if n > HITS_MAX:
        raise ValueError("more hits than a combination has")
    return epoch, tuple((hit >> 1, bool(hit & 1)) for hit in hits[:n])


@dataclass(frozen=True, slots=True)
class Layout:
    """Where what stands in a policy's map, in units."""

    buckets: int
    n_buckets: int
    verdicts: int
    units: int
    head: bytes  # the first units


def policy_layout(
    header: bytes, key: bytes, epoch: int, *, ttl_s: int, udp_max: int, addresses4: Sequence[bytes], addresses6: Sequence[bytes]
) -> Layout:
    """Plan the map of a policy. `header`: the table file's first octets. ValueError: not one that fits a map.

    Of more stop-page addresses than ADDRESSES_MAX the number alone is told, and the program leaves that family to user space.
    """
    fields = _TABLE.unpack_from(header)
    n_home, n_buckets, n_sets, probe_max, depths = fields[4], fields[5], fields[7], fields[12], fields[14]
    if fields[0] != b"BLKDTBL1" or n_home >= 1 << 31 or n_buckets >= 1 << 31:
        raise ValueError("a table that does not fit the XDP program's map")
    verdicts = FIXED_UNITS + n_buckets
    units = verdicts + (2 * n_sets * VERDICT_BYTES + UNIT_BYTES - 1) // UNIT_BYTES
    numbers = (n_home, n_buckets, probe_max, FIXED_UNITS, verdicts, n_sets, ttl_s, epoch)
    policy = _POLICY.pack(key, *numbers, udp_max, min(len(addresses4), 255), min(len(addresses6), 255), 0)
    four = b"".join(addresses4[:ADDRESSES_MAX]).ljust(UNIT_BYTES, b"\0")
    six = b"".join(addresses6[:ADDRESSES_MAX]).ljust(UNIT_BYTES, b"\0")
    head = policy + depths.ljust(UNIT_BYTES, b"\0") + four + six
    return Layout(FIXED_UNITS, n_buckets, verdicts, max(units, FIXED_UNITS + 1), head)


def pack_verdicts(verdicts: Sequence[NativeVerdict], index: bytes) -> bytes:
    """The verdicts at [set * 2 + is the whole name]. `index`: as ``Core.swap`` takes it; a number that is no verdict is unsure."""
    packed = [pack_verdict(verdict) for verdict in verdicts]
    return b"".join(packed[number] if number < len(packed) else UNSURE for number in array("I", index))
