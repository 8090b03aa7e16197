"""The page that a person sees instead of a blocked address. Pure: what is known of the request in, a whole answer out.

======================================  ======  ==========================================================================================
the name asked for                      status  the answer
======================================  ======  ==========================================================================================
on a mandated list                      451     the page, and ``Link: <...>; rel="blocked-by"``: who implements the block (RFC 7725 §3, §4)
on a voluntary or subscriber's list     403     the page
on a list whose `notify` is ``code``    same    the status and its headers alone
on a list whose `notify` is ``none``    421     as for a name that is not blocked: the page says nothing, and nothing untrue
not blocked, or no name                 421     a page that says that there is nothing to show. Misdirected Request (RFC 9110 §15.5.20) is
                                                true: this server speaks for no site. 404 would be a claim about someone else's page
no lists loaded yet                     503     try again
not HTTP, or not one Host               400     the status alone
======================================  ======  ==========================================================================================

The same for every method. Nothing of the request comes back: not the host, path, query, referrer or method; the reference is the list
and the hour, the same for everyone who is blocked by it in that hour. No script, cookie, redirect or foreign asset; the one style is
allowed by its digest and nothing else is allowed at all. No HSTS: the header would outlive the block, for a name that is not ours.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Final

from blockd.stop_page.words import WORDS, Words
from blockd.terms import Basis, Category, Notify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockd.terms import Instant, ListName

PAGE_MAX_BYTES: Final = 10_000
"""With the most that the configuration may hold of helplines and contacts; kept by :data:`SHOWN_MAX`."""

SHOWN_MAX: Final = 8
"""Helplines, and contacts, that one page shows."""

STYLE: Final = """
:root{color-scheme:light dark;--ink:#1a1f24;--dim:#4d5863;--paper:#f4f5f6;--card:#fff;--line:#cfd6dc;--link:#0b57a4;--mark:#8c2f00}
@media(prefers-color-scheme:dark){
:root{--ink:#eceff1;--dim:#b3bcc4;--paper:#121619;--card:#1b2126;--line:#3b454d;--link:#8ec7ff;--mark:#ffb68f}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:1.0625rem/1.6 system-ui,"Segoe UI",Roboto,"Noto Sans","Noto Sans Arabic",sans-serif}
main{max-width:40rem;margin:8vh auto 0;padding:2rem 1.5rem;background:var(--card);border:1px solid var(--line);border-radius:.75rem}
h1{font-size:1.7rem;line-height:1.25;margin:0 0 .75rem}h2{font-size:1.1rem;margin:1.75rem 0 .4rem}
p{margin:0 0 .75rem}ul{margin:0;padding-inline-start:1.25rem}li{margin:.25rem 0}
dl{display:grid;grid-template-columns:auto 1fr;gap:.4rem 1.25rem;margin:1.25rem 0;padding:1rem 0;
border-top:1px solid var(--line);border-bottom:1px solid var(--line)}
dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere}
a{color:var(--link);text-underline-offset:.15em;overflow-wrap:anywhere}a:focus-visible{outline:3px solid var(--link);outline-offset:3px}
.report{margin-top:.75rem}.mark{color:var(--mark);font-weight:600;margin:0 0 .25rem}
footer{max-width:40rem;margin:0 auto;padding:1rem 1.5rem 3rem;color:var(--dim);font-size:.9rem}
@media(max-width:44rem){main{margin:0;border-width:0 0 1px;border-radius:0;padding:1.5rem 1.25rem}
dl{grid-template-columns:1fr;gap:0}dd{margin:0 0 .6rem}}
"""

_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

COMMON_HEADERS: Final = (
    ("Cache-Control", "no-store"),  # 451 is cacheable by default (RFC 7725 §3)
    (
        "Content-Security-Policy",
        f"default-src 'none'; style-src 'sha256-{_DIGEST}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Robots-Tag", "noindex"),
)

RETRY_AFTER_S: Final = 30
_SCHEMES: Final = ("https://", "http://", "mailto:", "tel:")
_CENSORED = 451


@dataclass(frozen=True, slots=True)
class Helpline:
    """Someone to turn to. `language`: a language tag, or "" for all readers."""

    name: str
    phone: str = ""  # as people there dial it
    url: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator says of himself. Every text is escaped where it is used."""

    operator: str = ""
    contact: Sequence[str] = ()  # URIs
    helplines: Sequence[Helpline] = ()
    hotline: str = ""  # URL: where illegal content is reported


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a name is blocked: of the list that decides. Never the name."""

    list: ListName
    basis: Basis
    category: Category
    notify: Notify


@dataclass(frozen=True, slots=True)
class Page:
    """A whole answer, and how it is counted: `language` is ``none`` where there is no text."""

    status: int
    language: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


def blocked(reason: Reason, language: str, settings: Settings, now: Instant) -> Page:
    """The answer for a blocked name."""
    if reason.notify is Notify.NONE:
        return nothing(language, settings)
    status = _CENSORED if reason.basis is Basis.MANDATED else 403
    extra = _blocked_by(settings) if status == _CENSORED else ()
    if reason.notify is Notify.CODE:
        return Page(status, "none", (*COMMON_HEADERS, *extra), b"")
    words = WORDS[language]
    reference = f"{reason.list}, {datetime.fromtimestamp(now, UTC):%Y-%m-%d %H}:00 UTC"
    facts = (
        (words.label_reason, words.category[reason.category]),
        (words.label_basis, words.basis[reason.basis]),
        (words.label_reference, f'<bdi dir="ltr">{escape(reference)}</bdi>'),
    )
    main = [
        f'<p class="mark">{status}</p><h1>{words.blocked}</h1><p>{_named(words.why[reason.basis], words, settings)}</p><dl>',
        *(f"<dt>{term}</dt><dd>{value}</dd>" for term, value in facts),
        "</dl>",
        _help(reason, language, settings),
        _report(words, settings),
        _appeal(words, settings),
    ]
    return _page(status, language, words.blocked, "".join(main), extra)


def nothing(language: str, settings: Settings) -> Page:
    """The answer where there is no block to explain. It is also what `notify` none gets, so it must be true of both."""
    words = WORDS[language]
    text = f"<h1>{words.nothing}</h1><p>{_named(words.nothing_why, words, settings)}</p>"
    return _page(421, language, words.nothing, text)


def starting(language: str, settings: Settings) -> Page:
    """The answer while no list is loaded."""
    words = WORDS[language]
    text = f"<h1>{words.starting}</h1><p>{_named(words.starting_why, words, settings)}</p>"
    return _page(503, language, words.starting, text, (("Retry-After", str(RETRY_AFTER_S)),))


def bare(status: int) -> Page:
    """A status alone, for what is no request that could be answered."""
    return Page(status, "none", COMMON_HEADERS, b"")


def _page(status: int, language: str, title: str, main: str, extra: tuple[tuple[str, str], ...] = ()) -> Page:
    words = WORDS[language]
    body = (
        f'<!doctype html><html lang="{language}" dir="{words.direction}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head>"
        f"<body><main>{main}</main><footer><p>{words.privacy}</p></footer></body></html>"
    )
    text = (("Content-Type", "text/html; charset=utf-8"), ("Content-Language", language), ("Vary", "Accept-Language"))
    return Page(status, language, (*text, *COMMON_HEADERS, *extra), body.encode())


def _blocked_by(settings: Settings) -> tuple[tuple[str, str], ...]:
    """Who implements the block: the operator's web address if there is one, else any other contact."""
    uris = [uri for uri in settings.contact if _plain(uri)]
    web = [uri for uri in uris if uri.startswith(_SCHEMES[:2])]
    return (("Link", f'<{(web or uris)[0]}>; rel="blocked-by"'),) if uris else ()


def _plain(uri: str) -> bool:
    """Whether a URI can stand in a header and in a link as it is (RFC 3986 §2: printable ASCII, no delimiters of ours)."""
    return uri.startswith(_SCHEMES) and all("!" <= c <= "~" and c not in '<>"\\^`{|}' for c in uri)


def _named(text: str, words: Words, settings: Settings) -> str:
    """Put the operator's name in, isolated from the direction of the text around it."""
    return text.replace("{operator}", f"<bdi>{escape(settings.operator)}</bdi>" if settings.operator else words.nobody)


def _link(uri: str, text: str = "") -> str:
    shown = escape(text or uri.removeprefix("mailto:").removeprefix("tel:"))
    inner = f"<bdi>{shown}</bdi>" if text else f'<bdi dir="ltr">{shown}</bdi>'
    return f'<a href="{escape(uri)}">{inner}</a>' if _plain(uri) else inner


def _help(reason: Reason, language: str, settings: Settings) -> str:
    """The helplines of this language and of all; where there are none, every helpline: some help is better than none."""
    mine = [line for line in settings.helplines if line.language.partition("-")[0].lower() in {"", language}]
    lines = (mine or list(settings.helplines))[:SHOWN_MAX]
    if not lines:
        return ""
    words = WORDS[language]
    worried = f"<p>{words.worried}</p>" if reason.category is Category.CSAM else ""
    items = "".join(f"<li>{_helpline(line)}</li>" for line in lines)
    return f"<h2>{words.help}</h2>{worried}<ul>{items}</ul>"


def _helpline(line: Helpline) -> str:
    name = _link(line.url, line.name) if line.url else f"<bdi>{escape(line.name)}</bdi>"
    if not line.phone:
        return name
    dial = "".join(c for c in line.phone if c in "+0123456789")
    return f'{name} · <a href="tel:{dial}"><bdi dir="ltr">{escape(line.phone)}</bdi></a>'


def _appeal(words: Words, settings: Settings) -> str:
    how = _named(words.appeal_how if settings.contact else words.appeal_bare, words, settings)
    items = "".join(f"<li>{_link(uri)}</li>" for uri in settings.contact[:SHOWN_MAX])
    return f"<h2>{words.appeal}</h2><p>{how}</p>" + (f"<ul>{items}</ul>" if items else "")


def _report(words: Words, settings: Settings) -> str:
    return f'<p class="report">{_link(settings.hotline, words.report)}</p>' if settings.hotline else ""
