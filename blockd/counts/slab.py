"""A slab: the counter cells of one worker, as an object over memory that someone else provides.

The memory is :data:`~blockd.counts.layout.CELLS` unsigned 64-bit words in the machine's order. In the daemon it is a file that the
worker and the control process both map (:mod:`blockd.counts.store`); in a test it is plain memory. Rules:

- only the owning worker writes, from Python or through :attr:`Slab.buffer` from the native core; a word only grows;
- a reader copies words while they grow. Each word is aligned and eight octets, so no copy is torn; words may be a few events apart.

A slab's file is named ``ROLE.INSTANCE.TOKEN.slab``. The token is new for each start of a worker, so that a worker that starts again
never meets the file that it left behind.
"""

from __future__ import annotations

import contextlib
import re
from array import array
from typing import TYPE_CHECKING, Final

from blockd.counts.layout import CELLS

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

CELL_BYTES: Final = 8
SLAB_BYTES: Final = CELLS * CELL_BYTES
SUFFIX: Final = ".slab"

_MASK: Final = (1 << 64) - 1
_NAME = re.compile(r"([a-z][a-z0-9_-]{0,31})\.([a-z0-9_-]{1,32})\.([0-9a-f]{16})\.slab").fullmatch


class Slab:
    """Counter cells over `memory`: writable, :data:`SLAB_BYTES` octets. `on_close` gives the memory back."""

    __slots__ = ("_on_close", "buffer")

    buffer: memoryview
    """The cells as writable words, for the native core. Invalid after :meth:`close`."""

    def __init__(self, memory: Buffer, on_close: Callable[[], None] | None = None) -> None:
        view = memoryview(memory)
        if view.nbytes != SLAB_BYTES or view.readonly:
            raise ValueError(f"a slab is {SLAB_BYTES} writable octets")
        self.buffer = view.cast("B").cast("Q")
        self._on_close = on_close

    @classmethod
    def in_memory(cls) -> Slab:
        """A slab that no other process sees: for tests and tools."""
        return cls(bytearray(SLAB_BYTES))

    def add(self, cell: int, n: int = 1) -> None:
        """Count `n` more events in `cell`. Wraps at 2^64. ValueError for a negative `n`, IndexError for no such cell."""
        if n < 0:
            raise ValueError("a counter only grows")
        if not 0 <= cell < CELLS:
            raise IndexError("no such cell")
        self.buffer[cell] = (self.buffer[cell] + n) & _MASK

    def read(self) -> array[int]:
        """All cells, copied."""
        copied = array("Q")
        copied.frombytes(self.buffer.tobytes())
        return copied

    def close(self) -> None:
        """Let go of the memory, and of the file's lock. Idempotent.

        While the native core still holds the buffer nothing happens: the end of the process does it then.
        """
        with contextlib.suppress(BufferError):
            self.buffer.release()
            if self._on_close is not None:
                self._on_close()
                self._on_close = None


def file_name(role: str, instance: str, token: str) -> str:
    """The name of a slab's file. `token`: 16 hex digits, new for each start. ValueError for parts that do not fit."""
    name = f"{role}.{instance}.{token}{SUFFIX}"
    if _NAME(name) is None:
        raise ValueError("a slab's file is named ROLE.INSTANCE.TOKEN.slab")
    return name


def role_of(name: str) -> str | None:
    """The role that a slab's file belongs to; None when `name` is not the name of a slab."""
    match = _NAME(name)
    return match[1] if match else None
