"""The resolver as its clients see it: every action, type, transport and family; EDNS; generations, reloads and drain under load."""

from __future__ import annotations

import shutil
import socket
import subprocess

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from blockd.terms import Action, Basis, Kind
from tests.dns.running import PAGE4, PAGE6, Running, addresses, configured, ede, generation, listed
from tests.dns.upstream import ADDRESS, Upstream

NOERROR, NXDOMAIN, REFUSED, SERVFAIL = dns.rcode.NOERROR, dns.rcode.NXDOMAIN, dns.rcode.REFUSED, dns.rcode.SERVFAIL
TYPES = ("A", "AAAA", "NS", "MX", "TXT", "SOA", "DS", "ANY", "HTTPS", "SVCB", "TYPE65400")
LISTS = {action: f"f/{action.value}" for action in Action}


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    lists = [listed(LISTS[action], [f"{action.value.replace('_', '-')}.example"], action=action) for action in Action]
    mixed = listed("f/mixed", ["deep.example", ("ok.deep.example", Kind.ALLOW_SUBTREE), "bad.ok.deep.example", ("one.example", Kind.EXACT)])
    court = listed("f/court", ["court.example", "both.example"], basis=Basis.MANDATED)
    ours = listed("f/ours", ["www.both.example"], basis=Basis.SUBSCRIBER, action=Action.NODATA)
    return generation(tmp_path_factory.mktemp("server"), 1, *lists, mixed, court, ours)


@pytest.fixture(scope="module")
def up():
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def r(up, live):
    with Running(configured(up.port, lists=[*LISTS.values(), "f/mixed", "f/court", "f/ours"]), live) as running:
        yield running


WAYS = [(tcp, family) for tcp in (False, True) for family in (4, 6)]


@pytest.mark.parametrize(("tcp", "family"), WAYS, ids=["udp4", "udp6", "tcp4", "tcp6"])
@pytest.mark.parametrize("rdtype", TYPES)
@pytest.mark.parametrize("action", [a for a in Action if a is not Action.DROP])
def test_a_blocked_name_is_answered_by_its_action(r, action, rdtype, tcp, family):
    response = r.ask(f"a.{action.value.replace('_', '-')}.example", rdtype, tcp=tcp, family=family)
    page = {"A": PAGE4, "AAAA": PAGE6}.get(rdtype) if action is Action.STOP_PAGE else None
    rcode = {Action.NXDOMAIN: NXDOMAIN, Action.REFUSED: REFUSED}.get(action, NOERROR)
    assert response.rcode() == rcode
    assert ede(response) == [15]
    assert addresses(response) == ([page] if page else [])
    assert len(response.answer) == bool(page)
    ttls = [s.ttl for s in (*response.answer, *response.authority)]
    assert ttls == ([] if action is Action.REFUSED else [30])
    if not page and action is not Action.REFUSED:
        assert response.authority[0].rdtype == dns.rdatatype.SOA


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_drop_is_silence(r, tcp):
    with pytest.raises(dns.exception.Timeout):
        r.ask("drop.example", tcp=tcp, timeout_s=0.2)


@pytest.mark.parametrize(
    "name", ["casino", "one.example", "x.one.example", "ok.deep.example", "x.ok.deep.example", "deep.example.org", "xdeep.example"]
)
@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_other_names_are_resolved(r, name, tcp):
    response = r.ask(name, tcp=tcp)
    if name == "one.example":
        assert ede(response) == [15]
    else:
        assert (addresses(response), ede(response)) == ([ADDRESS], [])


def test_the_most_specific_entry_of_a_list_holds_at_every_depth(r):
    assert [bool(ede(r.ask(n))) for n in ("deep.example", "x.deep.example", "ok.deep.example", "bad.ok.deep.example", "a.bad.ok.deep.example")] == [
        True, True, False, True, True,
    ]  # fmt: skip


def test_the_strongest_basis_wins_over_the_deeper_entry(r):
    response = r.ask("a.www.both.example")
    assert (response.rcode(), ede(response)) == (NXDOMAIN, [16])
    assert ede(r.ask("court.example")) == [16]


def test_names_that_never_leave(r, up):
    assert addresses(r.ask("x.localhost")) == ["127.0.0.1"]
    assert r.ask("x.onion").rcode() == NXDOMAIN
    assert r.ask("_dns.resolver.arpa", "SVCB").answer == []
    assert not [q for q in up.queries if q.name.endswith(("localhost.", "onion.", "arpa."))]


@pytest.mark.parametrize("name", ["nxdomain.example", "fine.example"])
def test_edns_cases(r, name):
    plain = r.ask(name, use_edns=False)
    assert plain.edns == -1
    assert r.ask(name, use_edns=0).edns == 0
    bad = r.ask(name, use_edns=1)
    assert (bad.rcode(), bad.edns, bad.answer) == (dns.rcode.BADVERS, 0, [])
    unknown = r.ask(name, options=[dns.edns.GenericOption(65001, b"x" * 40)])
    assert not [o for o in unknown.options if o.otype == 65001]
    assert r.ask(name, payload=100).flags & dns.flags.TC == 0  # below 512 counts as 512
    assert r.ask(name, flags=dns.flags.RD | dns.flags.CD).flags & dns.flags.CD


def test_a_client_of_structured_errors_gets_no_forged_address(r):
    response = r.ask("stop-page.example", options=[dns.edns.GenericOption(26, b"")])
    assert (response.rcode(), response.answer, ede(response)) == (NXDOMAIN, [], [15])


@pytest.mark.parametrize(
    ("change", "rcode"),
    [
        (lambda w: w[:4] + b"\0\2" + w[6:], dns.rcode.FORMERR),
        (lambda w: w + b"x", dns.rcode.FORMERR),
        (lambda w: w[:2] + b"\x28\0" + w[4:], dns.rcode.NOTIMP),
        (lambda w: w[:2] + b"\x81\0" + w[4:], None),
        (lambda w: w[:11], None),
    ],
    ids=["two-questions", "trailing-octet", "update", "a-response", "cut-header"],
)
def test_malformed_queries(r, change, rcode):
    query = dns.message.make_query("fine.example", "A", id=77)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(r.door())
        s.settimeout(3 if rcode else 0.2)
        s.send(change(query.to_wire()))
        if rcode is None:
            with pytest.raises(TimeoutError):
                s.recv(512)
            return
        answer = s.recv(512)
        assert answer[:2] == b"\0\x4d"
        assert answer[3] & 15 == rcode


def test_dig_and_kdig_agree(r):
    host, port = r.door()
    for program in ("dig", "kdig"):
        path = shutil.which(program)
        assert path, f"{program} is missing"
        for extra in ([], ["+tcp"]):
            shown = subprocess.run(
                [path, f"@{host}", "-p", str(port), "+edns", *extra, "nxdomain.example", "HTTPS"],
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
            )
            assert "NXDOMAIN" in shown.stdout
            assert "Blocked" in shown.stdout
            shown = subprocess.run(
                [path, f"@{host}", "-p", str(port), *extra, "fine.example"], capture_output=True, text=True, timeout=10, check=True
            )
            assert ADDRESS in shown.stdout
