"""What the documentation says is true: links lead somewhere, examples load, the README fits two screens and says what blockd cannot do."""

from __future__ import annotations

import re
import shutil

import pytest

from tests.house.sources import ROOT, tracked

PAGES = [p for p in tracked() if p.suffix == ".md"]
README = ROOT / "README.md"
LINES_ON_TWO_SCREENS = 80


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), f"{target} is not there"


def test_the_readme_is_two_screens():
    assert README.read_text(encoding="utf-8").count("\n") <= LINES_ON_TWO_SCREENS


def test_the_first_screen_says_what_it_cannot_do():
    first = "\n".join(README.read_text(encoding="utf-8").splitlines()[:40])
    for words in (
        "cannot do",
        "HTTPS URL entries cannot be enforced",
        "another resolver, a VPN or Encrypted Client Hello",
        "proves what this node recorded",
    ):
        assert words in first


def test_the_production_configuration_loads(tmp_path):
    from blockd.config.load import load

    shutil.copy(ROOT / "deploy" / "config" / "blockd.toml", tmp_path / "blockd.toml")
    (tmp_path / "roots").mkdir()
    (tmp_path / "roots" / "hotline.json").write_text('{"signed": {"_type": "root"}}')
    config = load(tmp_path / "blockd.toml")
    assert [str(entry.name) for entry in config.lists] == ["hotline/domains", "hotline/candidates"]


def commands() -> list[tuple[str, str]]:
    """Every command line of blockd that a page shows in a code block."""
    found = []
    for page in PAGES:
        for line in re.findall(r"^    (blockd [^\n]+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE):
            text = re.split(r"\s{2,}|\s#", line)[0]
            found += [(str(page.relative_to(ROOT)), part.strip()) for part in text.split("&&") if part.strip().startswith("blockd ")]
    return found


@pytest.mark.parametrize(("page", "line"), commands())
def test_a_shown_command_parses(page, line):
    from blockd.cli.main import parser

    words = [w for w in line.split()[1:] if w != "TEXT"]
    parser().parse_args(words)


def test_the_manual_lists_every_metric_and_limit():
    from blockd.counts.layout import LIMITS
    from tests.house.test_deploy import exported

    page = (ROOT / "deploy" / "manual" / "metrics.md").read_text(encoding="utf-8")
    families = {re.sub(r"(_total|_info)?$", "", re.sub(r"_(bucket|sum|count|created)$", "", name)) for name in exported()}
    assert families
    assert not [name for name in sorted(families) if name not in page]
    assert not [limit for limit in LIMITS if f"`{limit}`" not in page]
