"""The UDP door: the native core takes and answers batches, what it leaves goes to the driver, late answers go out in batches.

One callback of the loop takes one batch, so that no burst holds the loop; the kernel keeps the rest for the next turn.
"""

from __future__ import annotations

import contextlib
import socket
from functools import partial
from typing import TYPE_CHECKING

from blockd.native import _dns

if TYPE_CHECKING:
    import asyncio

    from blockd.dns.driver import Driver
    from blockd.native._dns import Acl, Ask, Client

ASKS_A_TICK = 16  # handed to the driver before others have their turn: each opens a socket, some 0.2 ms where the machine is busy
RECEIVE_BUFFER_BYTES = 4 << 20  # asked of the kernel, which may give less
DRAIN_BATCHES_MAX = 64


class UdpDoor:
    """One bound UDP socket."""

    def __init__(self, sock: socket.socket, driver: Driver, acl: Acl) -> None:
        self.socket = sock
        self.driver = driver
        self._loop: asyncio.AbstractEventLoop = driver.loop
        self._answers: list[tuple[Client, bytes]] = []
        self._asks: list[tuple[Ask, Client]] = []
        self._asked = driver, driver.epoch  # who polled them, and when
        self._reading = False
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        self._family = 6 if sock.family == socket.AF_INET6 else 4
        self._native = _dns.UdpDoor(driver.core, sock.fileno(), self._family, acl)

    def open(self) -> None:
        """Begin to answer."""
        if not self._reading:
            self._reading = True
            self._loop.add_reader(self.socket.fileno(), self._readable)

    def stop(self) -> None:
        """Take no more."""
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self.socket.fileno())

    def change(self, driver: Driver, acl: Acl) -> None:
        """Answer from this driver and for these clients from now on; what is under way ends as it began."""
        self.driver = driver
        self._native = _dns.UdpDoor(driver.core, self.socket.fileno(), self._family, acl)

    def drain(self) -> None:
        """Take what the kernel holds already, and no more: the last step before closing."""
        self.stop()
        while self._asks:
            self._submit()
        for _ in range(DRAIN_BATCHES_MAX):
            try:
                self.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            except OSError:
                return
            self._poll()
            while self._asks:
                self._submit()

    def close(self) -> None:
        """Send what is ready, and close."""
        self.stop()
        self._flush()
        del self._native
        self.socket.close()

    def _readable(self) -> None:
        if self._asks:  # the last batch is not all handed on yet
            return
        self._poll()
        if self._asks:
            self._submit()

    def _poll(self) -> None:
        self._asked = self.driver, self.driver.epoch
        self._asks = self._native.poll(self.driver.now_ms())

    def _submit(self) -> None:
        driver, epoch = self._asked
        now, self._asks = self._asks[:ASKS_A_TICK], self._asks[ASKS_A_TICK:]
        for ask, client in now:
            driver.submit(ask, partial(self._deliver, client), epoch)
        if self._asks and self._reading:
            self._loop.call_soon(self._submit_rest)

    def _submit_rest(self) -> None:
        if self._asks:
            self._submit()

    def _deliver(self, client: Client, answer: bytes | None) -> None:
        if answer is None:
            return
        self._answers.append((client, answer))
        if len(self._answers) == 1:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        answers, self._answers = self._answers, []
        if answers:
            self._native.send(answers)  # what the kernel does not take now is lost, as any datagram may be
