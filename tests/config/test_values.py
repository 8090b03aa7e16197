from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockd.config import values as v
from blockd.terms import Action, Mode

BASE = Path("/etc/blockd")


def refused(kind, value):
    with pytest.raises(v.BadValue) as caught:
        kind.read(value, BASE)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def unquoted(toml):
    import tomllib

    return tomllib.loads(f"x = {toml}")["x"]


@pytest.mark.parametrize(("text", "octets"), [("1KiB", 1024), ("256MiB", 256 << 20), ("2GiB", 2 << 30)])
def test_sizes(text, octets):
    assert v.size(1, 1 << 40).read(text, BASE) == octets


@pytest.mark.parametrize("value", ["256", "256MB", "256 MiB", "-1MiB", "1.5GiB", "", 256, None, True, ["1MiB"]])
def test_a_size_without_its_unit_is_refused(value):
    assert "256MiB" in refused(v.size(1, 1 << 40), value)


def test_a_size_out_of_bounds_names_the_bounds():
    assert refused(v.size(1 << 20, 1 << 30), "2GiB") == '"2GiB" is not between "1MiB" and "1GiB"'


@pytest.mark.parametrize(("text", "seconds"), [("10s", 10), ("10m", 600), ("1h30m", 5400), ("1d1s", 86401)])
def test_durations(text, seconds):
    assert v.duration(0, 1e9).read(text, BASE) == seconds


@pytest.mark.parametrize("value", ["10", "", "m", "10ms", "1.5h", "30m1h", "1h 30m", "-1h", 600, 1.5])
def test_a_duration_without_its_unit_is_refused(value):
    assert "10m" in refused(v.duration(0, 1e9), value)


def test_a_duration_out_of_bounds_says_why():
    assert refused(v.duration(3600, 7200, ": privacy"), "10m") == '"10m" is not between "1h" and "2h": privacy'


@pytest.mark.parametrize(("text", "share"), [("25%", 0.25), ("0%", 0.0), ("12.5 %", 0.125), ("250%", 2.5)])
def test_shares(text, share):
    assert v.SHARE.read(text, BASE) == share


@pytest.mark.parametrize("value", ["25", "-5%", "%", "1e3%", 0.25, 25])
def test_a_share_without_its_sign_is_refused(value):
    assert "25%" in refused(v.SHARE, value)


@given(st.integers(0, 1 << 40))
def test_sizes_are_read_as_written(octets):
    octets -= octets % 1024
    assert v.size(0, 1 << 50).read(unquoted(v.write_size(octets)), BASE) == octets


@given(st.integers(0, 10**8))
def test_durations_are_read_as_written(seconds):
    assert v.duration(0, 1e9).read(unquoted(v.write_duration(seconds)), BASE) == seconds


@given(st.integers(0, 100_000))
def test_shares_are_read_as_written(thousandths):
    share = thousandths / 100_000
    assert v.SHARE.read(unquoted(v.SHARE.write(share)), BASE) == pytest.approx(share)


@given(st.text(max_size=50))
def test_quoted_text_is_toml(text):
    assert unquoted(v.quoted(text)) == text


def test_words_name_the_nearest():
    assert v.member(Mode).read("enforce", BASE) is Mode.ENFORCE
    assert refused(v.member(Mode), "enforced") == '"enforced" is not one of shadow, enforce, off; did you mean "enforce"?'
    assert "did you mean" not in refused(v.member(Mode), "zzz")
    assert v.member_or("publisher", Action).read("publisher", BASE) is None
    assert v.member_or("publisher", Action).read("drop", BASE) is Action.DROP
    assert 'did you mean "nxdomain"?' in refused(v.member_or("publisher", Action), "NXDOMAIN")


@pytest.mark.parametrize("value", [True, 1.0, "5", None, [5], 0, 11])
def test_whole_numbers_are_whole_and_bounded(value):
    refused(v.whole(1, 10), value)


def test_text_is_bounded_and_holds_no_controls():
    assert refused(v.text(""), "a\x1b[31m") == "holds a control character"
    assert "longer" in refused(v.text(""), "a" * (v.TEXT_MAX_CHARACTERS + 1))
    assert "a whole number" in refused(v.text(""), 5)


def test_every_bad_item_of_an_array_is_told():
    kind = v.several("numbers", "[]", _digit)
    with pytest.raises(v.BadValue) as caught:
        kind.read(["1", "x", "2", 5, "1"], BASE)
    assert [at for at, _ in caught.value.items] == [1, 3, 4]
    assert "twice" in caught.value.items[2][1]
    assert kind.read(["3", "1"], BASE) == (3, 1)


def _digit(text):
    if not text.isdigit():
        raise v.BadValue("is no digit")
    return int(text)


def test_an_array_is_bounded():
    assert "more than" in refused(v.TEXTS, ["x"] * (v.ITEMS_MAX + 1))
    assert "an array" in refused(v.TEXTS, "x")


def test_text_that_must_be_there():
    assert v.text("a", "a|b", "a or b", empty=False).read("b", BASE) == "b"
    assert v.text("a", "a|b", "a or b").read("", BASE) == ""
    assert refused(v.text("a", "a|b", "a or b", empty=False), "") == '"" is not a or b'
