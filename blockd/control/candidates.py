"""Looking for new versions: from a feed to a compiled, judged list version, or to the reason why there is none.

One feed's failure is its lists' outcome and nobody else's. Nothing here changes what is in force.
"""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from blockd.control.compile import compile_list
from blockd.control.judge import Change, Judgement, judge
from blockd.control.sources import Source
from blockd.control.steps import Step, around
from blockd.errors import BlockdError, Corrupt, Misconfigured, Refused, Unavailable
from blockd.feeds.own_disk import DiskRefuses
from blockd.feeds.verified import Verified
from blockd.policy.rails import all_protected, rails
from blockd.table.store import open_list
from blockd.terms import Instant, ListName, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from typing_extensions import Buffer

    from blockd.config.schema import Config, Feed
    from blockd.control.recorder import Recorder
    from blockd.control.sources import Placement
    from blockd.control.steps import Steps
    from blockd.control.waiting import Waiting
    from blockd.native._table import CompiledList

WORDS = {result.value: result for result in Result}


class FeedClient(Protocol):
    """A subscriber's view of one feed (blockd/feeds)."""

    def refresh(self, now: Instant) -> None:
        """Fetch and verify its metadata. Raises Refused, Unavailable."""

    def download(self, name: ListName) -> Verified:
        """The newest version of a list, verified, on the local disk. Raises Refused, Unavailable."""
        ...

    def kept(self, before: Verified) -> Verified:
        """A version that was downloaded before, from the disk. Raises Unavailable when its file is gone."""
        ...

    def content(self, verified: Verified) -> Buffer:
        """Its plain octets; a secret list's are decrypted in memory. Raises Refused."""
        ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """What looking at one list came to. `source` None: nothing that may go live, and `result` says why."""

    result: Result
    detail: str = ""
    source: Source | None = None  # fit to go live
    judgement: Judgement | None = None
    change: Change | None = None
    held: Source | None = None  # waits for a person
    expires: Instant | None = None  # of the newest verified metadata


class Candidates:
    """The feeds of a configuration and how their lists are compiled and judged."""

    def __init__(
        self,
        config: Config,
        key: bytes,
        recorder: Recorder,
        waiting: Waiting,
        steps: Steps,
        open_feed: Callable[[Feed, Config], FeedClient],
    ) -> None:
        self._key = key
        self._recorder = recorder
        self._waiting = waiting
        self._steps = steps
        self._open_feed = open_feed
        self._clients: dict[Feed, FeedClient] = {}
        self.reconfigure(config)

    def reconfigure(self, config: Config) -> None:
        """Take a new configuration. Clients of feeds that stay as they were go on."""
        self._config = config
        self._policies = {policy.name: policy for policy in config.lists}
        self._clients = {feed: client for feed, client in self._clients.items() if feed in config.feeds}
        self._rails = b""  # made when a list is compiled

    def look(
        self, names: Sequence[ListName], current: Mapping[ListName, Placement], again: Collection[ListName], now: Instant
    ) -> dict[ListName, Candidate]:
        """Each of `names`. `again`: lists whose compiled file is lost or damaged, to be compiled whether they are new or not."""
        found: dict[ListName, Candidate] = {}
        feeds = {feed.name: feed for feed in self._config.feeds}
        for feed_name in dict.fromkeys(name.partition("/")[0] for name in names):
            mine = [name for name in names if name.partition("/")[0] == feed_name]
            client = None
            try:
                if feed_name not in feeds:
                    raise Unavailable(f"there is no feed {feed_name} in the configuration")
                client = self._client(feeds[feed_name])
                client.refresh(now)
                found |= {name: self._look_at(client, name, current.get(name), again, now) for name in mine}
            except (BlockdError, OSError) as error:
                found |= dict.fromkeys(mine, _refused(error))
            if client is not None:
                for name in mine:
                    found[name] = self._again_from_disk(client, found[name], current.get(name), again, now)
        return found

    def _again_from_disk(
        self, client: FeedClient, found: Candidate, placed: Placement | None, again: Collection[ListName], now: Instant
    ) -> Candidate:
        """Where nothing newer may go live: what is in force, without the rows that have run out since, or in place of a lost file.

        A row's own date does not wait for a feed that is down, or for a person.
        """
        if placed is None or found.source is not None or not (placed.source.name in again or _due(placed.source, now)):
            return found
        source = placed.source
        try:
            made = self._judge(client, client.kept(_verified(source)), source, now)
        except (BlockdError, OSError):
            return found
        return replace(found, source=made.source, judgement=made.judgement) if made.source is not None else found

    def _client(self, feed: Feed) -> FeedClient:
        if feed not in self._clients:
            self._clients[feed] = self._open_feed(feed, self._config)
        return self._clients[feed]

    def _look_at(
        self, client: FeedClient, name: ListName, placed: Placement | None, again: Collection[ListName], now: Instant
    ) -> Candidate:
        if name in self._recorder.levers.holds:
            return Candidate(Result.HELD, f"it takes no updates: blockd lists resume {name} ends that")
        try:
            verified = client.download(name)
            before = placed.source if placed else None
            if before and name not in again and before.same_file(verified) and not _due(before, now):
                return Candidate(Result.NOT_MODIFIED, expires=verified.expires)
            return self._judge(client, verified, before, now)
        except (BlockdError, OSError) as error:
            return _refused(error)

    def _judge(self, client: FeedClient, verified: Verified, before: Source | None, now: Instant) -> Candidate:
        name, policy = verified.name, self._policies[verified.name]
        old = self._open(before)  # before compiling: the same version under a later date is written over its own file
        if before is not None and old is None and not before.same_file(verified):
            old = self._made_again(client, before, now)
        try:
            source = self._compiled(client, verified, now)
            change = self._compare(source, before, old)
        finally:
            if old:
                old.close()
        levers = self._recorder.levers
        judgement = judge(
            change,
            policy.max_change,
            name,
            approved=levers.approved(name, source.version, source.sha256),
            by_itself=before is not None and before.same_file(verified),
        )
        if judgement.result is None:
            return Candidate(Result.APPLIED, "", source, judgement, change, expires=verified.expires)
        held = source if judgement.held else None
        return Candidate(judgement.result, judgement.why, None, judgement, change, held, verified.expires)

    def _made_again(self, client: FeedClient, before: Source, now: Instant) -> CompiledList | None:
        """The compiled file of what is in force, which is lost, from what was downloaded: a new version must not be judged without it."""
        with suppress(BlockdError, OSError):
            return self._open(self._compiled(client, client.kept(_verified(before)), now))
        return None

    def _compiled(self, client: FeedClient, verified: Verified, now: Instant) -> Source:
        held = self._waiting.get(verified.name)
        if held and held.same_file(verified) and not _due(held, now):
            found = self._open(held)
            if found:
                found.close()
                return held
        self._rails = self._rails or rails(self._key, all_protected(self._config))
        out_dir = self._config.state_dir / "lists"
        with around(self._steps, Step.COMPILED):
            done = compile_list(verified, client.content(verified), self._key, self._rails, out_dir, now)
        # Crash: a compiled file that no generation and no held version names; the next run writes it again or removes it.
        enforceable = {where: count for where, count in done.enforceable.items() if count}
        if "dns" in done.enforceable:  # names read natively are counted by what is left
            enforceable["dns"] = max(0, done.entries - sum(count for where, count in enforceable.items() if where != "dns"))
        return Source(
            name=verified.name,
            version=verified.version,
            sha256=verified.sha256,
            meta=verified.meta,
            expires=Instant(float(int(verified.expires))),
            compiled=str(done.path.relative_to(self._config.state_dir)),
            entries=done.entries,
            rows=done.rows,
            rejected=dict(done.rejected),
            positions=dict(done.positions),
            next_expiry=None if done.next_expiry is None else Instant(float(int(done.next_expiry))),
            enforceable=enforceable,
        )

    def _open(self, source: Source | None) -> CompiledList | None:
        """The compiled file of a version; None when it is lost or damaged."""
        if source is not None:
            with suppress(Corrupt):
                return open_list(self._config.state_dir / source.compiled, self._key)
        return None

    def _compare(self, source: Source, before: Source | None, old: CompiledList | None) -> Change:
        added, removed = source.entries, 0
        if (
            before is not None and old is None
        ):  # its file is lost: of the same version the counts say enough, of another each entry may differ
            same = before.sha256 == source.sha256
            added, removed = max(0, source.entries - before.entries * same), max(0, before.entries - source.entries * same)
        elif old is not None:
            with closing(open_list(self._config.state_dir / source.compiled, self._key)) as new:
                added, removed = new.diff(old)
        return Change(
            added=added,
            removed=removed,
            enforced=before.entries if before else None,
            entries=source.entries,
            rows=source.rows,
            bad=source.bad,
            protected=source.protected,
        )


def _verified(source: Source) -> Verified:
    """What it was compiled from, as far as it is remembered."""
    return Verified(source.name, source.version, source.meta, Path(), source.sha256, 0, source.expires, 0)


def _due(source: Source, now: Instant) -> bool:
    """Whether a row has run out by its own date since it was compiled."""
    return source.next_expiry is not None and source.next_expiry <= now


def _refused(error: Exception) -> Candidate:
    """The outcome that an error means. Its text is blockd's own, or the system's word for what the disk did."""
    if isinstance(error, Refused):
        return Candidate(WORDS.get(error.reason, Result.SHAPE), str(error))
    if isinstance(error, OSError):
        return Candidate(Result.HELD, disk(error))
    if isinstance(error, DiskRefuses | Misconfigured):  # ours to mend: no word about the feed
        return Candidate(Result.HELD, str(error))
    return Candidate(Result.FETCH, str(error))


def disk(error: OSError) -> str:
    """What a disk's refusal means."""
    return f"{error.strerror or 'the disk refuses'}: nothing was changed, the lists in force stay; free space, the next run goes on"
