"""What must be right before any role starts, so that a fault is one line and exit 1 and not a role that dies again and again.

- No other blockd runs these roles on the same directories: it would take the record and the counters away from this one, or this one from it.
- The table's key can be read, when there is one.
- What ``xdp = "native"`` or ``"generic"`` needs is there: the compiled program, libbpf, the capabilities.
- The program that runs the roles can be run by the user that blockd has become.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from blockd.control.hardening import capabilities_of_this_process
from blockd.control.roles import CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON
from blockd.errors import Corrupt, Unavailable
from blockd.kernel import driver
from blockd.kernel.store import NOT_BUILT, OBJECT
from blockd.table.store import KEY_FILE, load_key

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


NEEDED = {"CAP_BPF": CAP_BPF, "CAP_NET_ADMIN": CAP_NET_ADMIN, "CAP_PERFMON": CAP_PERFMON}


def lock_roles(runtime_dir: Path, roles: Iterable[str]) -> ExitStack:
    """Hold the roles' places for as long as the result is open; the kernel lets go of them however this process ends. Unavailable: taken."""
    with ExitStack() as held:
        for role in roles:
            path = runtime_dir / f"{role}.lock"
            try:
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                held.callback(os.close, fd)
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Unavailable(f"another blockd runs role {role} with {runtime_dir}: stop it first, or name other directories") from None
            except OSError as error:
                raise Unavailable(f"{path}: {error.strerror}: run blockd as root or as its own user") from None
        return held.pop_all()


def check_program(path: str) -> None:
    """Unavailable: the interpreter `path` is not there for us, as below a home directory that is closed to the user of blockd."""
    if not os.access(path, os.X_OK):
        raise Unavailable(f"{path} cannot be run by this user: install blockd where the user of [run] can read it")


def check_key(state_dir: Path) -> None:
    """Unavailable: the key is there and is none, or is not readable for us."""
    try:
        load_key(state_dir)
    except FileNotFoundError:
        return  # made by control at its first start
    except Corrupt as error:
        raise Unavailable(f"{state_dir}: {error}") from None
    except OSError as error:
        raise Unavailable(f"{state_dir / KEY_FILE}: {error.strerror}: give it to the user that blockd runs as") from None


def check_xdp(mode: str) -> None:
    """Unavailable: a part that XDP needs is not there. Not asked for ``auto``, which goes on without."""
    if mode not in {"native", "generic"}:
        return
    if not OBJECT.is_file():
        raise Unavailable(NOT_BUILT)
    driver.library()
    missing = [name for name, number in NEEDED.items() if not capabilities_of_this_process() >> number & 1]
    if missing:
        raise Unavailable(
            f'XDP lacks {", ".join(missing)}: start blockd as root or by systemd/blockd-xdp.service, or set [dns] xdp = "auto" or "off"'
        )
