"""The WHATWG URL parser and UTS 46, through ada-url: the one file that imports it.

ada-url's URL parser passes all of WHATWG's http and https vectors, and its host parser all but one of Unicode's
IdnaTestV2. Its ``idna_to_ascii`` alone accepts names that the host parser refuses, so hosts go through a URL as well.

Two functions, both total: text that ada refuses, or that is no Unicode text at all (a lone surrogate), is ``None``,
never an exception, so that no error object carries the text.

    >>> host_to_ascii("bücher.example")
    'xn--bcher-kva.example'
    >>> href("HTTP://Example.COM:80/a/../b")
    'http://example.com/b'
"""

from __future__ import annotations

from ada_url import URL

_HOST_ENDS = frozenset("/\\?#@:%[]\t\n\r")
"""What would end the host, or be dropped or decoded, before the host parser sees it (WHATWG URL §4.4, §3.5)."""


def href(text: str) -> str | None:
    """Return the serialised URL (ASCII), or None when `text` is not an absolute URL by the WHATWG standard."""
    try:
        return str(URL(text).href)
    except (ValueError, UnicodeEncodeError):
        return None


def host_to_ascii(text: str) -> str | None:
    """Return the host as a browser asks for it: UTS 46 mapped, lower-case, Punycode; any spelling of an IPv4 address as four decimals.

    None when the host parser refuses `text`, and when `text` is more or less than a host. Lengths are not checked (WHATWG
    leaves them to the resolver), nor are empty labels.
    """
    if not _HOST_ENDS.isdisjoint(text):
        return None
    try:
        return str(URL(f"https://{text}/").hostname)
    except (ValueError, UnicodeEncodeError):
        return None
