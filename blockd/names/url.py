"""What a URL is to the filter: the WHATWG standard's reading, then blockd's own rules for matching.

List entries and requests go through the same function and are compared by :meth:`CanonicalURL.key`, so that no other
spelling of a listed URL passes. The original bytes of a request are never changed: this is a copy to match with.

=========================  ==================================  ==============================================================
part                       whose rule                          what is done
=========================  ==================================  ==============================================================
scheme                     WHATWG                              lower case; `http` and `https` only, and they differ
userinfo                   blockd                              dropped
host                       WHATWG                              percent-decoded, UTS 46, lower case; IPv4 and IPv6 in one spelling
host's final dot           blockd                              dropped; then DNS limits hold (63, 255, no empty label)
port                       WHATWG                              the scheme's default port is left out
path, dot segments         WHATWG                              resolved, ``%2e`` spellings included; a backslash is a slash
path, ``//``               blockd                              merged into one, after the dot segments (see below)
path, query, escapes       blockd (RFC 3986 §6.2.2)            unreserved characters decoded, other escapes in upper case
path, query, other octets  blockd (RFC 3986 §2.1)              what may not stand in a URI is escaped, a stray ``%`` is ``%25``
query                      blockd                              kept, in its order; an empty one is none
fragment                   blockd                              dropped
tab, newline, outer space  WHATWG                              dropped
=========================  ==================================  ==============================================================

Escapes are decoded once: ``%2561`` is not ``a``. Reserved characters stay as they are written (``%2F`` is no slash, ``%2B`` no plus),
since a server may tell them apart. ``/a//../b`` is ``/a/b`` as in every browser (the empty segment is removed by ``..``); a server that
merges slashes first would read ``/b``, which only a client that bypasses the standard can send.

A row of a list may leave out the scheme and then means both: :func:`parse_url_entry` gives two URLs for it, each with its key, so
that a look-up is always one probe and an entry that says ``https`` says only that.

    >>> parse_url("HTTP://user@Example.COM.:80//a/./%7Eb/../c?q=%2f#top").key()
    b'http://example.com/a/c?q=%2F'
    >>> [str(url) for url in parse_url_entry("example.com:8080/x")]
    ['http://example.com:8080/x', 'https://example.com:8080/x']
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from blockd.names import ada
from blockd.names.domain import DomainName, InvalidName, Reason, from_labels

URL_TEXT_MAX_CHARACTERS = 8192  # of the text and of the canonical form: what common servers take as a request line, and a list's row

_DEFAULT_PORTS = {"http": 80, "https": 443}

# A serialised URL with a special scheme: userinfo holds no raw "@" or "/", the path is never empty (WHATWG URL §4.5).
_HREF = re.compile(
    r"(https?)://(?:[^/?#@]*@)?(\[[0-9a-f:.]+\]|[^/?#:@]+)(?::([0-9]+))?(/[^?#]*)(?:\?([^#]*))?(?:#.*)?", re.DOTALL
).fullmatch

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(//)?").match
_AUTHORITY = re.compile(r"[^/\\?#]*").match
_IPV4 = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+").fullmatch

# Runs of what is not in its normal form (RFC 3986 §6.2.2): escaped unreserved characters (§2.3), other escapes in lower case, and what
# must be escaped: a stray "%", and what is neither pchar nor "/" (§3.3), in a query nor "?" (§3.4). All else is left unmatched.
_UNRESERVED = "(?:2[DEde]|3[0-9]|4[1-9A-Fa-f]|5[0-9AFaf]|6[1-9A-Fa-f]|7[0-9AEae])"
_TO_CHANGE = (
    rf"(?P<decode>(?:%{_UNRESERVED})+)"
    rf"|(?P<upper>(?:%(?!{_UNRESERVED})(?:[0-9A-F][a-f]|[a-f][0-9A-Fa-f]))+)"
    r"|(?:%(?![0-9A-Fa-f]{2})|[^%A-Za-z0-9._~!$&'()*+,;=:@/-])+"
)
_change = re.compile(_TO_CHANGE).sub
_change_query = re.compile(_TO_CHANGE.replace("@/-", "@/?-")).sub
_SLASHES = re.compile(r"/{2,}").sub


@dataclass(frozen=True, slots=True, repr=False)
class CanonicalURL:
    """A URL in the form in which it is compared. Made by :func:`parse_url`.

    `host`: ASCII text without a final dot, IPv6 in brackets. `domain`: the same as a name, None for an IP address.
    `port`: the number that is connected to. `path`: starts with a slash. `query`: without the question mark, "" for none.
    """

    scheme: str
    host: str
    port: int
    path: str
    query: str
    domain: DomainName | None

    def key(self) -> bytes:
        """Return what is fingerprinted and compared: the URL as ASCII octets."""
        return str(self).encode("ascii")

    def __str__(self) -> str:
        """Write the canonical URL; :func:`parse_url` gives the same value for it."""
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        query = f"?{self.query}" if self.query else ""
        return f"{self.scheme}://{self.host}{port}{self.path}{query}"

    def __repr__(self) -> str:
        """Says that it is a URL, not which: a repr ends up in logs and tracebacks."""
        return f"<CanonicalURL of {len(str(self))} characters>"


def parse_url(text: str) -> CanonicalURL:
    """Return the canonical form of an absolute http or https URL, by the table above. Any text gives a URL or InvalidName.

    InvalidName: empty, length, scheme, url, character (a lone surrogate), and for its host root, empty_label, label.
    """
    if len(text) > URL_TEXT_MAX_CHARACTERS:
        raise InvalidName(Reason.LENGTH)
    href = ada.href(text)
    if href is None:
        raise InvalidName(_why(text))
    if len(href) > 3 * URL_TEXT_MAX_CHARACTERS:  # decoding makes one character of three, so this can't come below the limit
        raise InvalidName(Reason.LENGTH)
    found = _HREF(href)
    if found is None:
        raise InvalidName(Reason.SCHEME)
    scheme, host, port, path, query = found.groups()
    host, domain = _host(host)
    url = CanonicalURL(
        scheme=scheme,
        host=host,
        port=int(port) if port else _DEFAULT_PORTS[scheme],
        path=_SLASHES("/", _change(_normal, path)),
        query=_change_query(_normal, query) if query else "",
        domain=domain,
    )
    if len(str(url)) > URL_TEXT_MAX_CHARACTERS:
        raise InvalidName(Reason.LENGTH)
    return url


def parse_url_entry(text: str) -> tuple[CanonicalURL, ...]:
    """Read one row of a URL list: one URL, or with the scheme left out the same over http and over https.

    Without a scheme: ``example.com/x``, ``example.com:8080/x``, ``//example.com/x``, ``192.0.2.1/x``. InvalidName as :func:`parse_url`, and
    scheme for ``ftp://…`` and for ``user@example.com`` (a mail address).
    """
    if len(text) > URL_TEXT_MAX_CHARACTERS:
        raise InvalidName(Reason.LENGTH)
    text = _trim(text)
    found = _SCHEME(text)
    if found and found[1].lower() in _DEFAULT_PORTS:
        return (parse_url(text),)
    if found and found[2]:
        raise InvalidName(Reason.SCHEME)
    rest = text.removeprefix("//")
    authority = _AUTHORITY(rest)
    if authority is None or not authority[0]:
        raise InvalidName(Reason.URL if rest else Reason.EMPTY)
    if "@" in authority[0]:
        raise InvalidName(Reason.SCHEME)
    return parse_url(f"http://{rest}"), parse_url(f"https://{rest}")


def _trim(text: str) -> str:
    """Drop what the URL parser drops first: outer controls and spaces, every tab and newline (WHATWG URL §4.4)."""
    return text.translate({9: None, 10: None, 13: None}).strip("".join(map(chr, range(33))))


def _why(text: str) -> Reason:
    """Find the reason for text that ada refuses."""
    text = _trim(text)
    if not text:
        return Reason.EMPTY
    if any("\ud800" <= char <= "\udfff" for char in text):
        return Reason.CHARACTER
    found = _SCHEME(text)
    return Reason.URL if found and found[1].lower() in _DEFAULT_PORTS else Reason.SCHEME


def _host(host: str) -> tuple[str, DomainName | None]:
    """Drop the final dot; the name, or None for an address. The host parser lets any name through, the DNS does not."""
    if host.startswith("[") or _IPV4(host):
        return host, None
    host = host.removesuffix(".")
    if not host:
        raise InvalidName(Reason.ROOT)
    return host, from_labels(host.encode("ascii").split(b"."))


def _normal(found: re.Match[str]) -> str:
    """Write a run of escapes or characters in its normal form."""
    text = found[0]
    if found.lastgroup == "decode":
        return bytes.fromhex(text.replace("%", "")).decode("ascii")
    if found.lastgroup == "upper":
        return text.upper()
    return "".join([f"%{ord(char):02X}" for char in text])
