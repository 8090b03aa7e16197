"""The console: one read-only page of HTML that tells at a glance how the gateway fares. Pure.

It has no script and nothing from elsewhere; the style is allowed by its digest, everything else is forbidden by the policy header. The page
asks for itself again every :data:`REFRESH_S`. All text comes from :class:`~blockd.admin.facts.Facts` and is escaped.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Final

from blockd.admin.health import why_not_ready
from blockd.terms import Mode, Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from blockd.admin.facts import Facts, ListFacts
    from blockd.counts.tallies import Totals
    from blockd.terms import Instant

REFRESH_S: Final = 15
EXPIRY_SOON_S: Final = 86400.0

STYLE: Final = """
:root{color-scheme:light dark;--ink:#1a1f24;--dim:#55606b;--paper:#f7f8f9;--card:#fff;--line:#d5dbe0;
--good:#0b6b3a;--bad:#b3261e;--warn:#8a5300}
@media(prefers-color-scheme:dark){:root{--ink:#e8ecef;--dim:#a7b1ba;--paper:#14181b;--card:#1d2327;--line:#39424a;
--good:#6fd79b;--bad:#ff9d94;--warn:#ffc66b}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.45 system-ui,"Segoe UI",Roboto,"Noto Sans",sans-serif}
header,main,footer{max-width:72rem;margin:0 auto;padding:1rem 1.25rem}
header{display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;align-items:baseline}
h1{font-size:1.4rem;margin:0}h2{font-size:1.05rem;margin:0 0 .6rem}
.dim,footer{color:var(--dim)}.good{color:var(--good)}.bad{color:var(--bad)}.warn{color:var(--warn)}.good,.bad,.warn{font-weight:600}
section{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:1rem;margin:0 0 1rem;overflow-x:auto}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(10.5rem,1fr));gap:.75rem;margin:0}
dt{color:var(--dim);font-size:.85rem}dd{margin:0;font-size:1.25rem;font-variant-numeric:tabular-nums}
table{border-collapse:collapse;width:100%}
th,td{text-align:start;padding:.4rem .7rem .4rem 0;border-bottom:1px solid var(--line);vertical-align:top}
td{white-space:nowrap;font-size:.95rem}
th{font-size:.85rem;font-weight:600;color:var(--dim)}
.n{text-align:end;font-variant-numeric:tabular-nums}
section p{margin:.75rem 0 0}ul{margin:0;padding-inline-start:1.2rem}a{color:inherit}
"""

_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

HEADERS: Final = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Cache-Control", "no-store"),
    (
        "Content-Security-Policy",
        f"default-src 'none'; style-src 'sha256-{_DIGEST}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Refresh", str(REFRESH_S)),
)

_NUMBERS: Final = frozenset({"Version", "Entries", "Rejected"})
"""Columns of figures: set to the right."""

_BAD_RESULTS: Final = frozenset(
    {Result.FETCH, Result.SIGNATURE, Result.ROLLBACK, Result.EXPIRED, Result.SHAPE, Result.CHANGE_CAP, Result.HELD}
)


def render(facts: Facts, totals: Totals, now: Instant) -> str:
    """The page as it is at `now`."""
    reasons = why_not_ready(facts)
    word = '<strong class="good">ready</strong>' if not reasons else '<strong class="bad">not ready</strong>'
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>blockd: {'ready' if not reasons else 'not ready'}</title><style>{STYLE}</style></head><body>",
        f"<header><h1>blockd</h1><span>This gateway is {word}.</span>",
        f'<span class="dim">version {escape(facts.version)}, as of {_clock(now)} UTC</span></header><main>',
        _attention(facts, reasons),
        _glance(facts, totals),
        _lists(facts.lists, now),
        _upstreams(facts),
        _roles(facts),
        "</main><footer>This page only shows. To act: <code>blockd lists</code>. ",
        'Figures: <a href="/metrics">/metrics</a>, <a href="/api/v1/status">/api/v1/status</a>.</footer></body></html>',
    ]
    return "".join(parts)


def _attention(facts: Facts, reasons: Sequence[str]) -> str:
    items = [f'<li class="bad">{escape(reason)}</li>' for reason in reasons]
    items += [f"<li>{escape(alarm.text)}</li>" for alarm in facts.alarms]
    if not items:
        return ""
    return f'<section aria-labelledby="attention"><h2 id="attention">Needs a look</h2><ul>{"".join(items)}</ul></section>'


def _glance(facts: Facts, totals: Totals) -> str:
    hits = sum(totals.of("hit").values())
    note = ""
    if totals.windowed and totals.next_release is not None:
        note = f'<p class="dim">A sensitive list is loaded: figures of traffic move once a window, next at {_clock(totals.next_release)} UTC.</p>'
    cells = (
        ("Generation", _number(facts.table.generation) if facts.table.generation else '<span class="warn">none yet</span>'),
        ("Entries enforced", _number(facts.table.entries)),
        ("Table", _octets(facts.table.bytes)),
        ("Hits", _number(hits)),
        ("Audit entries", _number(facts.audit.size)),
        ("Last audit entry (UTC)", _age_of(facts.audit.checkpoint)),
    )
    body = "".join(f"<div><dt>{term}</dt><dd>{value}</dd></div>" for term, value in cells)
    return f'<section aria-labelledby="glance"><h2 id="glance">At a glance</h2><dl>{body}</dl>{note}</section>'


def _lists(lists: Sequence[ListFacts], now: Instant) -> str:
    if not lists:
        return '<section aria-labelledby="lists"><h2 id="lists">Lists</h2><p class="dim">No list is configured.</p></section>'
    rows = (
        (
            _text(one.name),
            _mode(one),
            _state(one),
            _number(one.version, right=True),
            _number(one.entries, right=True),
            _number(sum(one.rejected.values()), right=True),
            _result(one),
            _age_of(one.last_success, "td"),
            _expiry(one, now),
        )
        for one in lists
    )
    heads = ("List", "Mode", "State", "Version", "Entries", "Rejected", "Last run", "Last success (UTC)", "Expires (UTC)")
    return _table("lists", "Lists", heads, rows)


def _upstreams(facts: Facts) -> str:
    rows = ((_text(one.address), '<td class="good">up</td>' if one.up else '<td class="bad">down</td>') for one in facts.upstreams)
    return _table("upstreams", "Upstreams", ("Address", "State"), rows)


def _roles(facts: Facts) -> str:
    rows = (
        (_text(one.name), f'<td class="{"good" if one.state == "ready" else "bad"}">{escape(one.state)}</td>', _text(str(one.pid)))
        for one in facts.roles
    )
    doors = "".join(f"<li>{escape(door)}: {escape(', '.join(addresses))}</li>" for door, addresses in sorted(facts.listen.items()))
    return _table("roles", "Processes and doors", ("Role", "State", "Process"), rows, f"<ul>{doors}</ul>" if doors else "")


def _table(anchor: str, title: str, heads: Sequence[str], rows: Iterable[Sequence[str]], after: str = "") -> str:
    head = "".join(f'<th scope="col"{" class=n" if name in _NUMBERS else ""}>{name}</th>' for name in heads)
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<section aria-labelledby="{anchor}"><h2 id="{anchor}">{title}</h2>{table}{after}</section>'


def _text(value: str) -> str:
    return f"<td>{escape(value)}</td>"


def _octets(n: int) -> str:
    return f"{n / 1024:.0f} KiB" if n < 1 << 20 else f"{n / (1 << 20):.1f} MiB"


def _number(value: int, *, right: bool = False) -> str:
    shown = f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f'<td class="n">{shown}</td>' if right else shown


def _mode(one: ListFacts) -> str:
    return _text(one.mode.value + (", secret" if one.secret and one.mode is not Mode.OFF else ""))


def _state(one: ListFacts) -> str:
    kind = {"live": "good", "held": "warn", "none": "dim"}[one.state]
    return f'<td class="{kind}">{escape(one.state)}</td>'


def _result(one: ListFacts) -> str:
    if one.last_result is None:
        return '<td class="dim">never</td>'
    mark = ' class="warn"' if one.last_result in _BAD_RESULTS else ""
    return f"<td{mark}>{escape(one.last_result.value)}</td>"


def _expiry(one: ListFacts, now: Instant) -> str:
    if one.expires is None:
        return '<td class="dim">unknown</td>'
    kind = "bad" if one.expires < now else "warn" if one.expires - now < EXPIRY_SOON_S else ""
    return f'<td class="{kind}">{_clock(one.expires)}</td>' if kind else f"<td>{_clock(one.expires)}</td>"


def _age_of(at: float | None, cell: str = "") -> str:
    shown = "never" if not at else _clock(at)
    return f"<{cell}>{shown}</{cell}>" if cell else shown


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
