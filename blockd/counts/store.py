"""Slabs as files, and the ledger that reads them, remembers, and releases.

A worker calls :func:`create_slab` once and counts. The control process owns one :class:`Ledger` and calls :meth:`Ledger.collect` every few
seconds and for each scrape.

A slab's worker holds an ``flock`` on its file for as long as it lives; the kernel lets go of it however the worker ends. So nobody has
to tell the ledger who has died: a slab whose lock it can take is folded into the base and removed.

What a crash means, in the order of :meth:`Ledger.collect`:

1. read slabs, fold the dead, step the windows: in memory; a crash forgets it and the next start does it again from the same files;
2. the state is written, fsynced and renamed: from here a release is remembered and the dead slabs are in the base. They are named in
   `folded` until they are gone, so a crash before
3. the dead slabs are unlinked does not count them twice.

Only then are totals returned. Between window ends the file is written every :data:`PERSIST_EVERY_S`: a power failure, which takes the
slabs in the runtime directory with it, costs at most that much of live figures and nothing that a window released.

`runtime_dir/counts` and `state_dir/counts` are trusted: who can write there can make up figures, but learns no client from them.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import secrets
import threading
from typing import TYPE_CHECKING, Final

from blockd.counts import saved as saved_form
from blockd.counts import windows
from blockd.counts.saved import Saved
from blockd.counts.slab import SLAB_BYTES, SUFFIX, Slab, file_name, role_of
from blockd.counts.tallies import Tallies, Totals, sources
from blockd.errors import Corrupt, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from blockd.counts.cells import PolicyKey
    from blockd.counts.tallies import Key
    from blockd.counts.windows import ListKind, Rules
    from blockd.terms import Instant, ListName

PERSIST_EVERY_S: Final = 60.0
FILE: Final = "counts.json"
STATE_MAX_BYTES: Final = 64 << 20


def create_slab(directory: Path, role: str, instance: str = "0") -> Slab:
    """A new slab file in `directory` (``runtime_dir/counts``), locked by this process until the slab is closed or the process ends.

    Raises :class:`~blockd.errors.Unavailable` when there is no room: the blocks are allocated now, because a full filesystem would
    otherwise kill the worker at an increment (SIGBUS).
    """
    name = file_name(role, instance, secrets.token_hex(8))
    draft = directory / f".{name}.new"  # not a slab's name: nobody sees it before it is locked
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(f"no counters: {error.strerror} in the runtime directory") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.posix_fallocate(fd, 0, SLAB_BYTES)
        draft.rename(directory / name)
        return _map(fd)
    except OSError as error:
        os.close(fd)
        draft.unlink(missing_ok=True)
        raise Unavailable(f"no counters: {error.strerror} in the runtime directory") from error


def _map(fd: int) -> Slab:
    """The slab over an open file; its close gives back the mapping, the descriptor and with it the lock."""
    mapping = mmap.mmap(fd, SLAB_BYTES)

    def close() -> None:
        mapping.close()
        os.close(fd)

    return Slab(mapping, close)


class Ledger:
    """The counts of one gateway. One process, the control role, has one. Its methods may be called from any thread.

    `alarms` says in a line each what went wrong at opening (a damaged file was set aside).
    """

    def __init__(self, state_dir: Path, runtime_dir: Path, rules: Rules) -> None:
        self._home = state_dir / "counts"
        self._slabs = runtime_dir / "counts"
        self._rules = rules
        self._lock = threading.Lock()
        self._saved_at: Instant | None = None
        self._expected: dict[ListName, ListKind] = {}
        self.alarms: list[str] = []
        try:
            self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
            loaded = self._load()
        except OSError as error:
            raise Unavailable(f"the counts in the state directory cannot be read: {error.strerror}") from error
        self._tallies: Tallies = loaded.tallies
        self._state = loaded.state
        self._to_remove = set(loaded.folded)
        self._unsaved = bool(self.alarms)  # something that must be on the disk before it is shown

    def expect(self, lists: Iterable[ListKind]) -> None:
        """Withhold by the rules of these lists from now on: they are a generation that is about to go live.

        Call it before the first worker can answer from it. They count beside the lists that are loaded, the stricter of two words about
        one list, until :meth:`collect` is told that they are loaded, or of another generation.
        """
        with self._lock:
            self._expected = {kind.name: kind for kind in lists}

    def forget_expected(self) -> None:
        """The lists that were expected did not go live."""
        with self._lock:
            self._expected.clear()

    def configure(self, rules: Rules) -> None:
        """New rules, after a reload."""
        with self._lock:
            self._rules = rules

    def collect(
        self,
        now: Instant,
        *,
        cells: Mapping[PolicyKey, int],
        lists: Iterable[ListKind],
        reported: Mapping[Key, int] | None = None,
    ) -> Totals:
        """Read, fold, step, remember; what may be shown at `now`.

        `cells`: of the newest generation that any worker has. `lists`: all that any worker may still answer from. `reported`:
        what the resolver process has counted of its upstreams and threads since it started, by source. Raises :class:`~blockd.errors.Unavailable` when the
        state cannot be written: then nothing new may be shown.
        """
        with self._lock:
            meaning = sources(cells)
            dead = self._read_slabs()
            for name in dead:
                self._tallies.fold(name, meaning)
            if reported:
                self._tallies.observe_reported(reported)
            loaded = {kind.name: kind for kind in lists}
            for name, expected in list(self._expected.items()):
                if name in loaded and loaded[name].sensitive == expected.sensitive:
                    del self._expected[name]
                else:
                    loaded[name] = windows.stricter(loaded.get(name, expected), expected)
            before = self._state
            self._state = windows.step(before, self._tallies.totals(meaning), loaded.values(), self._rules, now)
            self._to_remove.update(dead)
            self._unsaved |= bool(self._to_remove) or self._state.opened != before.opened
            if self._unsaved or self._saved_at is None or not 0 <= now - self._saved_at < PERSIST_EVERY_S:
                self._persist(now)
            return windows.totals(self._state, self._rules)

    def close(self, now: Instant, *, cells: Mapping[PolicyKey, int], lists: Iterable[ListKind]) -> None:
        """The last collect, written down. Workers that have ended by now are in it."""
        self.collect(now, cells=cells, lists=lists)
        with self._lock:
            self._persist(now)

    def _load(self) -> Saved:
        path = self._home / FILE
        try:
            with path.open("rb") as file:
                return saved_form.load(file.read(STATE_MAX_BYTES))
        except FileNotFoundError:
            return Saved()
        except Corrupt as error:
            path.replace(path.with_suffix(".damaged"))
            self.alarms.append(f"{error}; the damaged file is kept beside it")
            return Saved()

    def _read_slabs(self) -> list[str]:
        """Observe every slab file. Returns the names of those whose worker has ended, files that vanished included."""
        found, dead = set(), []
        for path in sorted(self._slabs.glob(f"*{SUFFIX}")):
            if role_of(path.name) is None:
                continue
            if path.name in self._to_remove:  # in the base already
                continue
            try:
                fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            except OSError:
                continue
            found.add(path.name)
            try:
                ended = _try_lock(fd)  # before reading: what a worker counted before it ended is then in the file
                if os.fstat(fd).st_size == SLAB_BYTES:
                    with mmap.mmap(fd, SLAB_BYTES, prot=mmap.PROT_READ) as mapping:
                        self._tallies.observe(path.name, mapping[:])
                if ended:
                    dead.append(path.name)
            finally:
                os.close(fd)
        return dead + [name for name in self._tallies.slabs if name not in found]

    def _persist(self, now: Instant) -> None:
        try:
            self._write(saved_form.dump(Saved(self._tallies, self._state, tuple(sorted(self._to_remove)))))
            # A crash here: the next start finds these names in `folded` and removes them without reading.
            for name in sorted(self._to_remove):
                (self._slabs / name).unlink(missing_ok=True)
        except OSError as error:
            raise Unavailable(f"the counts cannot be written: {error.strerror}; make room in the state directory") from error
        self._to_remove.clear()
        self._unsaved = False
        self._saved_at = now

    def _write(self, data: bytes) -> None:
        """Write, fsync, rename, fsync the directory: after this the state survives a power failure."""
        draft = self._home / f"{FILE}.new"
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd, "wb", closefd=False) as file:
                file.write(data)
            os.fsync(fd)
        finally:
            os.close(fd)
        draft.replace(self._home / FILE)
        directory = os.open(self._home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _try_lock(fd: int) -> bool:
    """Whether the slab's worker has ended. The lock is let go with the descriptor."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
