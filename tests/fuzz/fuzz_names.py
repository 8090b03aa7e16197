"""Domain names: any text and any octets give a name or InvalidName, and every name survives its own text and wire form.

The oracle for text without escapes is the WHATWG host parser: where both take it as a name, they agree on which, and a name that
it takes is refused here only for the limits of the DNS.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness import main

from blockd.names import DomainName, InvalidName, Reason, from_labels, from_wire, parse_domain, public_suffix, registrable
from blockd.names.ada import host_to_ascii

DNS_ONLY = {Reason.CHARACTER, Reason.LABEL, Reason.EMPTY_LABEL, Reason.LENGTH, Reason.ROOT, Reason.ADDRESS}
DICTIONARY = (
    *(
        b".",
        b"..",
        b"\\",
        b"\\046",
        b"\\000",
        b"\\255",
        b"\\256",
        b"\\.",
        b"xn--",
        b"_",
        b"-",
        b"0x",
        b"0x7f",
        b"127.0.0.1",
        b"::1",
        b"[",
        b"]",
    ),
    *(
        "ü".encode(),
        "ß".encode(),
        "\u3002".encode(),
        "\uff0e".encode(),
        "\uff10".encode(),
        "\uff05".encode(),
        "\u00ad".encode(),
        "\u200d".encode(),
        "א".encode(),
    ),
    *(b"\xed\xa0\x80", b"\x00", b"co.uk", b".kobe.jp", b"a" * 63, b"a." * 60, b"\x3f" + b"a" * 63, b"\x01a", b"\xc0\x0c"),
)


def sound(name: DomainName) -> None:
    """What holds for every name, wherever it came from."""
    assert 3 <= len(name.wire) <= 255
    assert name.wire == name.wire.lower()
    assert from_wire(name.wire) == name == from_labels(name.labels)
    text = str(name)
    assert text.isascii()
    assert text.isprintable()
    assert parse_domain(text) == parse_domain(f"{text}.") == parse_domain(text.swapcase()) == name
    suffix, site = public_suffix(name), registrable(name)
    assert name.is_within(suffix)
    assert (site is None) == (suffix == name)
    if site is not None:
        assert name.is_within(site)
        assert site.parent == suffix


def from_text(text: str) -> object:
    """Text against the properties and the host parser."""
    host = host_to_ascii(text) if len(text) <= 1024 else None
    try:
        name = parse_domain(text)
    except InvalidName as error:
        reason = Reason(error.reason)
        if host is not None and reason not in DNS_ONLY:
            raise AssertionError("the host parser takes it") from None
        return reason
    sound(name)
    if "\\" not in text:
        assert host is not None
        assert host.removesuffix(".") == str(name)
    return len(name.labels), "\\" in str(name), text.isascii(), "xn--" in str(name)


def target(data: bytes) -> object:
    """Any bytes, as text and as wire form, give a name or InvalidName."""
    behaviour = from_text(data.decode("utf-8", "surrogateescape"))
    try:
        name = from_wire(data)
    except InvalidName as error:
        return behaviour, Reason(error.reason)
    sound(name)
    return behaviour, len(name.labels)


if __name__ == "__main__":
    main("names", target, dictionary=DICTIONARY, size_max=4096)
