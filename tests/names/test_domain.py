"""Names: every reading of text, every limit at its edge, and the properties that matching rests on."""

from __future__ import annotations

import dataclasses
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from blockd.errors import Refused
from blockd.names import DomainName, InvalidName, Reason, from_labels, from_wire, parse_domain
from blockd.names.domain import DOMAIN_TEXT_MAX_CHARACTERS

LONGEST = ".".join(("a" * 63, "b" * 63, "c" * 63, "d" * 61))  # 255 octets on the wire


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("example.com", (b"example", b"com")),
        ("EXAMPLE.Com.", (b"example", b"com")),
        ("com", (b"com",)),
        ("_dmarc.example.com", (b"_dmarc", b"example", b"com")),
        ("-a-.b--c.example", (b"-a-", b"b--c", b"example")),
        ("4.3.2.1.in-addr.arpa", (b"4", b"3", b"2", b"1", b"in-addr", b"arpa")),
        ("1.example", (b"1", b"example")),
        ("0x.0xyz", (b"0x", b"0xyz")),
        ("example.1a", (b"example", b"1a")),
        # International, by UTS 46
        ("bücher.example", (b"xn--bcher-kva", b"example")),
        ("BÜCHER.example.", (b"xn--bcher-kva", b"example")),
        ("bu\u0308cher.example", (b"xn--bcher-kva", b"example")),
        ("faß.example", (b"xn--fa-hia", b"example")),
        ("☃.example", (b"xn--n3h", b"example")),
        ("例え.テスト", (b"xn--r8jz45g", b"xn--zckzah")),
        ("a。b．c｡example", (b"a", b"b", b"c", b"example")),
        ("ｅｘａｍｐｌｅ.com", (b"example", b"com")),
        ("exa\u00admple.com", (b"example", b"com")),
        ("пример.испытание", (b"xn--e1afmkfd", b"xn--80akhbyknj4f")),
        ("مثال.إختبار", (b"xn--mgbh0fb", b"xn--kgbechtv")),
        # Punycode is taken as the octets it is
        ("XN--BCHER-KVA.example", (b"xn--bcher-kva", b"example")),
        ("xn--zzzzzz.example", (b"xn--zzzzzz", b"example")),
        ("xn--.example", (b"xn--", b"example")),
        # RFC 1035 §5.1 escapes
        (r"a\.b.example", (b"a.b", b"example")),
        (r"a\046b.example", (b"a.b", b"example")),
        (r"\000\255.example", (b"\0\xff", b"example")),
        (r"\065\A.example.", (b"aa", b"example")),
        (r"a\\b", (b"a\\b",)),
        (r"\*.example", (b"*", b"example")),
        (r"\..", (b".",)),
        (r"192.0.2.\049", (b"192", b"0", b"2", b"1")),
    ],
)
def test_text_that_is_a_name(text, labels):
    name = parse_domain(text)
    assert name.labels == labels
    assert name == from_labels(labels) == from_wire(name.wire) == parse_domain(str(name))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (".", "root"),
        ("。", "root"),
        ("..", "empty_label"),
        (".com", "empty_label"),
        ("a..b", "empty_label"),
        ("a.b..", "empty_label"),
        ("a.\u00ad.b", "empty_label"),
        (r"a\b..c", "empty_label"),
        (r".a\b", "empty_label"),
        (r"a\b..", "empty_label"),
        ("a" * 64 + ".com", "label"),
        (r"\a" * 64 + ".com", "label"),
        ("ü" * 200 + ".com", "label"),
        (LONGEST + "d", "length"),
        (LONGEST + "d.", "length"),
        (r"\a" + LONGEST, "label"),
        (r"\a." + LONGEST, "length"),
        ("a." * 127 + "bc", "length"),
        ("a" * (DOMAIN_TEXT_MAX_CHARACTERS + 1), "length"),
        ("ü" * 10_000_000, "length"),
        (" example.com", "character"),
        ("example.com\n", "character"),
        ("exam\tple.com", "character"),
        ("exam\0ple.com", "character"),
        ("*.example.com", "character"),
        ("example.com/path", "character"),
        ("https://example.com", "character"),
        ("example.com:80", "character"),
        ("user@example.com", "character"),
        ("exam%70le.com", "character"),
        ("||example.com^", "character"),
        ("a b\\.c", "character"),
        ("\ud800.example", "character"),
        ("bücher.example/x", "character"),
        ("bücher example", "character"),
        ("＊.example", "character"),  # full-width star: UTS 46 makes it "*"
        (r"bücher\.example", "character"),
        ("a\\é", "character"),
        ("a\\", "escape"),
        (r"\25", "escape"),
        (r"\256.example", "escape"),
        (r"\1a2.example", "escape"),
        ("\u0300a.example", "idna"),
        ("ü\u2488.example", "idna"),  # "1." as one character
        ("％41.example", "idna"),  # full-width percent
        ("ü\u200c.xn--a-\ufffd", "idna"),
        ("192.0.2.1", "address"),
        ("192.0.2.1.", "address"),
        ("192.0.2", "address"),
        ("3221225985", "address"),
        ("0x7f.1", "address"),
        ("127.0X7F", "address"),
        ("example.0x", "address"),
        ("1.2.3.4.5", "address"),
        ("foo.09", "address"),
        ("１９２.0.2.1", "address"),
        ("2001:db8::1", "address"),
        ("[2001:db8::1]", "address"),
        ("::ffff:192.0.2.1", "address"),
        ("::", "address"),
    ],
)
def test_text_that_is_no_name(text, reason):
    with pytest.raises(InvalidName) as caught:
        parse_domain(text)
    assert caught.value.reason == reason


def test_limits_at_their_edge():
    assert len(parse_domain(LONGEST).wire) == len(parse_domain(LONGEST + ".").wire) == 255
    assert len(parse_domain("a" * 63).labels[0]) == 63
    assert len(parse_domain("a." * 127).labels) == 127
    every_octet_escaped = ".".join("\\001" * len(label) for label in LONGEST.split("."))
    assert len(parse_domain(every_octet_escaped).wire) == 255
    assert len(every_octet_escaped) < DOMAIN_TEXT_MAX_CHARACTERS


def test_one_label_with_a_dot_is_not_two_labels():
    assert parse_domain(r"a\.b") != parse_domain("a.b")
    assert str(parse_domain(r"a\.b")) == r"a\.b"


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ((b"www", b"example"), "www.example"),
        ((b"_x", b"1"), r"_x.\049"),
        ((b"0x1f",), r"\048x1f"),
        ((b"0XZ",), "0xz"),
        ((b"a.b", b"c d", b"\xff\0"), r"a\.b.c\032d.\255\000"),
        ((b"*", b"@", b"\\"), r"\*.\@.\\"),
        ((b"\x7f~!",), r"\127\~\!"),
    ],
)
def test_presentation(labels, text):
    assert str(from_labels(labels)) == text


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (b"", "wire"),
        (b"\0", "root"),
        (b"\1a", "wire"),
        (b"\1a\0\0", "wire"),
        (b"\3ab\0", "wire"),
        (b"\1a\xc0\x0c", "wire"),
        (b"\xc0\x0c", "wire"),
        (b"\x40" + b"a" * 64 + b"\0", "wire"),
        (b"\0\1a\0", "wire"),
        (b"\1a" * 127 + b"\1b\0", "length"),
        (b"\1a" * 5000 + b"\0", "length"),
    ],
)
def test_octets_that_are_no_name(wire, reason):
    with pytest.raises(InvalidName) as caught:
        from_wire(wire)
    assert caught.value.reason == reason


def test_wire_is_folded_and_read_from_any_buffer():
    assert from_wire(memoryview(b"\3WwW\x07ExAmPlE\0")).wire == b"\3www\x07example\0"
    # Only ASCII letters fold (RFC 4343 §3); the neighbours of A-Z and octets above 127 stay.
    assert from_wire(b"\4@[\xc0\xde\0").wire == b"\4@[\xc0\xde\0"


def test_parents():
    name = parse_domain("a.b.example")
    assert [str(from_wire(wire)) for wire in name.suffixes()] == ["a.b.example", "b.example", "example"]
    assert name.parent == parse_domain("b.example")
    assert parse_domain("example").parent is None
    assert name.is_within(name)
    assert name.is_within(parse_domain("example"))
    assert not parse_domain("example").is_within(name)
    assert not parse_domain("notexample").is_within(parse_domain("example"))
    # Octets at the end are not labels at the end.
    assert not from_labels((b"x\x07example",)).is_within(parse_domain("example"))


def test_a_name_is_a_value():
    name = parse_domain("example")
    assert len({name, parse_domain("EXAMPLE."), from_labels([b"Example"])}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        name.wire = b"\0"  # type: ignore[misc]
    assert not hasattr(name, "__dict__")


def test_neither_repr_nor_error_tells_the_name():
    secret = "victim-of-logging"
    assert secret not in repr(parse_domain(f"{secret}.example"))
    for text in (f"{secret} x", f"{secret}..x", f"{secret}.1", f"{secret}.ü\ud800", f"{secret}.％", f"{secret}\\", secret * 100):
        with pytest.raises(InvalidName) as caught:
            parse_domain(text)
        error: BaseException | None = caught.value
        while error is not None:  # nor does an error that it was raised from
            assert secret not in f"{error!s}{error!r}{error.args}{vars(error)}"
            error = error.__cause__ or error.__context__


def test_every_reason_is_of_the_closed_set_and_says_what_it_means():
    for reason in Reason:
        error = InvalidName(reason)
        assert isinstance(error, Refused)
        assert error.reason == reason.value
        assert str(error)
        assert "\n" not in str(error)


labels = st.lists(st.binary(min_size=1, max_size=63), min_size=1, max_size=127).filter(lambda ls: sum(len(x) + 1 for x in ls) < 255)


def attempt(read, given):
    """The value, or the reason of the one error that may come instead."""
    try:
        return read(given)
    except InvalidName as error:
        return Reason(error.reason)


ANY_TEXT = st.text(st.characters(exclude_categories=()))
NAME_LIKE = st.text(st.sampled_from("aA1x-_.\\.ü。。０ß\u00ad\u200d漢*%0 [:\x00\ud800"), max_size=40)


@given(labels)
@example([b"192", b"0", b"2", b"1"])
@example([b"0x"])
@example([b"xn--zzz"])
def test_text_and_back(labels):
    name = from_labels(labels)
    assert name.labels == tuple(label.lower() for label in labels)
    assert str(name).isascii()
    assert parse_domain(str(name)) == parse_domain(str(name) + ".") == name
    assert from_wire(name.wire) == name


@given(ANY_TEXT | NAME_LIKE)
def test_any_text_gives_a_name_or_the_one_error(text):
    name = attempt(parse_domain, text)
    if isinstance(name, Reason):
        return
    assert isinstance(name, DomainName)
    assert from_wire(name.wire) == name == parse_domain(str(name))
    assert name.wire == name.wire.lower()


@given(st.binary(max_size=300))
def test_any_octets_give_a_name_or_the_one_error(wire):
    name = attempt(from_wire, wire)
    if isinstance(name, Reason):
        assert name in {Reason.WIRE, Reason.LENGTH, Reason.ROOT}
        return
    assert name.wire == wire.lower()
    assert parse_domain(str(name)) == name


@given(st.text(st.sampled_from("abzABZ019-_."), min_size=1, max_size=80))
def test_the_fast_path_agrees_with_the_careful_one(text):
    # The same octets with one escape in front take the other way through the parser.
    fast = attempt(parse_domain, text)
    careful = attempt(parse_domain, f"\\{ord(text[0]):03d}{text[1:]}" if text[0] != "." else text)
    assert fast in (careful, Reason.ADDRESS)


def test_names_from_a_resolver_and_from_text_are_the_same():
    rng = random.Random(1)
    for _ in range(500):
        text = ".".join("".join(rng.choices("abcxyz0189-_", k=rng.randint(1, 20))) for _ in range(rng.randint(1, 6))) + ".example"
        wire = b"".join(bytes([len(part)]) + part.upper().encode() for part in text.split(".")) + b"\0"
        assert from_wire(wire) == parse_domain(text)
