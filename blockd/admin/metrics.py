"""The metrics page: Prometheus text and OpenMetrics, the only importer of prometheus_client.

Two things come in and nothing is kept: a :class:`~blockd.admin.facts.Facts` and the released :class:`~blockd.counts.tallies.Totals`. There
are no global metric objects, so no path leads from an event to this page but through the release rules of :mod:`blockd.counts.windows`.

Names and labels are the contract's. Label sets are closed and every combination is there from the start with 0, so that a first event
shows as an increase; a label is never a client, a name, a URL or a rule. While a sensitive list is loaded the counters of traffic
move at the end of a window only and in steps of the threshold, and the sum of the duration histogram is told by the middles of its buckets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder, generate_latest

from blockd.admin.facts import ENFORCEABLE, UPSTREAM_HEDGED, UPSTREAM_RESULTS, WORKER_EVENTS, XDP_MODES
from blockd.counts import layout
from blockd.counts.tallies import BUCKETS, FIXED
from blockd.terms import Mode, Result, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from prometheus_client.core import Metric

    from blockd.admin.facts import Facts
    from blockd.counts.tallies import Totals

REJECTED: Final = "protected"
"""The one reason that is shown for every list even at 0: the alert on protected rows reads it."""


def render(facts: Facts, totals: Totals, accept: str = "") -> tuple[bytes, str]:
    """The page and its content type, as the `Accept` header asks: OpenMetrics when it is named, else Prometheus text."""
    encoder, content_type = choose_encoder(accept)
    page: bytes = encoder(_Once(facts, totals))
    return page, content_type


def render_text(facts: Facts, totals: Totals) -> str:
    """The page as Prometheus text."""
    page: bytes = generate_latest(_Once(facts, totals))
    return page.decode()


class _Once:
    """What the encoders call a registry: one look at one moment."""

    def __init__(self, facts: Facts, totals: Totals) -> None:
        self._facts = facts
        self._totals = totals

    def collect(self) -> Iterator[Metric]:
        """Every family, in the order of the contract's table."""
        build = InfoMetricFamily("blockd_build", "The running version.")
        build.add_metric([], {"version": self._facts.version})
        yield build
        yield from _traffic(self._totals)
        yield _durations(self._totals)
        yield from _hits(self._totals)
        yield from _lists(self._facts)
        yield from _table_and_audit(self._facts)
        yield from _upstreams(self._facts, self._totals)
        yield from _workers(self._facts, self._totals)
        yield _gauge(
            "xdp_attached",
            "1 while the kernel names our XDP program on the interface.",
            ("mode",),
            (((mode,), float(self._facts.xdp.attached and self._facts.xdp.mode == mode)) for mode in XDP_MODES),
        )
        yield _counter("stop_page_responses", "Answers of the stop page.", ("status", "language"), _closed(self._totals, "page"))
        yield _counter("limit_reached", "How often a limit was reached.", ("limit",), _closed(self._totals, "limit"))


def _closed(totals: Totals, kind: str) -> dict[tuple[str, ...], int]:
    """The series of a kind with a fixed set of labels, those that have no figure yet at 0."""
    return {key[1:]: totals.values.get(key, 0) for key in FIXED if key[0] == kind}


def _counter(name: str, text: str, labels: Sequence[str], values: Mapping[tuple[str, ...], float]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"blockd_{name}", text, labels=labels)
    for words, value in values.items():
        family.add_metric(words, value)
    return family


def _gauge(name: str, text: str, labels: Sequence[str], values: Iterable[tuple[Sequence[str], float]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"blockd_{name}", text, labels=labels)
    for words, value in values:
        family.add_metric(words, value)
    return family


def _traffic(totals: Totals) -> Iterator[Metric]:
    yield _counter(
        "dns_requests", "Queries received, by door, address family and type.", ("transport", "family", "type"), _closed(totals, "requests")
    )
    yield _counter("dns_responses", "Answers sent, by code and where they came from.", ("rcode", "source"), _closed(totals, "responses"))


def _durations(totals: Totals) -> HistogramMetricFamily:
    family = HistogramMetricFamily(
        "blockd_dns_request_duration_seconds", "From query to answer, by where the answer came from.", labels=("source",)
    )
    bounds = [*(str(bound) for bound in layout.DURATION_BOUNDS_S), "+Inf"]
    for source in Source:
        name = source.name.lower()
        running, buckets = 0, []
        for number in range(BUCKETS):
            running += totals.values.get(("duration", name, str(number)), 0)
            buckets.append((bounds[number], float(running)))
        family.add_metric([name], buckets, sum_value=totals.values.get(("duration_ns", name), 0) / 1e9)
    return family


def _hits(totals: Totals) -> Iterator[Metric]:
    labels = ("list", "category", "action", "stage")
    merged = 'Small sensitive lists share the list "merged".'
    yield _counter("policy_hits", f"Requests that a list blocked. {merged}", labels, totals.of("hit"))
    yield _counter("policy_shadow_hits", f"Requests that a list in shadow mode would have blocked. {merged}", labels, totals.of("shadow"))


def _lists(facts: Facts) -> Iterator[Metric]:
    lists = facts.lists
    yield _gauge(
        "list_entries",
        "Entries of the version that is loaded, by where they can be enforced.",
        ("list", "enforceable"),
        (((one.name, where), one.enforceable.get(where, 0)) for one in lists for where in ENFORCEABLE),
    )
    yield _gauge(
        "list_rejected_entries",
        "Rows of the version that is loaded which were left out, by reason.",
        ("list", "reason"),
        (((one.name, reason), n) for one in lists for reason, n in sorted({REJECTED: 0, **one.rejected}.items())),
    )
    yield _per_list("list_version", "The version that is loaded; 0: none.", facts, lambda one: one.version)
    yield _per_list(
        "list_last_success_timestamp_seconds", "When an update run last ended well; 0: never.", facts, lambda one: one.last_success or 0
    )
    yield _per_list(
        "list_expiry_timestamp_seconds",
        "When the publisher's signatures run out; 0: none verified yet.",
        facts,
        lambda one: one.expires or 0,
    )
    updates: dict[tuple[str, ...], float] = {(one.name, end.value): one.updates.get(end, 0) for one in lists for end in Result}
    yield _counter("list_updates", "Update runs, by how they ended.", ("list", "result"), updates)
    yield _gauge(
        "list_mode",
        "1 for the mode that the list is in.",
        ("list", "mode"),
        (((one.name, mode.value), float(one.mode is mode)) for one in lists for mode in Mode),
    )


def _per_list(name: str, text: str, facts: Facts, value: Callable[[Any], float]) -> GaugeMetricFamily:
    return _gauge(name, text, ("list",), (((one.name,), value(one)) for one in facts.lists))


def _table_and_audit(facts: Facts) -> Iterator[Metric]:
    yield _gauge("table_generation", "The generation that is enforced; 0: none yet.", (), [((), facts.table.generation)])
    yield _gauge("table_entries", "Entries of the enforced table.", (), [((), facts.table.entries)])
    yield _gauge("table_bytes", "Octets of the enforced table.", (), [((), facts.table.bytes)])
    yield _gauge("audit_tree_size", "Entries of the audit log.", (), [((), facts.audit.size)])
    yield _gauge(
        "audit_checkpoint_timestamp_seconds",
        "When the audit record last grew; 0: never.",
        (),
        [((), facts.audit.checkpoint or 0)],
    )


def _upstreams(facts: Facts, totals: Totals) -> Iterator[Metric]:
    requests: dict[tuple[str, ...], float] = {(one.address, result): 0 for one in facts.upstreams for result in UPSTREAM_RESULTS}
    hedges: dict[tuple[str, ...], float] = {(one.address,): 0 for one in facts.upstreams}
    for words, value in totals.of("upstream").items():
        if words in requests:  # an upstream that left the configuration leaves the page
            requests[words] = value
        elif words[1] == UPSTREAM_HEDGED and words[:1] in hedges:
            hedges[words[:1]] = value
    yield _counter("upstream_requests", "Queries sent to an upstream, by what came of them.", ("upstream", "result"), requests)
    yield _counter("upstream_hedges", "Queries that an upstream got because another was late.", ("upstream",), hedges)
    yield _gauge(
        "upstream_up", "1 while the upstream answers.", ("upstream",), (((one.address,), float(one.up)) for one in facts.upstreams)
    )


def _workers(facts: Facts, totals: Totals) -> Iterator[Metric]:
    events: dict[tuple[str, ...], float] = {(event,): totals.values.get(("worker", event), 0) for event in WORKER_EVENTS}
    yield _counter("worker_events", "What UDP threads did with queries that they could not answer at once.", ("event",), events)
    restarts = totals.values.get(("worker_restart",), 0)
    yield _counter("worker_restarts", "UDP threads that had ended and were started again.", (), {(): restarts})
    yield _gauge("workers", "UDP threads that there shall be.", (), [((), facts.workers.threads)])
    yield _gauge("workers_running", "UDP threads that run.", (), [((), facts.workers.running)])
