"""What the admin listener and `blockd status` show, put together from the updater's state and the roles' own words. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import blockd
from blockd.admin.facts import WORKER_EVENTS, Alarm, Facts, RoleFacts, UpstreamFacts, WorkerFacts, XdpFacts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from blockd.config.schema import Config
    from blockd.control.bus import Peer
    from blockd.control.state import State
    from blockd.counts.tallies import Key


def facts(config: Config, state: State, peers: Sequence[Peer], own: RoleFacts, admin: Sequence[str], extra: Iterable[Alarm] = ()) -> Facts:
    """`own`: the control role itself; `admin`: the addresses of the admin listener; `extra`: alarms that the updater does not know."""
    there = (own, *(_role(peer) for peer in peers))
    everyone = there + _missing(config, there)
    listen: dict[str, Sequence[str]] = {}
    for peer in peers:
        for door, addresses in peer.health.get("listen", {}).items():
            listen[str(door)] = [str(address) for address in addresses]
    if admin:
        listen["admin"] = list(admin)
    upstreams = tuple(_upstream(row) for peer in peers for row in peer.health.get("upstreams", ()))
    return Facts(
        version=blockd.__version__,
        table=state.table,
        lists=state.lists,
        audit=state.audit,
        upstreams=upstreams,
        xdp=next((_xdp(peer.health["xdp"]) for peer in peers if peer.health.get("xdp")), XdpFacts()),
        workers=_workers([peer.health["workers"] for peer in peers if peer.health.get("workers")]),
        roles=everyone,
        listen=listen,
        alarms=(*state.alarms, *extra, *_behind(peers, state), *_without_xdp(everyone)),
        before_lists=config.dns.before_lists,
    )


def _role(peer: Peer) -> RoleFacts:
    health = peer.health
    if not health:
        return RoleFacts(peer.role, peer.pid, "starting", "it has not reported yet")
    return RoleFacts(peer.role, peer.pid, "ready" if health.get("ready") else "not ready", str(health.get("why_not", "")))


def _missing(config: Config, roles: Sequence[RoleFacts]) -> tuple[RoleFacts, ...]:
    """Roles that the configuration gives work to and that are not connected."""
    wanted = {"resolver": bool(config.dns.listen), "web": bool(config.stop_page.listen), "xdp": config.dns.xdp != "off"}
    there = {role.name for role in roles}
    return tuple(
        RoleFacts(name, 0, "down", "it is not connected to control") for name, work in wanted.items() if work and name not in there
    )


def _upstream(row: Mapping[str, object]) -> UpstreamFacts:
    requests = row.get("requests")
    counts = {str(word): int(count) for word, count in requests.items()} if isinstance(requests, dict) else {}
    return UpstreamFacts(str(row["address"]), bool(row["up"]), counts, str(row.get("why", "")))


def reported(shown: Facts) -> dict[Key, int]:
    """What the resolver process has counted outside its slab since it started, by source (counts/tallies.py)."""
    found: dict[Key, int] = {("upstream", one.address, result): count for one in shown.upstreams for result, count in one.requests.items()}
    found |= {("worker", event): count for event, count in shown.workers.events.items()}
    return found | ({("worker_restart",): shown.workers.restarts} if shown.workers.events else {})


def _xdp(row: Mapping[str, object]) -> XdpFacts:
    return XdpFacts(
        str(row["interface"]),
        str(row["mode"]),
        bool(row["attached"]),
        int(str(row["program"])),
        int(str(row["services"])),
        str(row["why_not"]),
    )


def _workers(reports: Sequence[Mapping[str, int]]) -> WorkerFacts:
    """All threads of all processes that have some."""

    def total(name: str) -> int:
        return sum(int(report.get(name, 0)) for report in reports)

    events = {event: total(event) for event in WORKER_EVENTS} if reports else {}
    return WorkerFacts(total("threads"), total("running"), total("restarts"), events)


def _without_xdp(roles: Sequence[RoleFacts]) -> tuple[Alarm, ...]:
    """XDP is not there, and our resolver answers in its place: no reason to withdraw, but one to look."""
    if not any(role.name == "resolver" for role in roles):
        return ()
    why = [role.why_not or role.state for role in roles if role.name == "xdp" and role.state != "ready"]
    return tuple(Alarm("xdp", f"XDP does not answer, the resolver does: {text}") for text in why)


def _behind(peers: Sequence[Peer], state: State) -> tuple[Alarm, ...]:
    generation = state.table.generation
    late = [peer.role for peer in peers if peer.generation != generation and generation]
    if not late:
        return ()
    text = f"{', '.join(late)} does not answer from generation {generation} yet: its log says why when this stays"
    return (Alarm("role_behind", text),)
