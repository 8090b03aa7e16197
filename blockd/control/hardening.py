"""What every process of blockd does before it touches anything of a client: no core dumps, no debugger, no privileges that it does not need."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import resource
import signal
import stat
import struct
from typing import TYPE_CHECKING

from blockd.errors import Misconfigured, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, PR_CAP_AMBIENT_LOWER = 47, 2, 3
CAPABILITY_VERSION_3 = 0x20080522

OURS = frozenset({
    "feeds", "generations", "lists", "held", "audit", "counts", "control", "current", "table.key", "node.pem", "roles.sock", "admin.sock", "lost+found",
})  # fmt: skip
"""What blockd keeps in its two directories: a folder that holds anything else is not taken over."""


def no_dumps() -> None:
    """No core file of this process can hold a client's query (prctl(2), setrlimit(2))."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(PR_SET_DUMPABLE, 0)


def end_with_parent(parent: int) -> None:
    """Be told to end when the supervisor ends, however it ends."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        raise Unavailable("the supervisor has ended before this role began")


def _prctl(option: int, value: int, other: int = 0) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, other, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl failed")


def _capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set this thread's capabilities (capset(2)); each is a set as bits."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("=Ii", CAPABILITY_VERSION_3, 0)
    halves = [struct.pack("=III", *(bits >> shift & 0xFFFFFFFF for bits in (effective, permitted, inheritable))) for shift in (0, 32)]
    if libc.capset(header, b"".join(halves)) != 0:
        raise OSError(ctypes.get_errno(), "capset failed")


def capabilities_of_this_process() -> int:
    """What it may do, or may pass on to a role: the permitted set, as bits. 0 where /proc does not say."""
    with contextlib.suppress(OSError, ValueError), open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123 -- no path of ours
        return next((int(line.split()[1], 16) for line in file if line.startswith("CapPrm:")), 0)
    return 0


def pass_on(capabilities: frozenset[int], ours: frozenset[int]) -> None:
    """In a role's process, before its program begins: give it `capabilities`, and none of `ours` that are not among them.

    An ambient capability is what survives the start of a program without being root (capabilities(7)). One that we do not have ourselves is left
    out: the role says what it lacks.
    """
    for capability in ours:
        with contextlib.suppress(OSError):
            _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE if capability in capabilities else PR_CAP_AMBIENT_LOWER, capability)


def raise_file_limit() -> None:
    """As many descriptors as the hard limit allows: an upstream query is a socket."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard != resource.RLIM_INFINITY else 65536, hard))


def prepare_folders(folders: Iterable[Path], user: str) -> None:
    """Make the state and runtime directories; as root, give them and what is in them to the user that blockd will run as.

    Unavailable: one cannot be made or written, or is of somebody else and holds other things than blockd's (``runtime_dir = "/run"``).
    """
    account = _account(user) if user else None
    for folder in folders:
        try:
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)
            if account and os.geteuid() == 0:
                _give(folder, account)
        except OSError as error:
            raise Unavailable(f"{folder}: {error.strerror}; make it, and let the user of blockd write there") from None
        if not os.access(folder, os.W_OK | os.X_OK) and not account:
            raise Unavailable(f"{folder} is not writable for this user")


def _give(folder: Path, account: pwd.struct_passwd) -> None:
    """Walked by descriptors, links not followed: whoever may write there could put a link to another file in our way."""
    if folder.stat().st_uid != account.pw_uid and not all(map(_is_ours, os.listdir(folder))):  # noqa: PTH208 -- names, not paths
        raise Unavailable(
            f"{folder} holds other things than blockd's, and is not {account.pw_name}'s: name a folder of blockd's own, or chown it yourself"
        )
    for _, folders, files, fd in os.fwalk(folder.resolve()):
        if os.fstat(fd).st_uid != account.pw_uid:
            os.fchown(fd, account.pw_uid, account.pw_gid)
        for name in (*folders, *files):
            there = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if there.st_uid != account.pw_uid and (there.st_nlink == 1 or not stat.S_ISREG(there.st_mode)):
                os.chown(name, account.pw_uid, account.pw_gid, dir_fd=fd, follow_symlinks=False)


def _is_ours(name: str) -> bool:
    return name in OURS or name.startswith(".") or name.endswith(".lock")


def drop_to(user: str, keep: frozenset[int] = frozenset()) -> None:
    """Become `user` for good. Nothing to do for "" or when we are it already.

    `keep`: capabilities that stay ours to pass on to a role (:func:`pass_on`), without effect in this process.
    """
    if not user:
        return
    account = _account(user)
    if os.geteuid() == account.pw_uid:
        return
    if os.geteuid() != 0:
        raise Unavailable(f"only root can become {user}: start blockd as root, or as {user} with CAP_NET_BIND_SERVICE")
    os.initgroups(user, account.pw_gid)
    os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
    held = sum(1 << capability for capability in keep) & capabilities_of_this_process()
    if held:
        _prctl(PR_SET_KEEPCAPS, 1)
    os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
    if held:
        _capset(0, held, held)
        _prctl(PR_SET_DUMPABLE, 0)


def _account(user: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(user)
    except KeyError:
        raise Misconfigured(
            f"[run] user: there is no user {user} on this machine; systemd-sysusers with systemd/blockd.sysusers makes it"
        ) from None
