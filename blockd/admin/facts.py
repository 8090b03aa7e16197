"""What the admin listener shows: one frozen value that the control process builds when someone asks.

`admin` has no import of the parts that know these things; whoever owns the process gives a callable that returns a :class:`Facts`.
Building one must be cheap (a scrape every few seconds) and must not wait for a feed, an upstream or a worker.

Nothing here speaks of a client, a name that was asked for, or an entry of a list: counts of entries and rejected rows are figures about
the publisher's file. Counts of traffic are not here but in :class:`blockd.counts.tallies.Totals`, which holds released values only;
:attr:`UpstreamFacts.requests` and :attr:`WorkerFacts.events` are the exceptions, and go through the same release before the metrics page shows them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from blockd.terms import Action, Basis, Category, Instant, ListName, Mode, Result

ENFORCEABLE: Final = ("dns", "http_path", "tls_host", "unenforceable")
"""The label `enforceable` of ``blockd_list_entries``: where an entry of that kind can be enforced."""

UPSTREAM_RESULTS: Final = ("ok", "timeout", "refused", "mismatch", "malformed", "error", "certificate", "handshake")
"""The label `result` of ``blockd_upstream_requests_total``. No other word is shown."""

UPSTREAM_HEDGED: Final = "hedged"
"""Beside the results: queries that an upstream got because another was late, ``blockd_upstream_hedges_total``."""

WORKER_EVENTS: Final = ("forwarded", "coalesced", "hedged", "escalated")
"""The label `event` of ``blockd_worker_events_total``: what native threads did with queries that they could not answer at once."""

XDP_MODES: Final = ("native", "generic")
"""The label `mode` of ``blockd_xdp_attached``."""

ListState = Literal["live", "held", "none"]


@dataclass(frozen=True, slots=True)
class ListFacts:
    """One list of the configuration, and the newest that is known of it."""

    name: ListName
    mode: Mode
    state: ListState = "none"  # live: in the current generation; held: a newer version waits for a person; none: never loaded
    version: int = 0  # the enforced (or shadowed) one; 0: none
    entries: int = 0
    enforceable: Mapping[str, int] = field(default_factory=dict)  # ENFORCEABLE -> entries; a missing word is 0
    rejected: Mapping[str, int] = field(default_factory=dict)  # reason -> rows of the enforced version
    updates: Mapping[Result, int] = field(default_factory=dict)  # how update runs ended since this node was set up
    last_result: Result | None = None
    last_success: Instant | None = None  # of the last run that ended applied or not_modified
    expires: Instant | None = None  # of the newest verified metadata
    basis: Basis | None = None  # None until a version was verified
    category: Category | None = None
    action: Action | None = None  # what is answered: the configuration's, else the publisher's
    secret: bool = False


@dataclass(frozen=True, slots=True)
class UpstreamFacts:
    """One resolver behind the gateway, as configured."""

    address: str  # "udp://192.0.2.53:53"
    up: bool
    requests: Mapping[str, int] = field(default_factory=dict)  # UPSTREAM_RESULTS and UPSTREAM_HEDGED -> since the process started
    why: str = ""  # what is wrong with it, one line; empty: nothing is known


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """The native threads of the resolver that answer UDP, together."""

    threads: int = 0  # that there shall be; 0: the resolver has not reported
    running: int = 0
    restarts: int = 0  # of threads that had ended, since the resolver process started
    events: Mapping[str, int] = field(default_factory=dict)  # WORKER_EVENTS -> since then


@dataclass(frozen=True, slots=True)
class XdpFacts:
    """The program that answers before the kernel's network stack, as the role xdp and the kernel tell."""

    interface: str = ""  # empty: no role xdp has reported
    mode: str = "off"  # native | generic | off
    attached: bool = False  # the kernel names our program on that interface
    program: int = 0  # its number in the kernel
    services: int = 0  # addresses that it answers at
    why_not: str = ""  # one line, when it is not attached


@dataclass(frozen=True, slots=True)
class RoleFacts:
    """One process of the gateway."""

    name: str  # resolver | web | control
    pid: int
    state: str  # starting | ready | not ready | draining | down
    why_not: str = ""  # one line, when it is not ready


@dataclass(frozen=True, slots=True)
class AuditFacts:
    """The record's head."""

    origin: str = ""
    size: int = 0
    root: str = ""  # hex
    checkpoint: Instant | None = None


@dataclass(frozen=True, slots=True)
class TableFacts:
    """The current generation; number 0: none yet."""

    generation: int = 0
    entries: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that a person should look at."""

    code: str  # a stable word: "list_held", "protected_rows", "upstream_down"
    text: str  # what happened, what it means, what to do: one line


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that status, readiness, the console and the metrics page tell, apart from counts of traffic."""

    version: str  # of blockd
    table: TableFacts = field(default_factory=TableFacts)
    lists: Sequence[ListFacts] = ()
    audit: AuditFacts = field(default_factory=AuditFacts)
    upstreams: Sequence[UpstreamFacts] = ()
    xdp: XdpFacts = field(default_factory=XdpFacts)
    workers: WorkerFacts = field(default_factory=WorkerFacts)
    roles: Sequence[RoleFacts] = ()
    listen: Mapping[str, Sequence[str]] = field(default_factory=dict)  # door -> real addresses, "127.0.0.1:5300"
    alarms: Sequence[Alarm] = ()
    before_lists: str = "servfail"  # [dns] before_lists: with "answer", or without lists, no policy is needed to be ready
