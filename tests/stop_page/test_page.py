from __future__ import annotations

import base64
import hashlib
import re
from itertools import product

import pytest

from blockd.stop_page import page
from blockd.stop_page.language import LANGUAGES
from blockd.stop_page.page import Helpline, Reason, Settings, bare, blocked, nothing, starting
from blockd.stop_page.words import WORDS
from blockd.terms import Basis, Category, Instant, ListName, Notify
from tests.admin.test_console import outline

NOW = Instant(1_795_500_123.0)
SETTINGS = Settings(
    "Example ISP",
    ("mailto:abuse@example.net", "tel:+1-555-0100"),
    (
        Helpline("Stop It Now", "0800 1000 900", "https://help.example/", "en"),
        Helpline("119", "119", "", "fr"),
        Helpline("Anyone", "", "https://all.example/"),
    ),
    "https://hotline.example/report",
)
MOST = Settings(
    "O" * 100,
    tuple(f"mailto:{'c' * 50}{n}@example.net" for n in range(30)),
    tuple(Helpline("n" * 100, "+1 555 0100 0000 0000 0000 00", "https://help.example/" + "u" * 60, "") for _ in range(30)),
    "https://hotline.example/" + "h" * 60,
)


def reason(basis=Basis.OPERATOR, category=Category.GAMBLING, notify=Notify.FULL):
    return Reason(ListName("hotline/domains"), basis, category, notify)


@pytest.mark.parametrize(("basis", "status"), [(Basis.MANDATED, 451), (Basis.OPERATOR, 403), (Basis.SUBSCRIBER, 403)])
def test_the_status_is_by_basis(basis, status):
    for notify in (Notify.FULL, Notify.CODE):
        assert blocked(reason(basis, notify=notify), "en", SETTINGS, NOW).status == status


def test_451_names_who_implements_the_block():
    # RFC 7725 §4
    headers = dict(blocked(reason(Basis.MANDATED), "en", SETTINGS, NOW).headers)
    assert headers["Link"] == '<mailto:abuse@example.net>; rel="blocked-by"'
    web = Settings("X", ("mailto:a@example.net", "https://isp.example/blocking"))
    assert dict(blocked(reason(Basis.MANDATED), "en", web, NOW).headers)["Link"] == '<https://isp.example/blocking>; rel="blocked-by"'
    assert "Link" not in dict(blocked(reason(Basis.OPERATOR), "en", SETTINGS, NOW).headers)
    assert "Link" not in dict(blocked(reason(Basis.MANDATED), "en", Settings(), NOW).headers)


@pytest.mark.parametrize(
    "contact", ["mailto:a@b>; rel=x", "https://a/\r\nSet-Cookie: x", "javascript:alert(1)", "https://é.example", 'mailto:"a"@b']
)
def test_header_injection_by_configuration_is_not_possible(contact):
    made = blocked(reason(Basis.MANDATED), "en", Settings("X", (contact,), (Helpline("h", "", contact),), contact), NOW)
    assert "Link" not in dict(made.headers)
    assert b"href" not in made.body


EVERY = {
    "blocked": blocked(reason(), "en", SETTINGS, NOW),
    "code": blocked(reason(notify=Notify.CODE), "en", SETTINGS, NOW),
    "nothing": nothing("en", SETTINGS),
    "starting": starting("en", SETTINGS),
    "bare": bare(400),
}


@pytest.mark.parametrize("made", EVERY.values(), ids=EVERY)
def test_headers_of_every_answer(made):
    headers = dict(made.headers)
    assert len(headers) == len(made.headers)
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Robots-Tag"] == "noindex"
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert policy.endswith("frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
    for never in (
        "Strict-Transport-Security",
        "Set-Cookie",
        "Clear-Site-Data",
        "Location",
        "Access-Control-Allow-Origin",
        "Refresh",
        "ETag",
        "Last-Modified",
    ):
        assert never not in headers


def test_the_policy_allows_exactly_the_one_style():
    made = blocked(reason(), "en", SETTINGS, NOW)
    (style,) = re.findall(r"<style>(.*?)</style>", made.body.decode(), flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in dict(made.headers)["Content-Security-Policy"]
    assert "prefers-color-scheme:dark" in style
    assert "url(" not in style
    assert "@import" not in style


@pytest.mark.parametrize(("language", "basis", "category"), list(product(LANGUAGES, Basis, Category)))
def test_every_page_is_well_formed_small_and_says_its_piece(language, basis, category):
    for settings in (SETTINGS, MOST, Settings()):
        made = blocked(reason(basis, category), language, settings, NOW)
        assert len(made.body) < page.PAGE_MAX_BYTES
        text = made.body.decode()
        found = outline(text)
        names = [tag for tag, _ in found.tags]
        assert names.count("main") == names.count("h1") == names.count("footer") == 1
        assert not {"script", "img", "iframe", "form", "input", "link", "object"} & set(names)
        html = dict(found.tags)["html"]
        assert (html["lang"], html["dir"]) == (language, WORDS[language].direction)
        assert dict(made.headers)["Content-Language"] == made.language == language
        assert WORDS[language].category[category] in text
        assert WORDS[language].basis[basis] in text
        assert "{" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)


def test_the_reference_is_the_list_and_the_hour_and_nothing_finer():
    early, late = (blocked(reason(), "en", SETTINGS, Instant(t)) for t in (1_795_500_000.0, 1_795_503_599.0))
    assert early == late
    assert "hotline/domains, 2026-11-24 06:00 UTC" in early.body.decode()


def test_help_is_in_the_readers_language_or_else_all_of_it():
    def shown(language, settings=SETTINGS):
        return blocked(reason(), language, settings, NOW).body.decode()

    assert "Stop It Now" in shown("en")
    assert "119" not in shown("en")
    assert "119" in shown("fr")
    assert "Anyone" in shown("ar")
    only_english = Settings("X", (), SETTINGS.helplines[:1])
    assert "Stop It Now" in shown("ar", only_english)
    assert '<a href="tel:08001000900">' in shown("en")


def test_who_worries_is_spoken_to_where_it_matters():
    text = WORDS["en"].worried
    assert text in blocked(reason(category=Category.CSAM), "en", SETTINGS, NOW).body.decode()
    assert text not in blocked(reason(), "en", SETTINGS, NOW).body.decode()


def test_the_operators_text_is_escaped_and_isolated():
    made = blocked(reason(), "ar", Settings("<b>& Co", (), (Helpline("<i>x", "1", ""),)), NOW).body.decode()
    assert "<bdi>&lt;b&gt;&amp; Co</bdi>" in made
    assert "<i>" not in made


def test_notify_code_is_a_status_without_words():
    made = blocked(reason(Basis.MANDATED, notify=Notify.CODE), "fr", SETTINGS, NOW)
    assert (made.status, made.language, made.body) == (451, "none", b"")
    assert "Content-Type" not in dict(made.headers)
    assert "Link" in dict(made.headers)


def test_notify_none_cannot_be_told_from_not_blocked():
    for language in LANGUAGES:
        assert blocked(reason(Basis.MANDATED, notify=Notify.NONE), language, SETTINGS, NOW) == nothing(language, SETTINGS)


def test_nothing_claims_nothing():
    made = nothing("en", SETTINGS)
    assert made.status == 421
    text = made.body.decode().lower()
    assert "not blocked" not in text
    assert "not found" not in text


def test_starting_says_when_to_come_back():
    made = starting("en", SETTINGS)
    assert (made.status, dict(made.headers)["Retry-After"]) == (503, "30")


def _luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] if len(colour) == 7 else [int(c * 2, 16) / 255 for c in colour[1:]]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_contrast_is_at_least_that_of_wcag_in_both_schemes():
    for block in re.findall(r":root\{([^}]*)\}", page.STYLE):
        colours = dict(re.findall(r"--(\w+):(#[0-9a-f]+)", block))
        for ink, paper in product(("ink", "dim", "link", "mark"), ("paper", "card")):
            light, dark = sorted((_luminance(colours[ink]), _luminance(colours[paper])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= (7 if ink == "ink" else 4.5), (ink, paper)
    assert len(re.findall(r":root\{", page.STYLE)) == 2
