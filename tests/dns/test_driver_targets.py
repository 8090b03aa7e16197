"""Targets of answers: a CNAME, DNAME, HTTPS or SVCB that leads to a listed name blocks the name that was asked."""

from __future__ import annotations

import dns.rcode
import pytest

from blockd.config.schema import ListPolicy
from blockd.terms import Action, Basis, Kind, ListName, Mode
from tests.dns.running import Running, addresses, configured, ede, generation, listed
from tests.dns.upstream import ADDRESS, Upstream

NXDOMAIN = dns.rcode.NXDOMAIN

CHAINS = {
    "cname": lambda q: [f"{q.name} 60 CNAME www.casino.example.", f"www.casino.example. 60 A {ADDRESS}"],
    "long": lambda q: [f"{q.name} 60 CNAME b.good.example.", "b.good.example. 60 CNAME casino.example.", f"casino.example. 60 A {ADDRESS}"],
    "dname": lambda q: ["good.example. 60 DNAME casino.example.", f"{q.name} 60 CNAME x.casino.example."],
    "https": lambda q: [f"{q.name} 60 HTTPS 1 casino.example. alpn=h2 ipv4hint=198.51.100.7"],
    "alias": lambda q: [f"{q.name} 60 HTTPS 0 casino.example."],
    "svcb": lambda q: [f"{q.name} 60 SVCB 1 CASINO.example. alpn=h2"],
}
TYPES = {"https": "HTTPS", "alias": "HTTPS", "svcb": "SVCB"}


@pytest.mark.parametrize("kind", CHAINS)
@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_a_listed_target_blocks_under_the_name_that_was_asked(kind, tcp, tmp_path):
    live = generation(tmp_path, 1, listed("f/own", ["casino.example"]))
    with Upstream(lambda q: [q.reply(*CHAINS[kind](q))]) as up, Running(configured(up.port, lists=["f/own"]), live) as r:
        for count in (1, 2):  # and not from the cache the second time
            response = r.ask("a.good.example", TYPES.get(kind, "A"), tcp=tcp)
            assert (response.rcode(), ede(response)) == (NXDOMAIN, [15])
            assert response.answer == []
            assert "casino" not in response.to_text()
            assert r.hits("f/own") == count


def test_a_target_on_a_stop_page_list_gets_the_page(tmp_path):
    live = generation(tmp_path, 1, listed("f/own", ["casino.example"], action=Action.STOP_PAGE))
    with Upstream(lambda q: [q.reply(*CHAINS["cname"](q))]) as up, Running(configured(up.port, lists=["f/own"]), live) as r:
        response = r.ask("a.good.example")
        assert addresses(response) == ["192.0.2.80"]
        assert response.answer[0].name.to_text() == "a.good.example."


def test_a_target_under_an_exception_or_on_a_shadow_list_is_answered(tmp_path):
    own = listed("f/own", ["casino.example", ("www.casino.example", Kind.ALLOW_SUBTREE)])
    trial = listed("f/trial", ["casino.example"], basis=Basis.MANDATED)
    live = generation(tmp_path, 1, own, trial)
    lists = ["f/own", ListPolicy(ListName("f/trial"), Mode.SHADOW)]
    with Upstream(lambda q: [q.reply(*CHAINS["cname"](q))]) as up, Running(configured(up.port, lists=lists), live) as r:
        assert addresses(r.ask("a.good.example")) == [ADDRESS]
        assert r.hits("f/trial", shadow=True) == 1
        assert r.hits("f/own") == 0
