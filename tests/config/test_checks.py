"""What single keys cannot show."""

from __future__ import annotations

import pytest

from tests.config.documents import MINIMAL, WHOLE, judged

FEED = '[[feeds]]\nname = "f"\nurl = "https://f.example"\nroot = "r"\n'
LIST = '[[lists]]\nname = "f/l"\n'


def found(text):
    report = judged(text)
    return report.faults, report.warnings


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (MINIMAL + FEED + FEED + LIST, 'feeds[2].name: "f" is also feed 1'),
        (MINIMAL + FEED + LIST + LIST, 'lists[2].name: "f/l" is also list 1'),
        (MINIMAL + FEED + LIST + '[[lists]]\nname = "g/l"', 'lists[2].name: "g/l" is of a feed "g" that is not configured; configured: f'),
        (MINIMAL + LIST, "no feeds are configured"),
        (MINIMAL + FEED + LIST + 'notify = "none"', 'lists[1].notify: "none" needs notify_basis'),
        (MINIMAL + FEED + 'client_key = "k"\n' + LIST, "feeds[1].client_key: needs client_certificate too"),
        (MINIMAL + FEED.replace("https", "http") + 'token_file = "t"\n' + LIST, "feeds[1].token_file: a token would travel readable"),
        (MINIMAL + '[[stop_page.helplines]]\nname = "x"', "stop_page.helplines[1]: needs phone or url"),
        ("[dns]\n", "dns.upstreams: is empty"),
        (MINIMAL + 'listen = ["127.0.0.1:53", "127.0.0.1:53"]', "dns.listen[2]: "),
        (MINIMAL + 'listen = ["127.0.0.1:53", "0.0.0.0:53"]', "dns.listen[2]: 0.0.0.0:53 meets 127.0.0.1:53:"),
        (MINIMAL + '[stop_page]\nlisten = ["127.0.0.1:9553"]', "admin.listen[1]: 127.0.0.1:9553 meets 127.0.0.1:9553 of stop_page.listen"),
        ('[dns]\nlisten = ["127.0.0.1:53"]\nupstreams = ["udp://127.0.0.1"]', "queries would go in a circle"),
        ('[dns]\nlisten = ["0.0.0.0:53"]\nupstreams = ["tcp://127.0.0.53"]', "queries would go in a circle"),
        ('[dns]\nlisten = ["[::]:53"]\nupstreams = ["udp://[::1]"]', "queries would go in a circle"),
        ('state_dir = "/x"\nruntime_dir = "/x"\n' + MINIMAL, "runtime_dir: is state_dir too"),
        (f'runtime_dir = "/{"x" * 100}"\n' + MINIMAL, "runtime_dir: "),
        (f'{MINIMAL}[admin]\nsocket = "/{"x" * 107}"', "admin.socket: "),
    ],
)
def test_faults(text, says):
    faults, _ = found(text)
    assert any(says in fault for fault in faults), faults
    assert all(fault.startswith("blockd.toml:") for fault in faults)


@pytest.mark.parametrize(
    "text",
    [
        'listen = ["0.0.0.0:53", "[::]:53"]',  # IPv6 sockets take IPv6 alone
        'listen = ["127.0.0.1:53", "127.0.0.2:53"]',
        'listen = ["127.0.0.1:5300"]\n[stop_page]\nlisten = ["127.0.0.1:0"]\n[admin]\nlisten = ["127.0.0.1:0"]',
    ],
)
def test_listeners_that_do_not_meet(text):
    assert found(MINIMAL + text)[0] == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (MINIMAL + 'allow_from = ["0.0.0.0/0"]', "dns.allow_from[1]: 0.0.0.0/0 makes this an open resolver"),
        (MINIMAL + 'allow_from = ["10.0.0.0/8", "::/0"]', "dns.allow_from[2]"),
        (MINIMAL + "allow_from = []", "every query is refused"),
        (MINIMAL, "no lists are configured"),
        (MINIMAL + FEED, 'no list of "f" is configured'),
        (MINIMAL + FEED + LIST + 'action = "stop_page"', "stop_page.addresses is empty"),
        (MINIMAL + FEED + LIST + 'notify_basis = "x"', "says nothing without"),
        (MINIMAL.replace("198.51.99", "198.51.100"), "an address for documentation"),
        (MINIMAL + '[stop_page]\naddresses = ["192.0.2.80"]', "an address for documentation"),
    ],
)
def test_warnings_do_not_stop_it(text, says):
    report = judged(text)
    assert report.config, report.faults
    assert any(says in warning for warning in report.warnings), report.warnings


def test_a_good_configuration_has_no_warning_about_values():
    report = judged(WHOLE)
    assert report.config
    assert report.warnings == ()


def test_what_rests_on_a_bad_value_is_not_said():
    faults, warnings = found(MINIMAL + FEED.replace('"f"', '"F F"') + LIST)
    assert len(faults) == 1  # the feed's name; not "f is not configured"
    assert not any("no list of" in warning for warning in warnings)
    faults, _ = found('[dns]\nlisten = ["nonsense"]\nupstreams = ["udp://127.0.0.1"]')
    assert len(faults) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('xdp = "auto"\n', "dns.xdp_interface: is empty"),
        ('xdp_listen = ["198.51.99.1:53"]\n', "does nothing while dns.xdp"),
        ('xdp = "auto"\nxdp_interface = "eth0"\nlisten = []\n', "has nothing to answer at"),
        ('xdp = "auto"\nxdp_interface = "eth0"\nlisten = []\nxdp_listen = ["198.51.99.1:0"]\n', "name its port"),
        ('xdp = "auto"\nxdp_interface = "eth0"\nlisten = ["198.51.99.1:53"]\nxdp_listen = ["198.51.99.1:53"]\n', "own listener"),
    ],
)
def test_xdp_needs_an_interface_and_something_to_answer_at(text, says):
    assert any(says in fault for fault in judged(MINIMAL + text).faults)


def test_a_sidecar_needs_no_upstream():
    text = '[dns]\nlisten = []\nxdp = "auto"\nxdp_interface = "eth0"\nxdp_listen = ["198.51.99.1:53"]\n'
    assert not judged(text).faults
