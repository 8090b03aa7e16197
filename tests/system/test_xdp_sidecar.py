"""XDP as a sidecar: blockd's roles control and xdp in front of a real unbound, which answers whatever passes. What passes it by is shown, not hidden."""

from __future__ import annotations

import subprocess
import time

import dns.rcode
import pytest

from tests.native.dns_tools import ask_for, ede
from tests.system.gateway import enforce, need
from tests.system.netns import SERVER4, Cable
from tests.system.xdp_gateway import XdpGateway, need_bpf

UNBOUND = """
server:
  directory: "{home}"
  pidfile: ""
  username: ""
  chroot: ""
  use-syslog: no
  interface: {address}
  access-control: 0.0.0.0/0 allow
  module-config: "iterator"
  do-daemonize: no
  local-data: "www.good.example. 60 IN A 198.51.100.7"
  local-data: "www.twice.example. 60 IN A 198.51.100.9"
  local-data: "casino.example. 60 IN A 198.51.100.8"
  local-zone: "alias.example." transparent
  local-data: "www.alias.example. 60 IN CNAME casino.example."
  local-data: "shadow.example. 60 IN A 198.51.100.10"
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    need_bpf()
    home = tmp_path_factory.mktemp("sidecar")
    with Cable() as cable:
        (home / "unbound.conf").write_text(UNBOUND.format(home=home, address=SERVER4))
        unbound = subprocess.Popen(
            ["ip", "netns", "exec", cable.server, need("unbound"), "-c", str(home / "unbound.conf")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        lists = enforce("gambling", "other") + '\n[[lists]]\nname = "hotline/watched"\nmode = "shadow"\n'
        gw = XdpGateway(home, lists=lists, cable=cable, mode="auto", listen=(), xdp_listen=(f"{SERVER4}:53",), pages="[]")
        gw.publisher.init()
        gw.publisher.publish("gambling", "casino.example\ntwice.example\n")
        gw.publisher.publish("other", "www.twice.example\n", basis="operator")
        gw.publisher.publish("watched", "shadow.example\n")
        try:
            with gw:
                gw.update()
                end = time.monotonic() + 10
                while any(alarm["code"] == "role_behind" for alarm in gw.status()["alarms"]) and time.monotonic() < end:
                    time.sleep(0.05)  # a role that was started during the first update is told at once, but not waited for
                yield gw
        finally:
            unbound.terminate()
            unbound.wait(10)


def test_no_resolver_of_ours_runs(gateway):
    assert {row["name"] for row in gateway.status()["roles"]} == {"control", "web", "xdp"}
    assert gateway.status()["xdp"]["attached"]


def test_a_blocked_name_is_answered_in_front_of_the_resolver(gateway):
    answer = gateway.cable.ask(ask_for("casino.example", use_edns=0))
    assert (answer.rcode(), ede(answer)) == (dns.rcode.NXDOMAIN, 16)


def test_everything_else_reaches_the_resolver_untouched(gateway):
    (answer,) = gateway.cable.ask(ask_for("www.good.example")).answer
    assert answer[0].address == "198.51.100.7"


def test_tcp_passes_it_by(gateway):
    (answer,) = gateway.cable.ask(ask_for("casino.example"), tcp=True).answer
    assert answer[0].address == "198.51.100.8"


def test_the_target_of_a_cname_passes_it_by(gateway):
    answer = gateway.cable.ask(ask_for("www.alias.example")).answer
    assert answer[0][0].target.to_text() == "casino.example."


def test_a_name_that_two_lists_have_is_blocked_once_the_role_has_decided(gateway):
    end = time.monotonic() + 5
    while (answer := gateway.cable.ask(ask_for("www.twice.example", use_edns=0))).rcode() != dns.rcode.NXDOMAIN and time.monotonic() < end:
        time.sleep(0.05)
    assert (answer.rcode(), ede(answer)) == (dns.rcode.NXDOMAIN, 16)


def test_shadow_hits_are_counted_here_since_nobody_else_does(gateway):
    assert gateway.cable.ask(ask_for("shadow.example")).answer
    end, rows = time.monotonic() + 5, []
    while not rows and time.monotonic() < end:
        rows = [r for r in gateway.metrics().splitlines() if r.startswith("blockd_policy_shadow_hits_total") and not r.endswith(" 0.0")]
        time.sleep(0.1)
    assert rows
