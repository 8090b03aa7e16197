from __future__ import annotations

import json
from dataclasses import replace

import pytest

from blockd.admin.facts import RoleFacts, TableFacts, UpstreamFacts
from blockd.admin.health import status, why_not_ready
from tests.admin.facts import full_facts

FULL = full_facts()
DOWN = UpstreamFacts("udp://192.0.2.53:53", up=False)


def test_a_gateway_at_work_is_ready():
    assert why_not_ready(FULL) == ()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"roles": ()}, "no role has reported yet"),
        ({"roles": (RoleFacts("resolver", 1, "starting", "no socket yet"),)}, "resolver is starting: no socket yet"),
        ({"roles": (RoleFacts("web", 1, "draining"),)}, "web is draining"),
        ({"upstreams": (DOWN,)}, "no upstream answers"),
        ({"table": TableFacts()}, "no verified list is loaded yet"),
    ],
)
def test_what_makes_it_not_ready(change, reason):
    assert why_not_ready(replace(FULL, **change)) == (reason,)


def test_every_reason_is_told_at_once():
    assert len(why_not_ready(replace(FULL, roles=(), upstreams=(DOWN,), table=TableFacts()))) == 3


def test_one_upstream_is_enough():
    assert why_not_ready(replace(FULL, upstreams=(DOWN, UpstreamFacts("udp://192.0.2.54:53", up=True)))) == ()


def test_xdp_decides_only_where_no_resolver_of_ours_stands_behind_it():
    down = RoleFacts("xdp", 0, "down", "it is not connected to control")
    assert why_not_ready(replace(FULL, roles=(*FULL.roles, down))) == ()
    sidecar = tuple(role for role in FULL.roles if role.name != "resolver")
    assert why_not_ready(replace(FULL, roles=(*sidecar, down))) == ("xdp is down: it is not connected to control",)


def test_a_feed_never_decides():
    # Anycast: one bad feed must not withdraw every gateway at once.
    stale = tuple(replace(one, expires=1.0, last_success=1.0, last_result=None, state="none") for one in FULL.lists)
    assert why_not_ready(replace(FULL, lists=stale)) == ()


def test_before_lists_answer_and_no_lists_need_no_policy():
    bare = replace(FULL, table=TableFacts())
    assert why_not_ready(replace(bare, before_lists="answer")) == ()
    assert why_not_ready(replace(bare, lists=())) == ()


def test_status_has_the_contracts_keys():
    shown = json.loads(json.dumps(status(FULL)))
    assert {"version", "generation", "ready", "listen", "roles", "lists", "audit", "upstreams"} <= shown.keys()
    assert shown["roles"][0] == {"name": "resolver", "pid": 101, "state": "ready"}
    assert {"name", "version", "mode", "state", "entries", "rejected", "last_result", "last_success", "expires"} <= shown["lists"][0].keys()
    assert {"origin", "size", "root"} <= shown["audit"].keys()
    assert shown["upstreams"][1] == {"address": "tcp://192.0.2.54:53", "up": False, "why": ""}
    assert shown["ready"] is True
    assert shown["lists"][0]["rejected"] == {"label": 2, "protected": 1}
