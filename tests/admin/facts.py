"""Facts and totals with something in every field, for the tests of every page."""

from __future__ import annotations

from blockd.admin.facts import Alarm, AuditFacts, Facts, ListFacts, RoleFacts, TableFacts, UpstreamFacts, WorkerFacts
from blockd.counts.tallies import FIXED, Totals
from blockd.terms import Action, Basis, Category, Instant, ListName, Mode, Result

NOW = Instant(1_795_500_000.0)


def full_facts() -> Facts:
    """A gateway at work: one list enforced, one in shadow and held, one that never loaded."""
    return Facts(
        version="0.1.0",
        table=TableFacts(generation=7, entries=1_005_000, bytes=24_000_000),
        lists=(
            ListFacts(
                name=ListName("hotline/domains"), mode=Mode.ENFORCE, state="live", version=43, entries=1_000_000,
                enforceable={"dns": 999_000, "http_path": 600, "unenforceable": 400}, rejected={"label": 2, "protected": 1},
                updates={Result.APPLIED: 5, Result.NOT_MODIFIED: 900}, last_result=Result.NOT_MODIFIED, last_success=NOW,
                expires=Instant(NOW + 86400), basis=Basis.MANDATED, category=Category.GAMBLING, action=Action.STOP_PAGE,
            ),
            ListFacts(
                name=ListName("hotline/candidates"), mode=Mode.SHADOW, state="held", version=3, entries=5000, enforceable={"dns": 5000},
                updates={Result.HELD: 1}, last_result=Result.HELD, last_success=Instant(NOW - 7200), expires=Instant(NOW + 3600),
                basis=Basis.OPERATOR, category=Category.CSAM, action=Action.NXDOMAIN, secret=True,
            ),
            ListFacts(name=ListName("court/orders"), mode=Mode.OFF),
        ),
        audit=AuditFacts(origin="blockd.example.net/gw1/2026", size=42, root="ab" * 32, checkpoint=NOW),
        upstreams=(
            UpstreamFacts("udp://192.0.2.53:53", up=True, requests={"ok": 100, "timeout": 2}),
            UpstreamFacts("tcp://192.0.2.54:53", up=False),
        ),
        workers=WorkerFacts(threads=2, running=2, restarts=1, events={"forwarded": 40, "coalesced": 4, "hedged": 1, "escalated": 3}),
        roles=(RoleFacts("resolver", 101, "ready"), RoleFacts("web", 102, "ready"), RoleFacts("control", 103, "ready")),
        listen={"udp": ["127.0.0.1:53"], "tcp": ["127.0.0.1:53"], "stop_page": ["127.0.0.1:80"], "admin": ["127.0.0.1:9553"]},
        alarms=(Alarm("list_held", "hotline/candidates: an update is held: blockd lists approve hotline/candidates --reason TEXT"),),
    )  # fmt: skip


def full_totals() -> Totals:
    """A figure for every series."""
    values = {key: 10 * (number + 1) for number, key in enumerate(FIXED)}
    values[("hit", "hotline/domains", "gambling", "stop_page", "dns")] = 120
    values[("hit", "merged", "merged", "merged", "dns")] = 30
    values[("shadow", "hotline/candidates", "csam", "nxdomain", "dns")] = 50
    values[("upstream", "udp://192.0.2.53:53", "ok")] = 100
    values[("worker", "forwarded")] = 40
    values[("worker_restart",)] = 1
    return Totals(values, windowed=True, next_release=NOW + 1800)
