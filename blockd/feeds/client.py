"""A subscriber's half: one feed, its trusted metadata on our disk, and the lists that it holds now.

The TUF client workflow (specification §5) is tuf's own :class:`tuf.ngclient.Updater`. What is here is around it:

- *Durability.* The Updater works on a copy of the metadata folder. What it has verified is then written into place file by file, in the
  order of the workflow, each fsynced and renamed. A crash in between leaves what an interrupted run of the workflow would, and the
  next run goes on from it. That folder is the protection against rollback: it is kept, never made anew.
- *What was verified is kept even when the run fails later.* A new root that was seen must not be forgotten because the timestamp was then
  withheld; so says the workflow (§5.3.9, 5.4.5, 5.5.7, 5.6.6), and so does tuf-conformance.
- *Shape.* Each list is one delegated role, terminating, for ``LIST/*``, with one target whose ``custom`` this release understands.
- *One bad list does not stop the others*: its fault is raised by :meth:`Subscription.download` of that list.
- *Lists do not go back.* A version below the last one that was handed out is refused, unless the signers of the list have changed since:
  that is how a publisher recovers when a stolen key has run the numbers up (fast-forward attack).

Files, under ``state_dir/feeds/FEED/``: ``metadata/`` (tuf's layout), ``targets/LIST/<sha256>`` (as published, a secret list encrypted), ``seen.json``.
Trusted like the daemon's own state: who can change it can roll this gateway back, not make it enforce what was not signed.

    >>> subscription = Subscription(config.feeds[0], config.state_dir)      # doctest: +SKIP
    >>> if subscription.refresh(now):                                       # doctest: +SKIP
    ...     verified = subscription.download("hotline/domains")
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import sys
import types
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tuf.ngclient import Updater, UpdaterConfig  # type: ignore[attr-defined]  # public, but not declared as exported

from blockd.errors import Corrupt, Misconfigured, Refused, Unavailable
from blockd.feeds import roles
from blockd.feeds.fetch import Bounded, Fetcher
from blockd.feeds.metadata import DownloadError, LengthOrHashMismatchError, RepositoryError, Targets, read
from blockd.feeds.own_disk import own_disk
from blockd.feeds.refusals import refused
from blockd.feeds.seen import Seen
from blockd.feeds.shape import Current, delegated, judge
from blockd.feeds.store import sync_folder, write_durable
from blockd.feeds.verified import Verified
from blockd.terms import Instant, ListName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tuf.ngclient import FetcherInterface  # type: ignore[attr-defined]

    from blockd.feeds.metadata import TargetFile

DELEGATIONS_MAX = 4  # the top role and a list's: nothing deeper has a meaning in a feed
ROOT_MAX_OCTETS = 128_000
ROOT_ROTATIONS_MAX = 256  # counted from the pinned root, every run: pin a later root before a publisher comes near
TIMESTAMP_MAX_OCTETS = 16_384
SNAPSHOT_MAX_OCTETS = 512_000
TARGETS_MAX_OCTETS = 2_000_000
KEPT_TARGETS = 2  # of each list: the newest files

_ORDER = {"root_history": 0, "root.json": 1, "timestamp.json": 2, "snapshot.json": 3, "targets.json": 4}

logging.getLogger("tuf").setLevel(logging.WARNING)  # its debug lines name files and nothing else, but nobody at night needs them


class Feed(Protocol):
    """What is read of a feed's configuration: :class:`blockd.config.schema.Feed` and anything like it."""

    @property
    def name(self) -> str:
        """FEED."""

    @property
    def url(self) -> str:
        """Where metadata/ and targets/ are."""

    @property
    def root(self) -> Path:
        """The pinned first root."""


class Client:
    """TUF's client over a durable metadata folder: init, refresh, download. What tuf-conformance drives, and Subscription builds on."""

    def __init__(self, metadata_dir: Path, metadata_url: str, fetcher: FetcherInterface, *, delegations_max: int = DELEGATIONS_MAX) -> None:
        """`metadata_dir`: kept over restarts. `delegations_max`: roles that a search for one target may visit. Nothing is fetched yet."""
        self.metadata_dir = metadata_dir
        self._delegations_max = delegations_max
        self._url = metadata_url
        self._fetcher = fetcher
        self._updater: Updater | None = None

    def init(self, root: bytes) -> None:
        """Take a first root as the anchor of trust: for good, when the folder holds no root yet."""
        self._run(root, lambda _: None, None)

    def refresh(self, now: Instant | None = None, *, root: bytes | None = None) -> None:
        """Run the workflow for the top roles. `now`: None reads the clock. `root`: the pinned root; None: the one that :meth:`init` stored.

        Refused, Unavailable: nothing about the feed is known now.
        """
        self._run(root, lambda updater: updater.refresh(), now)

    def refresh_lists(self, now: Instant, root: bytes) -> dict[str, Exception]:
        """Run the workflow, then load the role of every list. Returns list -> why its role was not taken. Raises as :meth:`refresh`."""
        failed: dict[str, Exception] = {}

        def work(updater: Updater) -> None:
            updater.refresh()
            folder = Path(updater._dir)  # noqa: SLF001 -- the copy that we gave it
            for name in delegated(read(Targets, (folder / "targets.json").read_bytes())):
                try:
                    updater.get_targetinfo(f"{name}/.")  # no target is called so: this only loads and verifies the role
                except (RepositoryError, DownloadError) as error:
                    failed[name] = error

        self._run(root, work, now)
        return failed

    def _run(self, root: bytes | None, work: Callable[[Updater], None], now: Instant | None) -> None:
        with self._copy() as copy:
            updater = self._make(copy, root, now)
            work(updater)
        self._updater = updater

    @contextmanager
    def _copy(self) -> Iterator[Path]:
        """Lend a copy of the metadata folder to the Updater; commit what is in it afterwards, whatever happened."""
        self.metadata_dir.mkdir(parents=True, exist_ok=True)
        copy = self.metadata_dir.with_name(f".{self.metadata_dir.name}.copy")
        shutil.rmtree(copy, ignore_errors=True)  # a run that was killed has left it
        shutil.copytree(self.metadata_dir, copy, symlinks=True)
        try:
            try:
                yield copy
            finally:
                _commit(copy, self.metadata_dir)
        except (RepositoryError, DownloadError) as error:
            raise refused(error) from error
        finally:
            shutil.rmtree(copy, ignore_errors=True)

    def _make(self, folder: Path, root: bytes | None, now: Instant | None) -> Updater:
        config = UpdaterConfig(
            max_root_rotations=ROOT_ROTATIONS_MAX,
            max_delegations=self._delegations_max,
            root_max_length=ROOT_MAX_OCTETS,
            timestamp_max_length=TIMESTAMP_MAX_OCTETS,
            snapshot_max_length=SNAPSHOT_MAX_OCTETS,
            targets_max_length=TARGETS_MAX_OCTETS,
        )
        updater = Updater(str(folder), self._url, fetcher=Bounded(self._fetcher, TARGETS_MAX_OCTETS), config=config, bootstrap=root)
        if now is not None:
            # The library reads the clock in its constructor and has no argument for it; one run is judged at one instant, ours.
            updater._trusted_set.reference_time = datetime.fromtimestamp(now, tz=UTC)  # noqa: SLF001
        return updater

    def target(self, path: str) -> TargetFile | None:
        """Find a target by its path in what the last refresh verified."""
        if self._updater is None:
            raise AssertionError("refresh comes first")
        with self._copy():  # the role that holds it may have to be fetched
            return self._updater.get_targetinfo(path)

    def download(self, target: TargetFile, path: Path, url: str) -> None:
        """Download a target and check it; `path` is new or replaced, durably."""
        if self._updater is None:
            raise AssertionError("refresh comes first")
        temporary = path.with_name(".download.tmp")  # always the same: what a killed process left is written over
        try:
            self._updater.download_target(target, str(temporary), url)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        except (RepositoryError, DownloadError) as error:
            raise refused(error) from error
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)


def _commit(copy: Path, folder: Path) -> None:
    """Write what changed in the copy into place, in the order of the workflow. A crash in between: as if the workflow had stopped there."""
    history = folder / "root_history"
    if not history.is_dir() and (copy / "root_history").is_dir():
        history.mkdir()
        sync_folder(folder)
    for path in sorted((p for p in copy.rglob("*.json")), key=lambda p: (_ORDER.get(p.relative_to(copy).parts[0], 9), p.name)):
        place = folder / path.relative_to(copy)
        if path.is_symlink():
            if not place.is_symlink() or place.readlink() != path.readlink():
                temporary = place.with_name(f".{place.name}.link")
                temporary.unlink(missing_ok=True)
                temporary.symlink_to(path.readlink())
                temporary.replace(place)
                sync_folder(place.parent)
        elif not place.is_file() or place.read_bytes() != path.read_bytes():
            write_durable(place, path.read_bytes())


class Subscription:
    """One feed. Synchronous (call it in a thread), one thread at a time; another process at work on the same feed is Unavailable."""

    def __init__(self, feed: Feed, state_dir: Path, *, fetcher: FetcherInterface | None = None, allow_http: bool = False) -> None:
        """`fetcher`: by default one for `feed.url`. Misconfigured: the URL has no scheme to fetch from."""
        self._feed = feed
        self.folder = Path(state_dir) / "feeds" / feed.name
        self._url = feed.url.rstrip("/")
        if fetcher is None:
            fetcher = Fetcher(
                self._url,
                client_certificate=getattr(feed, "client_certificate", None) or None,
                client_key=getattr(feed, "client_key", None) or None,
                token_file=getattr(feed, "token_file", None) or None,
                allow_http=allow_http,
            )
        self._client = Client(self.folder / "metadata", f"{self._url}/metadata/", fetcher)
        self._lists: dict[str, Current | Refused | Unavailable] = {}
        self._last: object = None
        self._failed: set[str] = set()

    def refresh(self, now: Instant) -> bool:
        """Fetch and verify the metadata. True when there may be something new to download.

        That is: a list is other than at the last refresh, a download of one failed since, or this object has not refreshed before.
        Refused (fetch, signature, rollback, expired, shape), Unavailable, Misconfigured (the pinned root): what was verified before stays.
        """
        if now < roles.BUILT:
            clock = datetime.fromtimestamp(max(0, now), tz=UTC)
            raise Refused(
                "expired",
                f"the clock says {clock:%Y-%m-%d}, which is before this release was made, so no expiry can be judged: set the clock",
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock(), own_disk(self._feed.name):
            failed = self._client.refresh_lists(now, self._root())
            self._lists = self._read(failed)
        known = {name: (c.version, c.target.hashes.get("sha256")) if isinstance(c, Current) else str(c) for name, c in self._lists.items()}
        changed = known != self._last or bool(self._failed & set(known))
        self._last = known
        return changed

    def lists(self) -> tuple[ListName, ...]:
        """Name the lists that the feed holds, as FEED/LIST, by the last refresh."""
        return tuple(ListName(f"{self._feed.name}/{name}") for name in sorted(self._lists))

    def signers(self, name: str) -> tuple[int, int]:
        """Return (valid signatures, threshold) of a list. Refused, Unavailable as :meth:`download`."""
        current = self._current(name.rpartition("/")[2])
        return current.signatures, current.threshold

    def path_of(self, name: str) -> str:
        """Return the path of a list's target, ``LIST/FILE``. Refused, Unavailable as :meth:`download`."""
        return self._current(name.rpartition("/")[2]).target.path

    def download(self, name: str) -> Verified:
        """Return the list's newest version, on our disk; fetched only when it is not there already. `name`: FEED/LIST or LIST.

        Refused (fetch, signature, rollback, expired, shape) or Unavailable: what was downloaded before stays as it is.
        """
        short = name.rpartition("/")[2]
        try:
            verified = self._download(short)
        except (Refused, Unavailable):
            self._failed.add(short)
            raise
        self._failed.discard(short)
        return verified

    def _current(self, name: str) -> Current:
        current = self._lists.get(name)
        if current is None:
            raise Refused("fetch", f"the feed {self._feed.name} has no list {name}: its lists are {', '.join(self.lists()) or 'none yet'}")
        if not isinstance(current, Current):
            raise current
        return current

    def _download(self, name: str) -> Verified:
        current = self._current(name)
        with self._lock(), own_disk(self._feed.name):
            seen = self._seen()
            seen.check(name, current)
            sha256 = current.target.hashes["sha256"]
            path = self.folder / "targets" / name / sha256
            if not _is_whole(path, current.target):
                path.parent.mkdir(parents=True, exist_ok=True)
                self._client.download(current.target, path, f"{self._url}/targets/")
                sync_folder(path.parent.parent)
            # A crash here: the file is there and is found whole next time.
            if seen.note(name, current):
                write_durable(self.folder / "seen.json", seen.dump())
            _keep_newest(path)
        return Verified(
            name=ListName(f"{self._feed.name}/{name}"),
            version=current.version,
            meta=current.meta,
            path=path,
            sha256=sha256,
            length=current.target.length,
            expires=current.expires,
            signatures=current.signatures,
        )

    def _seen(self) -> Seen:
        path = self.folder / "seen.json"
        try:
            return Seen.load(path.read_bytes())
        except FileNotFoundError:
            return Seen({})
        except Corrupt as error:
            raise Unavailable(
                f"{path} is damaged: restore it from a backup, or remove it, which once gives up protection against old lists"
            ) from error

    def _root(self) -> bytes:
        try:
            with self._feed.root.open("rb") as file:
                data = file.read(ROOT_MAX_OCTETS + 1)
        except OSError as error:
            raise Misconfigured(f"feed {self._feed.name}: the pinned root {self._feed.root}: {error.strerror}") from error
        return data

    def _read(self, failed: dict[str, Exception]) -> dict[str, Current | Refused | Unavailable]:
        """Read what the refresh has just verified and stored."""
        folder = self._client.metadata_dir
        top = read(Targets, (folder / "targets.json").read_bytes())
        snapshot = json.loads((folder / "snapshot.json").read_bytes())["signed"]["meta"]
        found: dict[str, Current | Refused | Unavailable] = {}
        for name in delegated(top):
            if f"{name}.json" not in snapshot:
                continue  # delegated, and its first version is not published yet
            if name in failed:
                found[name] = refused(failed[name])
                continue
            try:
                found[name] = judge(top, read(Targets, (folder / f"{name}.json").read_bytes()), name)
            except Refused as error:
                found[name] = error
        return found

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with (self.folder / ".lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Unavailable(f"another process is at work on feed {self._feed.name}: it is tried again") from None
            yield


def _is_whole(path: Path, target: TargetFile) -> bool:
    try:
        with path.open("rb") as file:
            target.verify_length_and_hashes(file)
    except (OSError, LengthOrHashMismatchError):
        return False
    return True


def _keep_newest(path: Path) -> None:
    """Remove older files of the list: the newest stay, for a version that is being compiled elsewhere just now."""
    os.utime(path)
    files = sorted((p for p in path.parent.iterdir() if not p.name.startswith(".")), key=lambda p: p.stat().st_mtime_ns)
    for old in files[:-KEPT_TARGETS]:
        old.unlink()


def client(metadata_dir: Path, url: str, *, allow_http: bool = False) -> Client:
    """Return a TUF client over a durable folder; `url` is where the metadata is. ``blockd.feeds.client(...)`` is this."""
    return Client(Path(metadata_dir), url, Fetcher(url, allow_http=allow_http), delegations_max=32)


class _CallableModule(types.ModuleType):
    """The contract calls ``blockd.feeds.client(...)`` and names this module by the same words: both hold."""

    def __call__(self, metadata_dir: Path, url: str, *, allow_http: bool = False) -> Client:
        return client(metadata_dir, url, allow_http=allow_http)


sys.modules[__name__].__class__ = _CallableModule
