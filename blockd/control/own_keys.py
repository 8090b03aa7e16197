"""Whether the two keys of a state directory are as they should be: `table.key` and `node.pem`. One line for each fault, fit to be shown.

Nothing here stops anybody: what cannot be worked without ends the start (control/preflight.py). A key that is not there is made when it is needed.
"""

from __future__ import annotations

import os
import pwd
import stat
from typing import TYPE_CHECKING

from blockd.control.node_key import FILE as NODE_FILE
from blockd.errors import Corrupt, Refused
from blockd.feeds import keys
from blockd.table.store import KEY_FILE, load_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def faults(state_dir: Path) -> Iterator[str]:
    """What a person should mend, and how."""
    yield from _of(state_dir / KEY_FILE, lambda: load_key(state_dir))
    yield from _of(state_dir / NODE_FILE, lambda: keys.open_pem((state_dir / NODE_FILE).read_bytes(), None))


def _of(path: Path, load: Callable[[], object]) -> Iterator[str]:
    try:
        there, home = path.stat(), path.parent.stat()
        if stat.S_ISREG(there.st_mode):  # a FIFO would be waited for
            load()
    except FileNotFoundError:
        return
    except OSError as error:
        yield f"{path}: {os.strerror(error.errno or 0)}: give it to the user that blockd runs as"
        return
    except Corrupt as error:
        yield f"{path.parent}: {error}"
        return
    except Refused as error:
        yield f"{path}: {error}; restore it, or remove it and tell those who know the old key"
        return
    if not stat.S_ISREG(there.st_mode):
        yield f"{path}: is not a file"
    elif there.st_mode & 0o077:
        yield f"{path}: others can read it: chmod 600 {path}"
    elif there.st_uid != home.st_uid:
        yield f"{path}: belongs to {_name(there.st_uid)}, who does not own {path.parent}: chown {_name(home.st_uid)} {path}"


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
