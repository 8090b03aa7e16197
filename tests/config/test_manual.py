from __future__ import annotations

import tomllib

from blockd.config.keys import Key
from blockd.config.manual import markdown, sections, toml
from tests.config.documents import judged
from tests.config.test_schema import every

VALUES = {"dns.upstreams": '["udp://198.51.99.53:53"]', "state_dir": '"/srv/state"'}


def test_the_commented_file_is_a_configuration():
    report = judged(toml(VALUES))
    assert report.config, report.faults
    assert str(report.config.state_dir) == "/srv/state"


def test_every_default_in_the_commented_file_is_the_default():
    lines = [line[1:] if line.startswith("#") and not line.startswith("# ") else line for line in toml(VALUES).splitlines()]
    text = "\n".join(line for line in lines if not line.startswith(("#", "phone = "))).replace('url = ""', 'url = "https://help.example"')
    report = judged(text.replace('notify_basis = ""', ""))
    assert report.config, report.faults
    plain = judged(toml(VALUES)).config
    for name in ("dns", "counts", "audit", "run", "web"):
        assert getattr(report.config, name) == getattr(plain, name)
    assert report.config.lists[0].name == "hotline/domains"


def test_every_built_key_is_in_the_reference_and_no_other():
    text = markdown()
    for name, declaration, _ in every():
        if isinstance(declaration, Key) and not name.startswith("lists.max_change."):
            built = declaration.built
            key = declaration.name or name.rpartition(".")[2]
            section = next((s for s in sections() if s.head.strip("[]") == name.removesuffix(f".{key}") and s.head), None)
            inside = section is not None and key in {e.name for e in section.entries}
            assert built == (inside or f"### `{name}`" in text), name


def test_a_line_of_the_commented_file_is_no_longer_than_a_screen():
    assert max(map(len, toml(VALUES).splitlines())) <= 96


def test_documentation_in_the_file_is_comments():
    assert tomllib.loads(toml({})) == {"run": {}, "dns": {}, "stop_page": {}, "counts": {}, "audit": {}, "admin": {}}
