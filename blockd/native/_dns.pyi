"""The native core's DNS half: walk a message, answer what can be answered, check what comes from upstream.

Nothing here knows a client: `Client` is opaque and has no readable part. No function raises for bytes from the
network; they give an answer, an `Ask`, a reason word, or silence.
"""

from collections.abc import Sequence
from typing import Final, Literal, final

from typing_extensions import Buffer

@final
class Client:
    """Where an answer goes (address, local address). Opaque: no attribute, no useful repr."""

@final
class Ask:
    """One query that needs Python. Immutable. Holds the walked question, never the client."""

    why: Final[Literal["miss", "hits", "timeout", "truncated", "failed", "spoofed"]]
    """forward it | several entries speak about the name: decide | the native forwarder asked `tried`, and nothing came in a second, TC was
    set, it failed or could not be used, or packets came that look like guesses: ask again, TCP for the second and the last."""
    tried: Final[int]  # number of the upstream that the native forwarder asked (UdpWorker.follow); -1: none
    epoch: Final[int]  # Core.epoch when the name was judged
    transport: Final[int]  # terms.Transport
    wire: Final[bytes]  # the folded name
    qtype: Final[int]
    qclass: Final[int]
    key: Final[bytes]  # 16 octets: (name, type, class, DO, CD) keyed per process; equal keys coalesce
    hits: Final[tuple[tuple[int, bool], ...]]  # (set, is the whole name), shallowest first
    def upstream(self, id: int) -> bytes:
        """The query to send: RD=1, CD and DO copied, own OPT of 1232, no options, the name's case as asked."""

@final
class Reply:
    """An upstream answer that passed the walk."""

    rcode: Final[int]
    truncated: Final[bool]
    ttl_s: Final[int]  # least TTL of what will be cached; the negative rule for NXDOMAIN and NODATA; 0: not cacheable
    hits: Final[
        tuple[tuple[tuple[int, bool], ...], ...]
    ]  # one item a CNAME, DNAME, HTTPS or SVCB target with entries, in order of the answer
    failed: Final[bool]  # SERVFAIL, REFUSED and the like: try another upstream

@final
class Core:
    """Table, caches and answer writer of one process. Its own methods are for Python's thread; :class:`UdpWorker` threads share the rest."""

    epoch: Final[int]  # one up at each swap

    def __init__(self, *, cache_bytes: int, slab: Buffer, layout: Sequence[int]) -> None:
        """`slab`: writable uint64 cells (counts.slab); `layout`: counts.layout.NATIVE, the cell offsets in fixed order."""

    def configure(self, *, addresses4: Sequence[bytes], addresses6: Sequence[bytes], ttl_s: int, udp_max: int, not_ready: bool) -> None:
        """`not_ready`: answer everything with SERVFAIL and EDE 14 while there is no table."""

    def swap(
        self,
        table: Buffer | None,
        key: bytes,
        verdicts: Sequence[tuple[int, int, int, Sequence[int]]],
        index: Buffer,
        url_hosts: Buffer | None = None,
    ) -> None:
        """Take a new table. `verdicts`: (action, ede or -1, hit cell or -1, shadow cells); action: 0 none, 1 stop_page, 2 nxdomain,
        3 nodata, 4 refused, 5 drop. `index`: uint32 verdict number for [set * 2 + is the whole name]; 0xffffffff asks Python.
        Cells are counted from 0 of the slab. Cached answers are checked against the new table before they are used again. The old
        buffer is released; when this returns every worker answers from the new table.
        `url_hosts`: one octet a set, not 0 where the mark on hosts of URL entries is in force (a list that is enforced
        put it there), so that HTTPS and SVCB of such a host are NODATA; None: wherever there is a mark. ValueError leaves all as it was.
        """

    def add_verdict(self, verdict: tuple[int, int, int, Sequence[int]], hits: Sequence[tuple[int, bool]] = ()) -> int:
        """For a combination of sets; valid until the next swap. With `hits` (an Ask's, or one of a Reply's) the core answers that combination
        by itself from now on; it learns up to 4,096 of them.
        """

    def handle(self, packet: Buffer, transport: int, family: int, now_ms: int) -> bytes | Ask | None:
        """One message from a client. family: 4 or 6. None: stay silent."""

    def prohibit(self, packet: Buffer, transport: int, family: int, now_ms: int) -> bytes | None:
        """The answer for a client that may not ask: REFUSED, EDE 18."""

    def known(self, ask: Ask, now_ms: int) -> bytes | None:
        """For an Ask of "hits" that may pass: the cached answer, or the failure that holds. None: forward it."""

    def stale(self, ask: Ask, now_ms: int) -> bytes | None:
        """The cached answer, also when its time is up, for a day (RFC 8767): TTL 30 s, EDE 3, or 19 for NXDOMAIN. None: there is none that may be
        given. The name must have passed policy; targets are judged by the table of now.
        """

    def reached(self, limit: int) -> None:
        """Count that a limit (its place in counts.layout.LIMITS) was reached. Threads count the same cells: nothing else may add to them."""

    def blocked(self, ask: Ask, verdict: int, now_ms: int) -> bytes | None:
        """The answer of that verdict, counted; None for drop. Verdict action 0 is a ValueError."""

    def note(self, verdict: int) -> None:
        """Count a verdict's cells without answering (shadow hits)."""

    def failure(self, ask: Ask, rcode: int, ede: int, now_ms: int) -> bytes:
        """SERVFAIL and the like; ede -1 for none."""

    def walk_reply(self, ask: Ask, packet: Buffer, id: int) -> Reply | str:
        """Check an upstream's datagram or TCP message under a hop and size budget. A str says why it was refused:
        "mismatch" (not our ID, question, QR: keep waiting), "malformed".
        """

    def keep(self, ask: Ask, reply: Reply, now_ms: int) -> None:
        """Cache `reply` if it may be; nobody is answered, and no answer is counted."""

    def finish(self, ask: Ask, reply: Reply, now_ms: int) -> bytes:
        """Cache `reply` if it may be, and write this client's answer: own ID, case, OPT; truncated to its room with TC."""

    def remember_failure(self, ask: Ask, now_ms: int) -> None:
        """RFC 9520 §3.2: SERVFAIL, EDE 13 for this key for 5 s, doubling to 5 min while it fails again."""

    def flush(self) -> None: ...
    def stats(self) -> dict[str, int]:
        """cache_entries, cache_bytes, cache_evictions, failures ..."""

@final
class Acl:
    """CIDR prefixes, longest 1,024 of them."""

    def __init__(self, prefixes: Sequence[tuple[bytes, int]]) -> None:
        """(packed address, prefix length)"""
    def allows(self, packed: bytes) -> bool: ...

@final
class UdpWorker:
    """A native thread that answers UDP without the GIL: blocked and cached answers, plain forwarding of misses. What needs judgement comes up.

    Order: construct, configure, add_door, start. Every method is for Python's thread.
    """

    def __init__(self, core: Core, *, local: Sequence[bytes]) -> None:
        """`local`: at most 16 names in wire form; a miss for one of them, or below, always comes up."""

    def add_door(self, fd: int, family: int, wildcard: bool) -> int:
        """Answer on this bound UDP socket too; the caller keeps it open. `wildcard`: it is bound to all addresses, so that answers must name theirs."""

    def remove_door(self, door: int) -> None:
        """When it returns the thread does not use the socket any more; answers for it are dropped."""

    def drain(self, door: int | None = None) -> None:
        """Take what the kernel holds for a door (None: all), then no more: stats()["draining"] is 0 when that is done."""

    def configure(self, *, acl: Acl, rate: int) -> None:
        """Who may ask, and how many answers a second one client prefix (/24, /56) gets from this worker; 0: no limit."""

    def follow(self, upstreams: Sequence[tuple[int, bytes, int]]) -> None:
        """Forward plain misses to (number, packed address, port), the first choice first, at most 8; the second is the hedge. []: every miss comes up.
        What is under way ends where it began.
        """

    def start(self) -> None:
        """Start the thread; again after it died. Doors, questions under way and their clients are kept."""

    def stop(self) -> None:
        """End the thread and wait for that."""

    def fileno(self) -> int:
        """An eventfd: readable when poll has something, and when the thread has ended."""

    def poll(self) -> list[tuple[Ask, Client]]:
        """At most 64 questions; the descriptor stays readable while there are more."""

    def send(self, answers: Sequence[tuple[Client, bytes]]) -> int:
        """Answer clients that came up from this worker. Returns how many went."""

    def stats(self) -> dict[str, int]:
        """Running (0 or 1), error (the errno that ended it), in_flight (clients of forwarded questions), ring (questions not yet polled), draining (doors),
        forwarded, coalesced, hedged, escalated, batches, packets, rate_limited.
        """

    def upstreams(self) -> list[tuple[int, int, int, int, int, int, float]]:
        """(number, ok, timeout, failed, mismatch, malformed, smoothed round trip in ms) of each upstream that was followed; sums."""

@final
class Pending:
    """Queries on their way upstream: coalescing by key, IDs, deadlines, a limit."""

    def __init__(self, capacity: int) -> None: ...
    def open(self, ask: Ask, deadline_ms: int) -> tuple[int, bool] | None:
        """(slot, is new); None: the table is full. A slot is a number that is not given out again; equal keys share it and its first deadline."""
    def close(self, slot: int) -> None:
        """Free it. Nothing for one that is closed or expired."""
    def expire(self, now_ms: int) -> list[int]:
        """Free those whose deadline is now or earlier, the earliest first."""
    def __len__(self) -> int: ...
