"""The configuration as types: one frozen dataclass a section. The field documentation is the manual."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from blockd.terms import Action, ListName, Mode, Notify


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An IP address and a port; port 0 lets the kernel choose."""

    host: str
    port: int

    def __str__(self) -> str:
        """``127.0.0.1:53`` or ``[::1]:53``."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Upstream:
    """A resolver to forward to: ``udp://192.0.2.53:53``, ``tcp://...`` (tls:// and https:// come with their issue)."""

    scheme: str
    endpoint: Endpoint
    server_name: str = ""

    def __str__(self) -> str:
        """As written in the configuration."""
        return f"{self.scheme}://{self.endpoint}"


@dataclass(frozen=True, slots=True)
class Dns:
    listen: tuple[Endpoint, ...] = (Endpoint("0.0.0.0", 53), Endpoint("::", 53))
    upstreams: tuple[Upstream, ...] = ()
    cache_bytes: int = 256 << 20  # key: cache
    allow_from: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    before_lists: str = "servfail"  # servfail | answer


@dataclass(frozen=True, slots=True)
class StopPage:
    listen: tuple[Endpoint, ...] = (Endpoint("0.0.0.0", 80),)
    addresses: tuple[str, ...] = ()
    operator: str = ""
    contact: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Feed:
    name: str
    url: str
    root: Path
    every_s: float = 600.0  # key: every


@dataclass(frozen=True, slots=True)
class MaxChange:
    """An update is held when its changes exceed max(floor, share of the entries now enforced)."""

    add: float = 0.25  # share
    remove: float = 0.10  # share
    floor: int = 50  # entries


@dataclass(frozen=True, slots=True)
class ListPolicy:
    name: ListName
    mode: Mode = Mode.SHADOW
    action: Action | None = None  # None: the publisher's
    max_change: MaxChange = field(default_factory=MaxChange)
    on_expiry: str = "keep"  # keep | withdraw
    notify: Notify = Notify.FULL
    notify_basis: str = ""


@dataclass(frozen=True, slots=True)
class Counts:
    window_s: float = 3600.0
    threshold: int = 10


@dataclass(frozen=True, slots=True)
class Audit:
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Admin:
    listen: tuple[Endpoint, ...] = (Endpoint("127.0.0.1", 9553),)
    socket: Path | None = None
    operators: tuple[str, ...] = ("root",)  # [admin.roles] operator
    approvers: tuple[str, ...] = ("root",)  # [admin.roles] approver


@dataclass(frozen=True, slots=True)
class Run:
    user: str = ""


@dataclass(frozen=True, slots=True)
class Config:
    path: Path
    state_dir: Path = Path("/var/lib/blockd")
    runtime_dir: Path = Path("/run/blockd")
    run: Run = field(default_factory=Run)
    dns: Dns = field(default_factory=Dns)
    stop_page: StopPage = field(default_factory=StopPage)
    feeds: tuple[Feed, ...] = ()
    lists: tuple[ListPolicy, ...] = ()
    counts: Counts = field(default_factory=Counts)
    audit: Audit = field(default_factory=Audit)
    admin: Admin = field(default_factory=Admin)
