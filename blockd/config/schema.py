# ruff: noqa: RUF009 -- key() and table() declare a field, as dataclasses.field() does
"""The configuration as types: one frozen dataclass a section, and each key's documentation beside it.

This file is the only description of the configuration. The loader (`typed.py`) walks it to read and to refuse; `manual.py` walks it to
write the commented blockd.toml of ``blockd init``, the manual page blockd.toml(5) and deploy/manual/configuration.md. To add a key, add
a field here.

A field says what it is with one of three helpers (`keys.py`): `key` a value of some kind, `table` a table, `tables` an array of tables.
Its own name is the key's name, unless `name` gives another: the key ``cache`` is the field `cache_bytes`, so that code sees the unit
and the file reads well. A key whose part of blockd is not there yet has ``built=False``: it is known, and refused when it is set.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from blockd.config.keys import key, table, tables
from blockd.config.places import (
    ACCOUNTS,
    ADDRESSES,
    CONTACTS,
    ENDPOINTS,
    NETWORKS,
    OPTIONAL_PATH,
    PATH,
    UPSTREAMS,
    Endpoint,
    Upstream,
    optional,
    url,
)
from blockd.config.values import SHARE, TEXTS, Kind, choice, duration, member, member_or, name, size, text, whole
from blockd.terms import Action, ListName, Mode, Notify

__all__ = [
    "Admin", "Audit", "Config", "Counts", "Dns", "Endpoint", "Feed", "Helpline", "ListPolicy", "MaxChange", "Run", "StopPage", "Upstream",
    "Web",
]  # fmt: skip

FEED_NAME = r"[a-z0-9](?:[a-z0-9_-]|\.(?!\.)){0,62}"
DAY_S = 86400.0
THREADS_MAX = 64
RATE_LIMIT_MAX = 1 << 24
THREADS = text('"auto"', r"auto|[1-9]|[1-5][0-9]|6[0-4]", f'"auto" or a number of threads, "1" to "{THREADS_MAX}"', empty=False)

_LIST = name('"hotline/domains"', rf"{FEED_NAME}/{FEED_NAME}", 'a list\'s name, FEED/LIST, such as "hotline/domains"')
LIST_NAME: Kind[ListName] = Kind(_LIST.name, _LIST.form, lambda value, base: ListName(_LIST.read(value, base)), _LIST.write)


@dataclass(frozen=True, slots=True)
class Run:
    """``[run]``: the process."""

    user: str = key(
        text('"blockd"', r"[A-Za-z_][A-Za-z0-9_.-]{0,31}", "the name of a user"),
        "The user to become once the sockets are bound, when blockd is started as root. Empty: stay. A service manager that starts "
        "blockd as its user needs no value here.",
        "",
    )


@dataclass(frozen=True, slots=True)
class Dns:
    """``[dns]``: the resolver proxy."""

    listen: tuple[Endpoint, ...] = key(
        ENDPOINTS,
        "Addresses to answer on, UDP and TCP. Port 0 lets the kernel choose; `blockd status` shows the real ports.",
        (Endpoint("0.0.0.0", 53), Endpoint("::", 53)),
    )
    upstreams: tuple[Upstream, ...] = key(
        UPSTREAMS,
        "The resolvers that answer what is not blocked, asked in this order of preference, with failover. `udp://` goes on to TCP for "
        "answers that do not fit; `tcp://` asks over TCP alone; both travel readable. `tls://NAME@ADDRESS` asks over TLS, only a server "
        "whose certificate is valid for NAME, and never without. The port may be left out (53, for tls 853). At least one; never an "
        "address that blockd itself listens on.",
        (),
        example='["udp://192.0.2.53:53", "tls://resolver.example@192.0.2.54"]',
    )
    upstream_ca: Path | None = key(
        OPTIONAL_PATH,
        "Certificates (PEM) of the authorities that sign for `tls://` upstreams, readable for `run.user`: only those are then believed. Empty: those "
        "that the system trusts.",
        None,
    )
    cache_bytes: int = key(
        size(1 << 20, 1 << 40),
        "Memory for answers of the upstreams. Blocked answers are never cached: a list takes effect at once.",
        256 << 20,
        name="cache",
    )
    allow_from: tuple[str, ...] = key(
        NETWORKS,
        "Networks that may ask; everyone else gets REFUSED. An open resolver (`0.0.0.0/0`) is a choice, not a default: it can be used to "
        "flood others, and `blockd check` warns.",
        ("127.0.0.0/8", "::1/128"),
        example='["127.0.0.0/8", "::1/128", "192.0.2.0/24"]',
    )
    before_lists: str = key(
        choice("servfail", "answer"),
        "What a fresh node does until its first verified list is loaded: `servfail` answers SERVFAIL with Extended DNS Error 14 (Not "
        "Ready), so that clients turn to another node; `answer` resolves unfiltered. Does not apply when no lists are configured.",
        "servfail",
    )
    threads: str = key(
        THREADS,
        "Threads that answer over UDP, each with its own sockets and a core of its own when it has one: `auto` takes one for each core that the "
        f'process may use; a number, as text, that many ("1" to "{THREADS_MAX}"). A reload changes it without losing a query.',
        "auto",
    )
    rate_limit: int = key(
        whole(0, RATE_LIMIT_MAX),
        "Answers a second over UDP to one network of clients (IPv4 /24, IPv6 /56), blocked answers included, so that nobody can flood a victim "
        "by forging its address. Above it, every second query is answered with the TC bit alone, which takes a real client to TCP; the others are "
        "dropped. The threads share it evenly. 0: no limit.",
        0,
    )
    tls_listen: tuple[Endpoint, ...] = key(ENDPOINTS, "DNS over TLS, port 853.", (), built=False)
    https_listen: tuple[Endpoint, ...] = key(ENDPOINTS, "DNS over HTTPS, port 443, path /dns-query.", (), built=False)
    quic_listen: tuple[Endpoint, ...] = key(ENDPOINTS, "DNS over QUIC, port 853.", (), built=False)
    certificate: Path | None = key(OPTIONAL_PATH, "Certificate chain (PEM) of the encrypted listeners.", None, built=False)
    private_key: Path | None = key(OPTIONAL_PATH, "Private key (PEM) of the encrypted listeners.", None, built=False)
    proxy_protocol_from: tuple[str, ...] = key(NETWORKS, "Networks whose connections begin with a PROXY header.", (), built=False)
    xdp: str = key(
        choice("off", "auto", "native", "generic"),
        "Answer blocked names before the kernel's network stack sees them (Linux 5.18 or newer, libbpf1, capabilities CAP_BPF, CAP_NET_ADMIN and "
        "CAP_PERFMON): `native` in the network driver, `generic` behind it, `auto` the better of the two that works, or neither. What is not plain "
        "passes to the resolver as ever.",
        "off",
    )
    xdp_interface: str = key(
        text('"eth0"', r"[^\s/:]{1,15}", "the name of a network interface"), "The interface that XDP is attached to.", "", example='"eth0"'
    )
    xdp_listen: tuple[Endpoint, ...] = key(
        ENDPOINTS,
        "Addresses of another resolver on this machine that XDP guards as a sidecar, with `listen` empty: blocked names are answered, everything "
        "else reaches that resolver untouched. TCP, encrypted DNS and the targets of CNAME records pass it by.",
        (),
    )

    def thread_count(self, cores: int) -> int:
        """How many threads `threads` means on a machine with this many cores to use."""
        return min(cores, THREADS_MAX) if self.threads == "auto" else int(self.threads)


@dataclass(frozen=True, slots=True)
class Helpline:
    """``[[stop_page.helplines]]``: someone to turn to."""

    name: str = key(name('"Stop It Now"', r".{1,100}", "a name of at most 100 characters"), "What it is called, in its own language.")
    language: str = key(
        text('"en"', r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*", 'a language tag, such as "en" or "pt-BR"'),
        "Shown to readers of this language (BCP 47). Empty: to all.",
        "",
    )
    phone: str = key(
        text('"0800 1000 900"', r"\+?[0-9][0-9 ().-]{1,30}", "a telephone number"), "Telephone number, as people there dial it.", ""
    )
    url: str = key(optional(url("https", "http")), "Its web page. At least one of `phone` and `url`.", "")


@dataclass(frozen=True, slots=True)
class StopPage:
    """``[stop_page]``: what a person sees."""

    listen: tuple[Endpoint, ...] = key(
        ENDPOINTS,
        "Addresses for the page, plain HTTP. Empty: no page is served here (another host may serve it).",
        (Endpoint("0.0.0.0", 80),),
    )
    addresses: tuple[str, ...] = key(
        ADDRESSES,
        "What a name with the action `stop_page` resolves to: this gateway's addresses as subscribers reach them, IPv4 and IPv6. Empty: "
        "such names get NXDOMAIN.",
        (),
        example='["192.0.2.80", "2001:db8::80"]',
    )
    operator: str = key(text('"Example ISP"'), "Who blocks: shown on the page and in structured DNS errors.", "", example='"Example ISP"')
    contact: tuple[str, ...] = key(
        CONTACTS,
        "Where to complain or appeal, `mailto:` or `tel:`; on the page and in structured DNS errors.",
        (),
        example='["mailto:abuse@example.net"]',
    )
    hotline: str = key(
        optional(url("https", "http")),
        "Page of the hotline where illegal content is reported, such as a member of INHOPE. Empty: none is shown.",
        "",
    )
    helplines: tuple[Helpline, ...] = tables(
        Helpline, "Help for people who see the page: for those who worry about what they look at, and for children."
    )
    tls_listen: tuple[Endpoint, ...] = key(ENDPOINTS, "Answers a blocked TLS name with an alert.", (), built=False)


@dataclass(frozen=True, slots=True)
class Web:
    """``[web]``: the transparent URL filter."""

    listen: tuple[Endpoint, ...] = key(ENDPOINTS, "The transparent filter.", (), built=False)
    intercept: str = key(choice("none", "tproxy"), "How traffic comes to the filter.", "none", built=False)
    shared_addresses: str = key(choice("skip", "divert"), "Addresses that many other names use.", "skip", built=False)
    on_failure: str = key(choice("", "open", "closed"), "What happens to traffic when the filter is not there.", "", built=False)


@dataclass(frozen=True, slots=True)
class Feed:
    """``[[feeds]]``: a publisher's repository."""

    name: str = key(
        name('"hotline"', FEED_NAME, "a feed's name: lower-case letters, digits, - _ . and at most 63 characters"),
        "What this gateway calls the feed; the first half of its lists' names.",
    )
    url: str = key(
        url("https", "http", "file"),
        "Where the repository is: `metadata/` and `targets/` lie below. A mirror is as good as the publisher's own server, since trust "
        "comes from the signatures.",
    )
    root: Path = key(
        PATH,
        "The publisher's first root.json, pinned: it says whose signatures count. Get it by a way that you trust, not from the feed's "
        "own server.",
        example='"roots/hotline.json"',
    )
    every_s: float = key(
        duration(1, 7 * DAY_S), "How often to look. A look costs some 500 octets when nothing changed.", 600.0, name="every"
    )
    client_certificate: Path | None = key(
        OPTIONAL_PATH, "Certificate (PEM) that names this member to the feed's server, with `client_key`.", None
    )
    client_key: Path | None = key(OPTIONAL_PATH, "Private key (PEM) of `client_certificate`.", None)
    token_file: Path | None = key(OPTIONAL_PATH, "File with a bearer token that the feed's server asks of members; `https://` only.", None)
    identity: Path | None = key(
        OPTIONAL_PATH, "The age identity that secret lists are encrypted to. Its file should be readable by blockd alone.", None
    )


@dataclass(frozen=True, slots=True)
class MaxChange:
    """``max_change``: an update is held when its changes exceed max(floor, share of the entries now enforced)."""

    add: float = key(SHARE, "Entries that may be added, as a share of those now enforced.", 0.25)
    remove: float = key(SHARE, "Entries that may be removed.", 0.10)
    floor: int = key(whole(0, 1_000_000_000), "This many changes always pass, for small lists.", 50)


def both_shares(value: object) -> object:
    """Read ``max_change = "5%"``: both shares."""
    if not isinstance(value, str):
        return None
    share = SHARE.read(value, Path())
    return MaxChange(add=share, remove=share)


@dataclass(frozen=True, slots=True)
class ListPolicy:
    """``[[lists]]``: what one list may do here."""

    name: ListName = key(
        LIST_NAME,
        "FEED/LIST: the feed's `name` and the list's name at its publisher.",
    )
    mode: Mode = key(
        member(Mode),
        "`shadow` counts what would be blocked and blocks nothing; `enforce` blocks; `off` does neither. Watch a new list in shadow first.",
        Mode.SHADOW,
    )
    action: Action | None = key(
        member_or("publisher", Action),
        "What a blocked name is answered with: `publisher` as the publisher signed it; else `stop_page` (the addresses of "
        "`[stop_page]`), `nxdomain`, `nodata`, `refused`, or `drop` (no answer at all; clients wait).",
        None,
    )
    max_change: MaxChange = table(
        MaxChange,
        "An update that changes more is held until someone approves it (`blockd lists approve`): more than `floor` entries, and more "
        'than these shares of the entries now enforced. A first version is exempt. `max_change = "5%"` sets both shares.',
        short=both_shares,
    )
    on_expiry: str = key(
        choice("keep", "withdraw"),
        "When the list's signed metadata expires and no fresh one comes: `keep` enforcing the last good version, or `withdraw` it. "
        "Always an alarm.",
        "keep",
    )
    notify: Notify = key(
        member(Notify),
        "What a blocked client is told: `full` (Extended DNS Error, structured error, stop page), `code` (the Extended DNS Error's code "
        "alone), or `none`. `none` is only for lists whose law forbids telling; it needs `notify_basis`, is written to the record, and "
        "figures are published all the same.",
        Notify.FULL,
    )
    notify_basis: str = key(
        text('"Example Act 2021 s. 12(3)"', r".{1,200}", "a citation of at most 200 characters"),
        'The legal citation for `notify = "none"`.',
        "",
    )


@dataclass(frozen=True, slots=True)
class Counts:
    """``[counts]``: figures without identity."""

    window_s: float = key(
        duration(3600, 7 * DAY_S, ": a shorter window could show one subscriber's hit"),
        "Counts of sensitive lists (secret, or of the category csam) are released at the end of a window of this length, an hour or more.",
        3600.0,
        name="window",
    )
    threshold: int = key(
        whole(10, 1_000_000, ": a lower one could show one subscriber's hit"),
        "A sensitive count below this is not released but carried forward.",
        10,
    )


@dataclass(frozen=True, slots=True)
class Audit:
    """``[audit]``: the record of every list update and override."""

    origin: str = key(
        text(
            '"blockd.example.net/NODE/{year}"',
            r"[^\s+{}]{0,200}(?:\{year\}[^\s+{}]{0,200})?",
            "an origin: no spaces, no +, and no {} but {year}",
        ),
        "The name of this node's record: one for each gateway and year, under a domain name that is yours. `{year}` becomes the year. "
        "Empty: blockd/ and the machine's name, which is unique only among your own.",
        "",
        example='"blockd.example.net/gw1/{year}"',
    )
    listen: tuple[Endpoint, ...] = key(ENDPOINTS, "A public listener for /audit alone.", (), built=False)
    witnesses: tuple[str, ...] = key(TEXTS, "Who cosigns the record's checkpoints.", (), built=False)


@dataclass(frozen=True, slots=True)
class Admin:
    """``[admin]``: for the people who run it."""

    listen: tuple[Endpoint, ...] = key(
        ENDPOINTS,
        "HTTP for /metrics, /healthz, /readyz and the console. For the inside network: it has no login.",
        (Endpoint("127.0.0.1", 9553),),
    )
    socket: Path | None = key(
        OPTIONAL_PATH,
        "The control socket of `blockd status` and `blockd lists`. Empty: admin.sock in `runtime_dir`. Whoever asks is known by the "
        "peer's credentials.",
        None,
        example='"/run/blockd/admin.sock"',
    )
    operators: tuple[str, ...] = key(
        ACCOUNTS,
        "Users and groups that may use the levers: update, hold, rollback, kill, resume. root always may.",
        ("root",),
        name="roles.operator",
    )
    approvers: tuple[str, ...] = key(
        ACCOUNTS,
        "Users and groups that may approve a held update. root always may.",
        ("root",),
        name="roles.approver",
    )


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration. Only :mod:`blockd.config.load` makes one from files; a checked one has no faults in it."""

    path: Path
    state_dir: Path = key(
        PATH,
        "What must outlive a restart: feeds' metadata, compiled lists, generations, the record, counts. On a local disk.",
        Path("/var/lib/blockd"),
    )
    runtime_dir: Path = key(PATH, "Sockets and the workers' counters; made at start.", Path("/run/blockd"))
    run: Run = table(Run, "The process.")
    dns: Dns = table(Dns, "The resolver proxy.")
    stop_page: StopPage = table(StopPage, "The page that a person sees in place of a blocked site.")
    web: Web = table(Web, "The transparent URL filter.")
    feeds: tuple[Feed, ...] = tables(Feed, "Publishers' signed repositories, one table each.")
    lists: tuple[ListPolicy, ...] = tables(
        ListPolicy,
        "The lists to load and what each may do, one table each. When several lists match a name: enforce goes before shadow, then the "
        "strongest legal basis, then the most specific entry, then the order here.",
    )
    counts: Counts = table(Counts, "Aggregate figures; nobody's identity is in any of them.")
    audit: Audit = table(Audit, "The record of what was enforced and when.")
    admin: Admin = table(Admin, "Metrics, health and control, for those who run the gateway.")
