from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from blockd.admin.facts import Alarm, RoleFacts, TableFacts, WorkerFacts
from blockd.admin.health import why_not_ready
from blockd.config.schema import Config, Dns, Endpoint, StopPage
from blockd.control.bus import Peer
from blockd.control.facts import facts, reported
from blockd.control.state import State

CONFIG = Config(
    path=Path("blockd.toml"), dns=Dns(listen=(Endpoint("127.0.0.1", 0),)), stop_page=StopPage(listen=(Endpoint("127.0.0.1", 0),))
)
OWN = RoleFacts("control", 1, "ready")


def peer(role: str, generation: int = 4, **health) -> Peer:
    return Peer(role, 7, generation, None, health)


def built(*peers: Peer, generation: int = 4):
    return facts(CONFIG, State(TableFacts(generation, 10, 100)), peers, OWN, ["127.0.0.1:9553"], [Alarm("x", "y")])


def test_all_is_well():
    resolver = peer(
        "resolver",
        ready=True,
        listen={"udp": ["127.0.0.1:53"]},
        upstreams=[{"address": "udp://192.0.2.53:53", "up": True, "why": "it is late", "requests": {"ok": 3}}],
    )
    shown = built(resolver, peer("web", ready=True, listen={"stop_page": ["127.0.0.1:80"]}))
    assert why_not_ready(shown) == ()
    assert shown.listen == {"udp": ["127.0.0.1:53"], "stop_page": ["127.0.0.1:80"], "admin": ["127.0.0.1:9553"]}
    assert shown.upstreams[0].requests == {"ok": 3}
    assert shown.upstreams[0].why == "it is late"
    assert [alarm.code for alarm in shown.alarms] == ["x"]


def test_a_role_that_is_not_there_is_shown_as_down():
    shown = built(peer("resolver", ready=True))
    assert [(r.name, r.state) for r in shown.roles] == [("control", "ready"), ("resolver", "ready"), ("web", "down")]
    assert why_not_ready(shown)


def test_a_role_that_has_not_reported_or_is_not_ready_says_why():
    shown = built(peer("resolver", ready=False, why_not="no upstream answers"), peer("web"))
    assert [(r.state, r.why_not) for r in shown.roles[1:]] == [
        ("not ready", "no upstream answers"),
        ("starting", "it has not reported yet"),
    ]


def test_a_role_behind_is_an_alarm_and_not_a_reason_to_withdraw():
    shown = built(peer("resolver", 3, ready=True), peer("web", ready=True))
    assert [alarm.code for alarm in shown.alarms] == ["x", "role_behind"]
    assert why_not_ready(shown) == ()


def test_threads_and_what_they_counted_come_from_every_process_that_has_some():
    workers = {"threads": 4, "running": 3, "restarts": 2, "forwarded": 10, "coalesced": 1, "in_flight": 9}
    shown = built(
        peer("resolver", ready=True, workers=workers, upstreams=[{"address": "udp://x", "up": True, "requests": {"ok": 3}}]), peer("web")
    )
    assert shown.workers == WorkerFacts(4, 3, 2, {"forwarded": 10, "coalesced": 1, "hedged": 0, "escalated": 0})
    assert reported(shown) == {
        ("upstream", "udp://x", "ok"): 3,
        ("worker", "forwarded"): 10,
        ("worker", "coalesced"): 1,
        ("worker", "hedged"): 0,
        ("worker", "escalated"): 0,
        ("worker_restart",): 2,
    }
    assert reported(built(peer("web", ready=True))) == {}, "nobody has told: nothing went back to 0"


def test_xdp_that_is_not_there_is_an_alarm_and_not_a_reason_to_withdraw():
    config = replace(CONFIG, dns=replace(CONFIG.dns, xdp="generic", xdp_interface="eth0"))
    peers = (peer("resolver", ready=True), peer("web", ready=True))
    shown = facts(config, State(TableFacts(4, 10, 100)), peers, OWN, [])
    assert why_not_ready(shown) == ()
    assert [(alarm.code, alarm.text) for alarm in shown.alarms] == [
        ("xdp", "XDP does not answer, the resolver does: it is not connected to control")
    ]
