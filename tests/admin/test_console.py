from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

from blockd.admin import console
from blockd.admin.facts import Alarm, Facts, RoleFacts
from blockd.counts.tallies import Totals
from blockd.terms import Instant
from tests.admin.facts import NOW, full_facts, full_totals

HEADERS = dict(console.HEADERS)


class Outline(HTMLParser):
    """Checks that tags nest, and collects them."""

    VOID = frozenset({"meta"})

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.ids, self.labels = [], [], set(), set()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        self.ids.add(attrs.get("id"))
        if "aria-labelledby" in attrs:
            self.labels.add(attrs["aria-labelledby"])
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def outline(page):
    found = Outline()
    found.feed(page)
    assert not found.open
    return found


def test_the_page_is_well_formed_and_has_landmarks():
    found = outline(console.render(full_facts(), full_totals(), NOW))
    names = [tag for tag, _ in found.tags]
    assert names.count("main") == names.count("header") == names.count("footer") == names.count("h1") == 1
    assert found.labels <= found.ids
    assert all(attrs.get("scope") == "col" for tag, attrs in found.tags if tag == "th")
    assert dict(found.tags)["html"]["lang"] == "en"


def test_nothing_comes_from_elsewhere_and_nothing_runs():
    page = console.render(full_facts(), full_totals(), NOW)
    found = outline(page)
    assert not {"script", "img", "link", "iframe", "form", "input", "button"} & {tag for tag, _ in found.tags}
    assert all(attrs["href"].startswith("/") for _, attrs in found.tags if "href" in attrs)
    assert not [attrs for _, attrs in found.tags if any(name.startswith("on") or name == "style" for name in attrs)]


def test_the_policy_allows_exactly_the_one_style():
    page = console.render(full_facts(), full_totals(), NOW)
    (style,) = re.findall(r"<style>(.*?)</style>", page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = HEADERS["Content-Security-Policy"]
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    assert "prefers-color-scheme:dark" in style


def test_text_is_escaped():
    evil = '"><script>alert(1)</script>'
    facts = replace(
        full_facts(), version=evil, alarms=(Alarm("x", evil),), roles=(RoleFacts(evil, 1, evil, evil),), listen={evil: [evil]},
        upstreams=(replace(full_facts().upstreams[0], address=evil),), lists=(replace(full_facts().lists[0], name=evil),),
    )  # fmt: skip
    page = console.render(facts, full_totals(), NOW)
    assert "<script" not in page
    outline(page)


def test_what_needs_a_look_stands_first_and_in_words():
    page = console.render(replace(full_facts(), roles=()), full_totals(), NOW)
    assert "not ready" in page
    assert page.index("no role has reported yet") < page.index("At a glance")
    assert "an update is held" in page
    assert "Needs a look" not in console.render(replace(full_facts(), alarms=()), full_totals(), NOW)


def test_lists_tell_their_state_and_expiry():
    facts = full_facts()
    page = console.render(facts, full_totals(), Instant(NOW + 2 * 86400))
    assert '<td class="bad">2026-11-25' in page, "an expiry that has passed is marked"
    assert "shadow, secret" in page
    assert '<td class="good">live</td>' in page
    assert "1\N{NARROW NO-BREAK SPACE}000\N{NARROW NO-BREAK SPACE}000" in page


def test_an_empty_gateway_renders():
    page = console.render(Facts(version="0.1.0"), Totals({}), NOW)
    outline(page)
    assert "none yet" in page
    assert "No list is configured" in page
    assert "once a window" not in page
