"""One native thread that answers UDP, seen from the loop: its sockets, what it leaves to Python, its life.

The thread (`native/worker.h`) takes batches, answers what the core can, forwards plain misses, and never waits for the GIL. What needs
judgement comes up through a ring: an eventfd makes the loop call :meth:`Worker._readable`, which takes a portion and hands it to the driver;
answers go back through the thread's own sockets, those of one turn of the loop together.

A thread ends when the kernel refuses something that it cannot do without. :meth:`Worker.check`, called a few times a second, starts it again:
its sockets, the questions under way and their clients are still there.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING

from blockd.dns.special import ZONES
from blockd.native._dns import UdpWorker

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from blockd.dns.driver import Driver
    from blockd.native._dns import Acl, Ask, Client

    NativeRow = tuple[int, int, int, int, int, int, float]

LOG = logging.getLogger("blockd.dns")

ASKS_A_TICK = 16  # handed to the driver before others have their turn: each opens a socket, some 0.2 ms where the machine is busy
RECEIVE_BUFFER_BYTES = 4 << 20  # asked of the kernel, which may give less
DEATHS_MAX = 4  # of one thread, each within STEADY_S of the one before
STEADY_S = 5.0

EVENTS = ("forwarded", "coalesced", "hedged", "escalated")
"""What a thread counts of queries that it cannot answer at once."""


class Worker:
    """A thread. It runs after :meth:`start`. `number`: no other thread of this process has had it."""

    def __init__(self, driver: Driver, acl: Acl, rate: int, number: int) -> None:
        self.number = number
        self.driver = driver
        self.restarts = 0
        self._loop: asyncio.AbstractEventLoop = driver.loop
        self._native = UdpWorker(driver.core, local=ZONES)
        self._native.configure(acl=acl, rate=rate)
        self._doors: dict[str, tuple[socket.socket, int]] = {}
        self._left: list[tuple[socket.socket, int]] = []
        self._asks: list[tuple[Ask, Client]] = []
        self._answers: list[tuple[Client, bytes]] = []
        self._outstanding = 0  # asks that the driver has not answered yet
        self._deaths = 0
        self._died_s = 0.0
        self._followed: Sequence[tuple[int, bytes, int]] = ()

    @property
    def keys(self) -> set[str]:
        """The sockets that it serves."""
        return set(self._doors)

    @property
    def left(self) -> bool:
        """Tell whether there are sockets to let go."""
        return bool(self._left)

    @property
    def running(self) -> bool:
        """Tell whether its thread runs."""
        return bool(self._native.stats()["running"])

    @property
    def idle(self) -> bool:
        """Tell whether everything that came in is answered, and a door that is to close holds nothing."""
        stats = self._native.stats()
        return not (self._asks or self._outstanding or self._answers or stats["in_flight"] or stats["ring"] or stats["draining"])

    def holds(self, sock: socket.socket) -> bool:
        """Tell whether it may still use this socket."""
        return any(sock is held for held, _ in (*self._doors.values(), *self._left))

    def start(self) -> None:
        """Begin to answer. OSError: the system does not give what a thread needs."""
        self._native.start()
        self._loop.add_reader(self._native.fileno(), self._readable)

    def open(self, key: str, sock: socket.socket) -> None:
        """Answer on this socket too. ValueError: it has as many as it can have; OSError: the socket is none."""
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        wildcard = ip_address(sock.getsockname()[0]).is_unspecified
        self._doors[key] = sock, self._native.add_door(sock.fileno(), 6 if sock.family == socket.AF_INET6 else 4, wildcard)

    def leave(self, key: str) -> None:
        """Take what the kernel holds for this socket and no more; it is let go by :meth:`let_go`."""
        door = self._doors.pop(key)
        self._native.drain(door[1])
        self._left.append(door)

    def let_go(self) -> None:
        """Stop using the sockets that were left."""
        left, self._left = self._left, []
        for _, number in left:
            self._native.remove_door(number)

    def configure(self, acl: Acl, rate: int) -> None:
        """Answer these clients, so many times a second for each network of them; 0: without a limit."""
        self._native.configure(acl=acl, rate=rate)

    def follow(self, upstreams: Sequence[tuple[int, bytes, int]]) -> None:
        """Forward plain misses to these (number, packed address, port), the first choice first; to none: they all come up."""
        if upstreams != self._followed:
            self._followed = upstreams
            self._native.follow(upstreams)

    def upstreams(self) -> list[NativeRow]:
        """Figures of those upstreams, as the native worker gives them."""
        return self._native.upstreams()

    def figures(self) -> dict[str, int]:
        """EVENTS, ``restarts`` and what else the thread counts, since it was made."""
        return {**self._native.stats(), "restarts": self.restarts}

    def drain(self) -> None:
        """Take what the kernel holds and no more. What is under way ends."""
        for key in list(self._doors):
            self.leave(key)

    def check(self, now_s: float) -> bool:
        """Start the thread again when it has ended. False: it ends again and again."""
        stats = self._native.stats()
        if stats["running"]:
            return True
        self._deaths = self._deaths + 1 if now_s - self._died_s < STEADY_S else 1
        self._died_s = now_s
        self.restarts += 1
        LOG.error("a thread that answers UDP ended (%s) and is started again; its queries wait meanwhile", os.strerror(stats["error"]))
        with contextlib.suppress(OSError):
            self._native.start()
        return self._deaths < DEATHS_MAX

    def close(self) -> None:
        """Send what is ready, and end."""
        self._flush()
        self._loop.remove_reader(self._native.fileno())
        self._native.stop()
        self._asks.clear()
        self._left += self._doors.values()
        self._doors.clear()
        self.let_go()
        del self._native

    def _readable(self) -> None:
        if self._asks:  # the last portion is not all handed on yet
            return
        self._asks = self._native.poll()
        if self._asks:
            self._submit()

    def _submit(self) -> None:
        now, self._asks = self._asks[:ASKS_A_TICK], self._asks[ASKS_A_TICK:]
        self._outstanding += len(now)
        for ask, client in now:
            self.driver.submit(ask, partial(self._deliver, client), ask.epoch)
        if self._asks:
            self._loop.call_soon(self._submit_rest)

    def _submit_rest(self) -> None:
        if self._asks:
            self._submit()

    def _deliver(self, client: Client, answer: bytes | None) -> None:
        self._outstanding -= 1
        if answer is None:
            return
        self._answers.append((client, answer))
        if len(self._answers) == 1:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        answers, self._answers = self._answers, []
        if answers:
            self._native.send(answers)  # what the kernel does not take now is lost, as any datagram may be
