"""UDP: a native thread for each core, each with its own sockets (`driver.py`); how threads and sockets come and go.

Socket number k of an address belongs to thread k modulo the number of threads, so every socket is served whatever that number is.

- A reload that changes the number of threads, or the core that they answer from, makes new threads on the same sockets, and then has the old
  ones drain: both read for a moment, and no query is lost. The old ones end when they have nothing under way.
- A socket whose address left the configuration is drained, and closed when its thread has nothing under way, at the latest after CLOSE_DOOR_S.
- A thread that ended is started again; one that ends again and again calls `give_up`, so that the whole process starts afresh on the sockets
  that the supervisor keeps.
"""

from __future__ import annotations

import logging
import time
from itertools import count
from typing import TYPE_CHECKING

from blockd.dns.settings import CLOSE_DOOR_S, number_of
from blockd.dns.udp.driver import EVENTS, Worker

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from blockd.dns.driver import Driver
    from blockd.dns.udp.driver import NativeRow
    from blockd.native._dns import Acl

LOG = logging.getLogger("blockd.dns")

COUNTED = (*EVENTS, "restarts", "rate_limited")


class Workers:
    """All threads of one resolver, and their sockets."""

    def __init__(self, give_up: Callable[[], None]) -> None:
        self.sockets: dict[str, socket.socket] = {}
        self._give_up = give_up
        self._workers: list[Worker] = []
        self._retired: list[tuple[Worker, float]] = []  # with the time at which they end, whatever is under way
        self._leaving: list[tuple[socket.socket, float]] = []
        self._base = dict.fromkeys(COUNTED, 0)  # of threads that are no more
        self._given_up = False
        self._numbers = count()

    @property
    def threads(self) -> int:
        """How many threads there shall be."""
        return len(self._workers)

    @property
    def running(self) -> int:
        """How many of them run."""
        return sum(worker.running for worker in self._workers)

    @property
    def idle(self) -> bool:
        """Tell whether everything that came in is answered."""
        return all(worker.idle for worker in self._all())

    def arrange(self, driver: Driver, sockets: Mapping[str, socket.socket], *, threads: int, acl: Acl, rate: int) -> list[str]:
        """Serve exactly these sockets with so many threads, for these clients, from this driver. Returns keys of sockets that cannot be served.

        `rate`: answers a second for one network of clients in all, 0 without a limit; the threads share it.
        """
        gone = self.sockets.keys() - sockets.keys()
        self._leaving += [(self.sockets.pop(key), time.monotonic() + CLOSE_DOOR_S) for key in gone]
        each = -(-rate // threads)
        if threads != len(self._workers) or self._workers[0].driver is not driver:
            old, self._workers = self._workers, [Worker(driver, acl, each, next(self._numbers)) for _ in range(threads)]
            failed = self._hand_out(sockets)
            for worker in self._workers:
                worker.start()
            self._retire(old)
        else:
            for worker in self._workers:
                worker.configure(acl, each)
                for key in worker.keys - sockets.keys():
                    worker.leave(key)
            failed = self._hand_out(sockets)
        self.sockets = {key: sock for key, sock in sockets.items() if key not in failed}
        return failed

    def _hand_out(self, sockets: Mapping[str, socket.socket]) -> list[str]:
        failed = []
        for key, sock in sockets.items():
            worker = self._workers[number_of(key) % len(self._workers)]
            if key in worker.keys:
                continue
            try:
                worker.open(key, sock)
            except (OSError, ValueError):
                failed.append(key)
        return failed

    def _retire(self, workers: Iterable[Worker]) -> None:
        for worker in workers:
            worker.drain()
            self._retired.append((worker, time.monotonic() + CLOSE_DOOR_S))

    def follow(self, upstreams: Sequence[tuple[int, bytes, int]]) -> None:
        """Forward plain misses to these; see :meth:`Worker.follow`."""
        for worker in self._workers:
            worker.follow(upstreams)

    def heard(self) -> list[tuple[int, list[NativeRow], int]]:
        """What each thread knows of its upstreams: (its number, rows of :meth:`Worker.upstreams`, queries that it hedged), sums since it was made."""
        return [(worker.number, worker.upstreams(), worker.figures()["hedged"]) for worker in self._all()]

    def uses(self, driver: Driver) -> bool:
        """Tell whether a thread still answers from this driver."""
        return any(worker.driver is driver for worker in self._all())

    def drain(self) -> None:
        """Take what the kernel holds, and no more."""
        for worker in self._workers:
            worker.drain()

    def tick(self) -> None:
        """Start dead threads again, let go of what has its answers. Called a few times a second."""
        now = time.monotonic()
        steady = [worker.check(now) for worker in self._all()]
        if not all(steady) and not self._given_up:
            self._given_up = True
            LOG.critical("a thread that answers UDP ends again and again: this process ends and is started again on the same sockets")
            self._give_up()
        for worker, end in list(self._retired):
            if worker.idle or now > end:
                self._retired.remove((worker, end))
                self._end(worker)
        latest = max((end for _, end in self._leaving), default=now)
        for worker in self._workers:
            if worker.left and (worker.idle or now > latest):
                worker.let_go()
        for sock, end in list(self._leaving):
            if not any(worker.holds(sock) for worker in self._all()):
                self._leaving.remove((sock, end))
                sock.close()

    def figures(self) -> dict[str, int]:
        """What all threads have counted since the start: EVENTS, ``restarts``, ``rate_limited``; and ``in_flight`` of now."""
        found = {**self._base, "in_flight": 0}
        for figures in [worker.figures() for worker in self._all()]:
            for name in found:
                found[name] += figures[name]
        return found

    def close(self) -> None:
        """Send what is ready, end every thread, close every socket."""
        for worker in self._all():
            self._end(worker)
        self._workers.clear()
        self._retired.clear()
        for sock in (*self.sockets.values(), *(sock for sock, _ in self._leaving)):
            sock.close()
        self.sockets.clear()
        self._leaving.clear()

    def _all(self) -> list[Worker]:
        return [*self._workers, *(worker for worker, _ in self._retired)]

    def _end(self, worker: Worker) -> None:
        figures = worker.figures()
        worker.close()
        for name in COUNTED:
            self._base[name] += figures[name]
