"""How long the resolver's loop is held: its own processor time, callback by callback, measured from inside.

The resolver under test is the real service, on asyncio's own loop in place of uvloop (whose callbacks can't be timed; ours are the same, and
asyncio's own share is the larger one, so that the figure is an upper bound). Time is that of the thread (CLOCK_THREAD_CPUTIME_ID): what
other processes of a busy machine take is not counted, and the collector of garbage is, as it stops the loop too (the resolver sets aside
what was there when it started, this test's own objects with it: dns/garbage.py).
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

from tests.dns import running

if TYPE_CHECKING:
    import pytest


class Meter:
    """The longest callback, and the longest turn of the loop (all callbacks between two looks at the sockets), in milliseconds."""

    def __init__(self) -> None:
        self.callback_ms = 0.0
        self.turn_ms = 0.0
        self.what = ""

    def reset(self) -> None:
        """Begin anew. The loop goes on meanwhile: at worst one callback is missed."""
        self.callback_ms = self.turn_ms = 0.0

    def install(self, monkeypatch: pytest.MonkeyPatch, thread_of: running.Running) -> None:
        """Time every callback of that resolver's thread."""
        run, once, meter = asyncio.Handle._run, asyncio.BaseEventLoop._run_once, self

        def timed_run(handle: asyncio.Handle) -> None:
            if threading.current_thread() is not getattr(thread_of, "thread", None):
                run(handle)
                return
            what = repr(handle._callback)[:120] if handle._callback is not None else ""
            start = time.thread_time()
            run(handle)
            took_ms = 1000 * (time.thread_time() - start)
            if took_ms > meter.callback_ms:
                meter.callback_ms, meter.what = took_ms, what

        def timed_once(loop: asyncio.BaseEventLoop) -> None:
            start = time.thread_time()
            once(loop)
            if threading.current_thread() is getattr(thread_of, "thread", None):
                meter.turn_ms = max(meter.turn_ms, 1000 * (time.thread_time() - start))

        monkeypatch.setattr(asyncio.Handle, "_run", timed_run)
        monkeypatch.setattr(asyncio.BaseEventLoop, "_run_once", timed_once)


class Metered(running.Running):
    """``with Metered(monkeypatch, config) as r: r.meter.callback_ms``"""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, config: object, live: object = None) -> None:
        super().__init__(config, live)
        self.meter = Meter()
        monkeypatch.setattr(running.uvloop, "new_event_loop", asyncio.SelectorEventLoop)
        self.meter.install(monkeypatch, self)
