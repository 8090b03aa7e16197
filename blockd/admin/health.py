"""Is this gateway ready, and the status as JSON. Pure.

*Alive* means that the process answers at all. *Ready* means that it should be given traffic: its listeners answer, an upstream answers, and
some verified policy is loaded. Readiness never asks whether a feed is fresh: one bad feed would otherwise withdraw every gateway at once.
Nor does it ask for XDP where our own resolver stands behind it: that answers what XDP does not. As a sidecar XDP is all there is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blockd.admin.facts import Facts, ListFacts


def why_not_ready(facts: Facts) -> tuple[str, ...]:
    """Every reason why no traffic should be sent here, one line each; empty: ready. No line names a client or a name that was asked for."""
    reasons = []
    if not facts.roles:
        reasons.append("no role has reported yet")
    resolver = any(role.name == "resolver" for role in facts.roles)
    waiting = (role for role in facts.roles if role.state != "ready" and not (role.name == "xdp" and resolver))
    reasons.extend(f"{role.name} is {role.state}" + (f": {role.why_not}" if role.why_not else "") for role in waiting)
    if facts.upstreams and not any(upstream.up for upstream in facts.upstreams) and not any("upstream" in reason for reason in reasons):
        reasons.append("no upstream answers")
    if facts.lists and facts.before_lists != "answer" and facts.table.generation == 0:
        reasons.append("no verified list is loaded yet")
    return tuple(reasons)


def status(facts: Facts) -> dict[str, object]:
    """The object of ``blockd status --json`` and ``/api/v1/status``: the contract's keys, and `alarms`, `why_not` beside them."""
    reasons = why_not_ready(facts)
    return {
        "version": facts.version,
        "generation": facts.table.generation,
        "ready": not reasons,
        "why_not": list(reasons),
        "listen": {door: list(addresses) for door, addresses in facts.listen.items()},
        "roles": [{"name": role.name, "pid": role.pid, "state": role.state} for role in facts.roles],
        "lists": [_list(one) for one in facts.lists],
        "table": {"entries": facts.table.entries, "bytes": facts.table.bytes},
        "audit": {"origin": facts.audit.origin, "size": facts.audit.size, "root": facts.audit.root, "checkpoint": facts.audit.checkpoint},
        "upstreams": [{"address": one.address, "up": one.up, "why": one.why} for one in facts.upstreams],
        "xdp": {
            "interface": facts.xdp.interface,
            "mode": facts.xdp.mode,
            "attached": facts.xdp.attached,
            "program": facts.xdp.program,
            "services": facts.xdp.services,
            "why_not": facts.xdp.why_not,
        },
        "workers": {"threads": facts.workers.threads, "running": facts.workers.running, "restarts": facts.workers.restarts},
        "alarms": [{"code": alarm.code, "text": alarm.text} for alarm in facts.alarms],
    }


def _list(one: ListFacts) -> dict[str, object]:
    return {
        "name": one.name,
        "version": one.version,
        "mode": one.mode.value,
        "state": one.state,
        "entries": one.entries,
        "rejected": dict(one.rejected),
        "last_result": one.last_result.value if one.last_result else None,
        "last_success": one.last_success,
        "expires": one.expires,
        "basis": one.basis.value if one.basis else None,
        "category": one.category.value if one.category else None,
        "action": one.action.value if one.action else None,
        "secret": one.secret,
    }
