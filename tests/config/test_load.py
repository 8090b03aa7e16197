from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockd.config.load import Report, check, load
from blockd.config.schema import Config, Endpoint, Feed, Helpline, ListPolicy, MaxChange
from blockd.errors import Misconfigured
from blockd.terms import Action, Mode, Notify
from tests.config.documents import MINIMAL, WHOLE, judged


def test_the_whole_configuration():
    config = judged(WHOLE).config
    assert config is not None
    assert config.path == Path("/etc/blockd/blockd.toml")
    assert config.state_dir == Path("/etc/blockd/state")
    assert config.runtime_dir == Path("/run/blockd")
    assert config.dns.listen == (Endpoint("127.0.0.1", 5300), Endpoint("::1", 5300))
    assert [str(u) for u in config.dns.upstreams] == ["udp://198.51.99.53:53", "tcp://[2001:db9::53]:5353"]
    assert config.dns.allow_from == ("127.0.0.0/8", "192.0.2.7/32")
    assert config.stop_page.helplines == (Helpline("Stop It Now", "en", "0800 1000 900"),)
    assert config.feeds == (Feed("hotline", "https://feeds.example/tuf", Path("/etc/blockd/roots/hotline.json"), 5400.0),)
    assert config.lists == (
        ListPolicy(
            "hotline/domains", Mode.ENFORCE, Action.NXDOMAIN, MaxChange(0.05, 0.10, 7), "withdraw", Notify.NONE, "Example Act 2021 s. 12"
        ),
        ListPolicy("hotline/candidates", max_change=MaxChange(0.125, 0.125)),
    )
    assert config.admin.socket == Path("/etc/blockd/run/admin.sock")
    assert (config.admin.operators, config.admin.approvers) == (("root", "noc"), ("duty",))


def test_the_control_socket_is_in_runtime_dir_by_default():
    config = judged('runtime_dir = "/srv/run"\n' + MINIMAL).config
    assert config.admin.socket == Path("/srv/run/admin.sock")


def test_three_files_are_one():
    report = judged(MINIMAL, '[dns]\ncache = "2MiB"\n[[feeds]]\nname="f"\nurl="https://f.example"\nroot="r"', '[[lists]]\nname="f/l"')
    assert report.config.dns.cache_bytes == 2 << 20
    assert report.config.lists[0].name == "f/l"


def test_faults_of_all_files_are_told_with_their_files():
    report = judged("[dns\n", "x = 1\nx = 2", MINIMAL)
    assert [fault.partition(": ")[0] for fault in report.faults] == ["blockd.toml:1", "conf.d/1.toml:2"]
    report = judged(MINIMAL, "\nnope = 1", "\n\nnein = 1")
    assert [fault.partition(": ")[0] for fault in report.faults] == ["conf.d/1.toml:2", "conf.d/2.toml:3"]


def test_faults_come_in_the_order_of_lines():
    report = judged("[counts]\nthreshold = 1\n[dns]\ncache = 1\nupstreams = []\nlisten = 1")
    assert [int(fault.split(":")[1]) for fault in report.faults] == [2, 4, 5, 6]


def test_load_raises_with_every_fault(tmp_path):
    path = tmp_path / "blockd.toml"
    path.write_text("a = 1\nb = 2\n" + MINIMAL)
    with pytest.raises(Misconfigured) as caught:
        load(path)
    assert caught.value.faults == tuple(check(path))
    assert len(caught.value.faults) == 2


def test_a_relative_name_gives_absolute_paths(tmp_path, monkeypatch):
    (tmp_path / "blockd.toml").write_text('state_dir = "state"\n' + MINIMAL)
    monkeypatch.chdir(tmp_path)
    assert load(Path("blockd.toml")).state_dir == tmp_path / "state"


def whole(report: Report) -> bool:
    """A Config or faults, never both, and every fault fit to be one line."""
    one = (isinstance(report.config, Config)) != bool(report.faults)
    return one and all("\n" not in line and "\x1b" not in line for line in (*report.faults, *report.warnings))


@given(st.binary(max_size=400))
def test_any_bytes_give_a_configuration_or_faults(data):
    assert whole(judged(data))


SCALARS = st.one_of(
    st.integers(-10, 10**12).map(str),
    st.sampled_from(
        [
            "true",
            "1.5",
            "nan",
            "1979-05-27",
            '""',
            '"\\u001b[31m"',
            '"x"',
            '"10m"',
            '"1GiB"',
            '"5%"',
            '"0.0.0.0:53"',
            '"udp://127.0.0.1"',
            '"f/l"',
            '"enforce"',
            '"auto"',
        ]
    ),
    st.text(alphabet=st.characters(blacklist_categories=("Cc", "Cs"), blacklist_characters='"\\'), max_size=12).map(lambda t: f'"{t}"'),
)
NAMES = [
    "dns",
    "listen",
    "upstreams",
    "cache",
    "feeds",
    "lists",
    "name",
    "url",
    "root",
    "mode",
    "max_change",
    "add",
    "admin",
    "roles",
    "operator",
    "stop_page",
    "helplines",
    "web",
    "counts",
    "threads",
    "allow_from",
    "nope",
]


@st.composite
def documents(draw):
    lines = []
    for _ in range(draw(st.integers(0, 10))):
        name = ".".join(draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=2)))
        form = draw(st.sampled_from(["{n} = {v}", "{n} = [{v}, {v}]", "{n} = {{ {m} = {v} }}", "[{n}]", "[[{n}]]"]))
        lines.append(form.format(n=name, m=draw(st.sampled_from(NAMES)), v=draw(SCALARS)))
    return "\n".join(lines)


@settings(max_examples=400)
@given(documents(), documents())
def test_any_document_gives_a_configuration_or_faults(main, other):
    assert whole(judged(main, other))


@settings(max_examples=200)
@given(st.integers(0, len(WHOLE)), st.text(alphabet="ab=[]{}\"'.,#\\\n 1-:", max_size=4), st.integers(0, 3))
def test_a_damaged_configuration_gives_a_configuration_or_faults(at, put, drop):
    assert whole(judged(WHOLE[:at] + put + WHOLE[at + drop :]))
