"""URLs: any text gives a canonical URL or InvalidName, and other spellings of a canonical URL give the same key."""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness import main

from blockd.names import CanonicalURL, InvalidName, Reason, parse_url, parse_url_entry
from blockd.names.url import URL_TEXT_MAX_CHARACTERS

DICTIONARY = (
    *(
        b"http://",
        b"https://",
        b"HTTP:",
        b"ftp://",
        b"//",
        b"/./",
        b"/../",
        b"/..",
        b"/%2e%2E/",
        b"\\",
        b"@",
        b"user:pass@",
        b":80",
        b":443",
        b":0",
    ),
    *(b"?", b"#", b"%", b"%25", b"%2f", b"%2F", b"%41", b"%7e", b"%zz", b"%%34%31", b"\t", b"\n", b" ", b"\x00", b"\xed\xa0\x80", b"\xff"),
    *(
        b"[::1]",
        b"[2001:db8::1]",
        b"0x7f.1",
        b"127.0.0.1",
        b"3221225985",
        b"example.com",
        b".",
        b"..",
        b"xn--",
        b"|",
        b"[",
        b"]",
        b"{",
        b"`",
        b"'",
    ),
    *("ü".encode(), "\u3002".encode(), "\uff05".encode(), "\u00ad".encode(), b"/a/b/c/d?x=1&y=2"),
)
ESCAPE = re.compile("%[0-9A-F]{2}").sub
FORBIDDEN = set('"<>\\^`{|}[]# ')


def spellings(url: CanonicalURL) -> list[str]:
    """Other ways to write a canonical URL, each of which some filter lets through."""
    text = str(url)
    before, rest = f"{url.scheme}://", text.removeprefix(f"{url.scheme}://")
    tail = rest[len(rest.split("/", 1)[0]) :]
    authority = rest[: len(rest) - len(tail)]
    found = [
        f"{text}#fragment",
        f" {text}\n",
        f"{before}user:pass@{rest}",
        f"{before.upper()}{rest}",
        f"{before}{authority.upper()}{tail}",
        f"{before}{authority}/.{tail}",
        f"{before}{authority}/x/%2e%2E{tail}",
        f"{before}{authority}/{tail}",
        f"{before}{authority}//{tail}",
        before + authority + ESCAPE(lambda found: found[0].lower(), tail),
        f"{before}{authority}:{url.port}{tail}" if authority == url.host else text,
    ]
    if "%" not in tail:
        found.append(before + authority + "".join(f"%{ord(c):02x}" if c.isalnum() or c in "-._~" else c for c in tail))
    if url.domain is not None:
        found.append(f"{before}{url.host}.{authority.removeprefix(url.host)}{tail}")
    return found


def sound(url: CanonicalURL) -> None:
    """What holds for every canonical URL."""
    key = url.key()
    assert all(0x21 <= octet <= 0x7E for octet in key)
    assert not FORBIDDEN & set(url.path + url.query)
    assert url.path.startswith("/")
    assert "//" not in url.path
    assert not {".", ".."} & set(url.path.split("/"))
    assert not url.host.endswith(".")
    assert 0 <= url.port <= 65535
    assert parse_url(str(url)) == url
    for text in spellings(url):
        assert len(text) > URL_TEXT_MAX_CHARACTERS or parse_url(text).key() == key


def target(data: bytes) -> object:
    """Any bytes, as a request's URL and as a list row, give canonical URLs or InvalidName."""
    text = data.decode("utf-8", "surrogateescape")
    behaviour: object
    try:
        url = parse_url(text)
    except InvalidName as error:
        behaviour = Reason(error.reason)
    else:
        sound(url)
        behaviour = (url.scheme, url.domain is None, url.port in (80, 443), min(4, url.path.count("/")), "%" in url.path, bool(url.query))
        assert parse_url_entry(text) == (url,)
    try:
        urls = parse_url_entry(text)
    except InvalidName as error:
        return behaviour, Reason(error.reason)
    assert [u.scheme for u in urls] in (["http"], ["https"], ["http", "https"])
    for url in urls:
        sound(url)
    return behaviour, len(urls)


if __name__ == "__main__":
    main("urls", target, dictionary=DICTIONARY, size_max=8192)
