from __future__ import annotations

import shutil
import subprocess

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from blockd.admin import metrics
from blockd.admin.facts import Facts
from blockd.counts import layout
from blockd.counts.tallies import Totals
from blockd.terms import Mode, Result, Source, Transport
from tests.admin.facts import full_facts, full_totals

CONTRACT = {  # contract.md, "Metrics": name without prefix -> labels
    "build_info": {"version"},
    "dns_requests_total": {"transport", "family", "type"},
    "dns_responses_total": {"rcode", "source"},
    "dns_request_duration_seconds_bucket": {"source", "le"},
    "dns_request_duration_seconds_count": {"source"},
    "dns_request_duration_seconds_sum": {"source"},
    "policy_hits_total": {"list", "category", "action", "stage"},
    "policy_shadow_hits_total": {"list", "category", "action", "stage"},
    "list_entries": {"list", "enforceable"},
    "list_rejected_entries": {"list", "reason"},
    "list_version": {"list"},
    "list_last_success_timestamp_seconds": {"list"},
    "list_expiry_timestamp_seconds": {"list"},
    "list_updates_total": {"list", "result"},
    "list_mode": {"list", "mode"},
    "table_generation": set(),
    "table_entries": set(),
    "table_bytes": set(),
    "audit_tree_size": set(),
    "audit_checkpoint_timestamp_seconds": set(),
    "upstream_requests_total": {"upstream", "result"},
    "upstream_hedges_total": {"upstream"},
    "upstream_up": {"upstream"},
    "xdp_attached": {"mode"},
    "worker_events_total": {"event"},
    "worker_restarts_total": set(),
    "workers": set(),
    "workers_running": set(),
    "stop_page_responses_total": {"status", "language"},
    "limit_reached_total": {"limit"},
}


def samples(facts, totals):
    return {
        (s.name, tuple(sorted(s.labels.items()))): s.value
        for family in parse_text(metrics.render_text(facts, totals))
        for s in family.samples
    }


def of(found, name):
    return {labels: value for (n, labels), value in found.items() if n == f"blockd_{name}"}


def test_names_and_labels_are_the_contracts():
    found = samples(full_facts(), full_totals())
    assert {name.removeprefix("blockd_") for name, _ in found} == CONTRACT.keys()
    for name, labels in found:
        assert {key for key, _ in labels} == CONTRACT[name.removeprefix("blockd_")]


def test_promtool_check_metrics():
    program = shutil.which("promtool")
    assert program, "promtool is missing: make test installs it"
    for facts, totals in ((full_facts(), full_totals()), (Facts(version="0.1.0"), Totals({}))):
        done = subprocess.run(
            [program, "check", "metrics"], input=metrics.render_text(facts, totals), capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_every_family_has_a_help_line_and_none_is_doubled():
    text = metrics.render_text(full_facts(), full_totals())
    helps = [line.split(" ", 3) for line in text.splitlines() if line.startswith("# HELP")]
    assert all(len(line) == 4 and line[3].endswith(".") for line in helps)
    assert len({line[2] for line in helps}) == len(helps)


def test_closed_label_sets_are_zero_initialised():
    found = samples(Facts(version="0.1.0"), Totals({}))
    assert len(of(found, "dns_requests_total")) == len(Transport) * 2 * len(layout.TYPES)
    assert len(of(found, "dns_responses_total")) == len(layout.RCODES) * len(Source)
    assert len(of(found, "stop_page_responses_total")) == len(layout.STATUSES) * len(layout.LANGUAGES)
    assert len(of(found, "limit_reached_total")) == len(layout.LIMITS)
    assert set(of(found, "dns_requests_total").values()) == {0.0}
    listed = samples(full_facts(), Totals({}))
    assert len(of(listed, "list_updates_total")) == 3 * len(Result)
    assert len(of(listed, "list_mode")) == 3 * len(Mode)
    assert of(listed, "list_rejected_entries")[(("list", "court/orders"), ("reason", "protected"))] == 0


def test_values_arrive_where_they_belong():
    found = samples(full_facts(), full_totals())
    assert of(found, "policy_hits_total") == {
        (("action", "stop_page"), ("category", "gambling"), ("list", "hotline/domains"), ("stage", "dns")): 120,
        (("action", "merged"), ("category", "merged"), ("list", "merged"), ("stage", "dns")): 30,
    }
    assert of(found, "list_version")[(("list", "hotline/domains"),)] == 43
    assert of(found, "upstream_up") == {(("upstream", "udp://192.0.2.53:53"),): 1, (("upstream", "tcp://192.0.2.54:53"),): 0}
    assert of(found, "table_entries") == {(): 1_005_000}


def test_the_histogram_is_cumulative_and_agrees_with_its_count():
    totals = Totals(
        {
            ("duration", "policy", "0"): 3,
            ("duration", "policy", "1"): 2,
            ("duration", "policy", "15"): 1,
            ("duration_ns", "policy"): 2_500_000_000,
        }
    )
    found = samples(Facts(version="0.1.0"), totals)
    buckets = {
        dict(labels)["le"]: n for labels, n in of(found, "dns_request_duration_seconds_bucket").items() if ("source", "policy") in labels
    }
    assert (buckets["0.0001"], buckets["0.00025"], buckets["5.0"], buckets["+Inf"]) == (3, 5, 5, 6)
    assert of(found, "dns_request_duration_seconds_count")[(("source", "policy"),)] == 6
    assert of(found, "dns_request_duration_seconds_sum")[(("source", "policy"),)] == 2.5


def test_upstream_counters_come_from_the_release_never_from_the_facts():
    # Facts have them live; shown live, they would undo the window.
    found = samples(full_facts(), Totals({}))
    assert set(of(found, "upstream_requests_total").values()) == {0.0}
    hedged = Totals({("upstream", "tcp://192.0.2.54:53", "hedged"): 3, ("upstream", "udp://198.51.100.1:53", "hedged"): 9})
    shown = of(samples(full_facts(), hedged), "upstream_hedges_total")
    assert shown == {(("upstream", "udp://192.0.2.53:53"),): 0, (("upstream", "tcp://192.0.2.54:53"),): 3}
    gone = Totals({("upstream", "udp://198.51.100.1:53", "ok"): 9})
    assert not [labels for labels in of(samples(full_facts(), gone), "upstream_requests_total") if "198.51.100.1" in str(labels)]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/plain"), ("*/*", "text/plain"), ("application/openmetrics-text; version=1.0.0,text/plain;q=0.5", "application/openmetrics-text"),
        ("text/html", "text/plain"), (";;;,q=", "text/plain"),
    ],
)  # fmt: skip
def test_the_form_is_the_one_that_is_accepted(accept, kind):
    page, content_type = metrics.render(full_facts(), full_totals(), accept)
    assert content_type.startswith(kind)
    if kind != "text/plain":
        assert page.endswith(b"# EOF\n")
        names = {s.name for family in parse_openmetrics(page.decode()) for s in family.samples}
        assert names == {f"blockd_{name}" for name in CONTRACT}
