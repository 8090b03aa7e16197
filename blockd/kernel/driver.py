"""libbpf by ctypes: open an object file, load its program, fill its maps, attach it, ask the kernel about it. The only file that knows libbpf.

``libbpf.so.1`` is Debian's package libbpf1. Only what is used is declared here; structures are the leading fields of libbpf's own, each with
its size in front, which is how libbpf itself stays compatible. Every function says what to do when it fails: :class:`Unavailable`, one line.

A file descriptor here is a plain int that the caller closes (:class:`Program` and :class:`Link` close theirs). The kernel keeps a program for
as long as it is attached, and a link detaches when its last descriptor is closed: when the process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import threading
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from blockd.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIBRARY: Final = "libbpf.so.1"
ATTACH_XDP: Final = 37  # enum bpf_attach_type, linux/bpf.h
LINK_XDP: Final = 6  # enum bpf_link_type
FLAGS: Final = {"generic": 1 << 1, "native": 1 << 2}  # XDP_FLAGS_SKB_MODE, XDP_FLAGS_DRV_MODE, linux/if_link.h
MAP_ARRAY: Final = 2
MAP_MMAPABLE: Final = 1 << 10
MAP_INNER: Final = 1 << 12
SAID_MAX_LINES: Final = 4000
SAID_MAX_OCTETS: Final = 4 << 20  # of one message: the verifier's log is one
NAME_MAX_OCTETS: Final = 15

_PRINT = ctypes.CFUNCTYPE(c_int, c_int, c_char_p, c_void_p)


class _MapOptions(ctypes.Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("btf_fd", c_uint32),
        ("btf_key", c_uint32),
        ("btf_value", c_uint32),
        ("btf_vmlinux", c_uint32),
        ("inner_map_fd", c_uint32),
        ("map_flags", c_uint32),
    ]


class _LinkOptions(ctypes.Structure):
    _fields_ = [("sz", c_size_t), ("flags", c_uint32), ("zero", c_uint32)]


class _LinkInfo(ctypes.Structure):
    _fields_ = [
        ("type", c_uint32),
        ("id", c_uint32),
        ("prog_id", c_uint32),
        ("zero", c_uint32),
        ("ifindex", c_uint32),
        ("rest", c_uint8 * 108),
    ]


class _ProgramInfo(ctypes.Structure):
    _fields_ = [
        ("type", c_uint32),
        ("id", c_uint32),
        ("tag", c_uint8 * 8),
        ("jited_bytes", c_uint32),
        ("translated_bytes", c_uint32),
        ("jited", c_uint64),
        ("translated", c_uint64),
        ("load_time", c_uint64),
        ("created_by", c_uint32),
        ("n_maps", c_uint32),
        ("maps", c_uint64),
        ("name", ctypes.c_char * 16),
        ("rest", c_uint8 * 152),
    ]


class _TestRun(ctypes.Structure):
    _fields_ = [
        ("sz", c_size_t),
        ("data_in", c_void_p),
        ("data_out", c_void_p),
        ("data_size_in", c_uint32),
        ("data_size_out", c_uint32),
        ("ctx_in", c_void_p),
        ("ctx_out", c_void_p),
        ("ctx_size_in", c_uint32),
        ("ctx_size_out", c_uint32),
        ("retval", c_uint32),
        ("repeat", c_int),
        ("duration", c_uint32),
        ("flags", c_uint32),
        ("cpu", c_uint32),
        ("batch_size", c_uint32),
    ]


class _Library:
    """The shared library, loaded once; what it says is kept for the one who asked."""

    def __init__(self) -> None:
        try:
            self.lib = ctypes.CDLL(LIBRARY, use_errno=True)
        except OSError:
            raise Unavailable(f'XDP needs {LIBRARY}: apt-get install libbpf1, or set [dns] xdp = "off"') from None
        self.said: list[str] = []
        self.lock = threading.Lock()
        vsnprintf = ctypes.CDLL(None).vsnprintf
        vsnprintf.argtypes = [c_void_p, c_size_t, c_char_p, c_void_p]

        buffer = ctypes.create_string_buffer(SAID_MAX_OCTETS)

        def hear(_level: int, form: bytes, arguments: int) -> int:
            vsnprintf(buffer, SAID_MAX_OCTETS, form, arguments)
            if len(self.said) < SAID_MAX_LINES:
                self.said.append(buffer.value.decode("utf-8", "replace").rstrip())
            return 0

        self._hear = _PRINT(hear)
        self.lib.libbpf_set_print(self._hear)
        for name in (
            "bpf_object__open_file",
            "bpf_object__find_map_by_name",
            "bpf_object__find_program_by_name",
            "bpf_object__next_map",
            "bpf_map__name",
        ):
            getattr(self.lib, name).restype = c_void_p
        self.lib.bpf_map__name.restype = c_char_p


_library: _Library | None = None


def library() -> _Library:
    """The library. Unavailable when the machine does not have it."""
    global _library  # noqa: PLW0603 -- a shared library is one for the process
    if _library is None:
        _library = _Library()
    return _library


def _call(name: str, *arguments: Any) -> int:
    """Call a function that returns a number, negative for an error. OSError."""
    result = int(getattr(library().lib, name)(*arguments))
    if result < 0:
        number = ctypes.get_errno() or -result
        raise OSError(number, os.strerror(number))
    return result


def cpus() -> int:
    """How many CPUs this kernel could ever have: a map that has a part for each needs as many."""
    return _call("libbpf_num_possible_cpus")


@dataclass(frozen=True, slots=True)
class Ran:
    """What a program did with a packet."""

    verdict: int  # XDP_ABORTED 0, DROP 1, PASS 2, TX 3
    packet: bytes
    duration_ns: int  # for one run, the average of all


class Program:
    """One loaded program and its maps. Close it; the kernel keeps what is attached."""

    def __init__(self, path: Path, name: str, *, settings: dict[str, bytes], sizes: dict[str, int]) -> None:
        """`settings`: read-only section -> its octets; `sizes`: map -> its entries, where the file does not say them.

        Unavailable: the file is missing or old, the kernel does not take the program, or this process may not load one.
        """
        own = library()
        with own.lock:
            own.said.clear()
            self._object = c_void_p(own.lib.bpf_object__open_file(str(path).encode(), None))
            if not self._object.value:
                raise Unavailable(f"{path.name} is missing or damaged: install clang and build blockd again, or use blockd's package")
            try:
                self._prepare(settings, sizes)
                self._load(name)
            except BaseException:
                own.lib.bpf_object__close(self._object)
                raise

    def _prepare(self, settings: dict[str, bytes], sizes: dict[str, int]) -> None:
        try:
            for name, octets in settings.items():
                section = self._section(name)
                _call("bpf_map__set_initial_value", section, octets, c_size_t(len(octets)))
            for name, entries in sizes.items():
                _call("bpf_map__set_max_entries", self._map(name), c_uint32(entries))
        except OSError as error:
            raise Unavailable(f"the XDP program is not of this version of blockd ({error.strerror}): build blockd again") from None

    def _load(self, name: str) -> None:
        own = library()
        try:
            _call("bpf_object__load", self._object)
        except OSError as error:
            raise Unavailable(refusal(error.errno or 0, own.said)) from None
        self.fd = _call("bpf_program__fd", c_void_p(own.lib.bpf_object__find_program_by_name(self._object, name.encode())))
        info = _ProgramInfo()
        _info(self.fd, info)
        self.id = int(info.id)

    def _section(self, name: str) -> c_void_p:
        """The map behind a section: libbpf cuts its name to what the kernel takes."""
        own, at = library().lib, c_void_p(None)
        while (at := c_void_p(own.bpf_object__next_map(self._object, at))).value:
            if own.bpf_map__name(at).decode() in {name, name[:NAME_MAX_OCTETS]}:
                return at
        raise OSError(errno.ENOENT, f"no section {name}")

    def _map(self, name: str) -> c_void_p:
        found = c_void_p(library().lib.bpf_object__find_map_by_name(self._object, name.encode()))
        if not found.value:
            raise OSError(errno.ENOENT, f"no map {name}")
        return found

    def map(self, name: str) -> int:
        """The descriptor of a map. It is the program's: not to be closed."""
        return _call("bpf_map__fd", self._map(name))

    def run(self, packet: bytes, repeat: int = 1) -> Ran:
        """Run the program over a packet, as the kernel would (BPF_PROG_TEST_RUN). For tests and benchmarks. OSError."""
        data = ctypes.create_string_buffer(packet, len(packet))
        out = ctypes.create_string_buffer(4096)
        options = _TestRun(
            sz=ctypes.sizeof(_TestRun),
            data_in=ctypes.addressof(data),
            data_out=ctypes.addressof(out),
            data_size_in=len(packet),
            data_size_out=len(out),
            repeat=repeat,
        )
        _call("bpf_prog_test_run_opts", c_int(self.fd), byref(options))
        return Ran(options.retval, out.raw[: options.data_size_out], options.duration)

    def close(self) -> None:
        """Give it back. Idempotent."""
        if self._object.value:
            library().lib.bpf_object__close(self._object)
            self._object = c_void_p(None)


def refusal(number: int, said: list[str]) -> str:
    """Why the kernel did not take a program, in a line."""
    if number in {errno.EPERM, errno.EACCES} and not any("BEGIN PROG LOAD LOG" in line for line in said):
        return (
            'XDP needs the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON (systemd/blockd-xdp.service has them), or [dns] xdp = "off"'
        )
    why = next((line for line in reversed(said) if "libbpf: " in line and "failed" in line), os.strerror(number) if number else "unknown")
    return f'this kernel does not take the XDP program ({why[:200]}): it needs Linux 5.18 or newer, or [dns] xdp = "off"'


class Link:
    """A program on an interface. The kernel takes it off when the descriptor is closed."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def attach(cls, program: Program, ifindex: int, mode: str) -> Link:
        """`mode`: native or generic. OSError: EOPNOTSUPP or EINVAL where the driver has no such mode, EBUSY where another program is."""
        options = _LinkOptions(sz=ctypes.sizeof(_LinkOptions), flags=FLAGS[mode])
        return cls(_call("bpf_link_create", c_int(program.fd), c_int(ifindex), c_int(ATTACH_XDP), byref(options)))

    def update(self, program: Program) -> None:
        """Put another program in the place of the one there, between two packets. OSError."""
        _call("bpf_link_update", c_int(self.fd), c_int(program.fd), None)

    def facts(self) -> tuple[int, int]:
        """(program, interface) by their numbers, as the kernel says now; the interface is 0 when it is gone. OSError."""
        info = _LinkInfo()
        _info(self.fd, info)
        return int(info.prog_id), int(info.ifindex)

    def close(self) -> None:
        """Take the program off. Idempotent."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def attached(ifindex: int) -> int:
    """The number of the XDP program that the interface has now, 0 for none: the kernel's own word. OSError."""
    found = c_uint32(0)
    _call("bpf_xdp_query_id", c_int(ifindex), c_int(0), byref(found))
    return int(found.value)


def program_name(number: int) -> str:
    """The name of a program by its number; empty when it is gone."""
    try:
        fd = _call("bpf_prog_get_fd_by_id", c_uint32(number))
    except OSError:
        return ""
    try:
        info = _ProgramInfo()
        _info(fd, info)
        return bytes(info.name).decode("ascii", "replace")
    finally:
        os.close(fd)


def link_of(ifindex: int, program: int) -> Link | None:
    """The link that holds `program` on that interface, ours or another process's; None when there is none."""
    number = c_uint32(0)
    with contextlib.suppress(OSError):
        while True:
            _call("bpf_link_get_next_id", number, byref(number))
            try:
                link = Link(_call("bpf_link_get_fd_by_id", number))
            except OSError:
                continue
            if link.facts() == (program, ifindex):
                return link
            link.close()
    return None


def _info(fd: int, info: ctypes.Structure) -> None:
    size = c_uint32(ctypes.sizeof(info))
    _call("bpf_obj_get_info_by_fd", c_int(fd), byref(info), byref(size))


# Maps


def make_units(name: str, units: int, unit_bytes: int) -> int:
    """A map of `units` that can be mapped into memory and put into an array of maps. The descriptor. OSError: ENOMEM and the like."""
    options = _MapOptions(sz=ctypes.sizeof(_MapOptions), map_flags=MAP_MMAPABLE | MAP_INNER)
    arguments = (c_uint32(MAP_ARRAY), name.encode(), c_uint32(4), c_uint32(unit_bytes), c_uint32(units), byref(options))
    return _call("bpf_map_create", *arguments)


def put(fd: int, key: bytes, value: bytes) -> None:
    """Set an entry. OSError: E2BIG where the map is full."""
    _call("bpf_map_update_elem", c_int(fd), key, value, c_uint64(0))


def get(fd: int, key: bytes, value_bytes: int) -> bytes | None:
    """Read an entry; None when there is none."""
    value = ctypes.create_string_buffer(value_bytes)
    return _absent(lambda: _call("bpf_map_lookup_elem", c_int(fd), key, value), value)


def remove(fd: int, key: bytes) -> None:
    """Delete an entry that may be there."""
    with contextlib.suppress(FileNotFoundError):
        _call("bpf_map_delete_elem", c_int(fd), key)


def take(fd: int, value_bytes: int) -> bytes | None:
    """Take the oldest value out of a queue; None when it is empty."""
    value = ctypes.create_string_buffer(value_bytes)
    return _absent(lambda: _call("bpf_map_lookup_and_delete_elem", c_int(fd), None, value), value)


def keys(fd: int, key_bytes: int) -> list[bytes]:
    """Every key of a map."""
    found: list[bytes] = []
    key: bytes | None = None
    while True:
        following = ctypes.create_string_buffer(key_bytes)
        try:
            _call("bpf_map_get_next_key", c_int(fd), key, following)
        except FileNotFoundError:
            return found
        key = following.raw
        found.append(key)


def _absent(ask: Callable[[], int], value: ctypes.Array[ctypes.c_char]) -> bytes | None:
    try:
        ask()
    except FileNotFoundError:
        return None
    return value.raw
