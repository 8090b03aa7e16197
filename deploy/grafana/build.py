"""Write blockd.json, the Grafana dashboard, from the few lines that say what each panel shows.

    python deploy/grafana/build.py > deploy/grafana/blockd.json

The dashboard asks for a Prometheus data source and a gateway on import. A test holds that the committed file is
current and that every metric in it exists.
"""

from __future__ import annotations

import json
import sys

SOURCE = {"type": "prometheus", "uid": "${DS_PROMETHEUS}"}
ME = 'instance=~"$instance"'

# title, kind, unit, width of 24, height, [(expression, legend)], what the panel tells
ROWS = [
    (
        "Is it well?",
        [
            ("Ready gateways", "stat", "none", 4, 4, [(f'sum(up{{job="blockd",{ME}}})', "")], "Gateways whose metrics can be read."),
            (
                "Generation",
                "stat",
                "none",
                4,
                4,
                [(f"max by (instance) (blockd_table_generation{{{ME}}})", "{{instance}}")],
                "The policy generation that each one answers from.",
            ),
            (
                "Entries in force",
                "stat",
                "short",
                4,
                4,
                [(f"max by (instance) (blockd_table_entries{{{ME}}})", "{{instance}}")],
                "Entries of all lists together in the table.",
            ),
            (
                "Upstreams up",
                "stat",
                "none",
                4,
                4,
                [(f"sum by (instance) (blockd_upstream_up{{{ME}}})", "{{instance}}")],
                "Resolvers behind the gateway that answer.",
            ),
            (
                "SERVFAIL share",
                "stat",
                "percentunit",
                4,
                4,
                [
                    (
                        f'sum(rate(blockd_dns_responses_total{{rcode="SERVFAIL",{ME}}}[10m])) / sum(rate(blockd_dns_responses_total{{{ME}}}[10m]))',
                        "",
                    )
                ],
                "Answers that failed.",
            ),
            (
                "Refused updates, 24 h",
                "stat",
                "none",
                4,
                4,
                [(f'sum(increase(blockd_list_updates_total{{result=~"signature|rollback|shape",{ME}}}[24h]))', "")],
                "Forged, rolled back or malformed feeds. Should be 0.",
            ),
        ],
    ),
    (
        "Answers",
        [
            (
                "Queries by transport",
                "timeseries",
                "reqps",
                8,
                8,
                [(f"sum by (transport) (rate(blockd_dns_requests_total{{{ME}}}[5m]))", "{{transport}}")],
                "With a sensitive list loaded these move once a window (an hour), so that nobody can be singled out.",
            ),
            (
                "Answers by source",
                "timeseries",
                "reqps",
                8,
                8,
                [(f"sum by (source) (rate(blockd_dns_responses_total{{{ME}}}[5m]))", "{{source}}")],
                "policy: blocked. cache and upstream: ordinary traffic. error: failures and refusals.",
            ),
            (
                "Answers by code",
                "timeseries",
                "reqps",
                8,
                8,
                [(f"sum by (rcode) (rate(blockd_dns_responses_total{{{ME}}}[5m]))", "{{rcode}}")],
                "DNS response codes.",
            ),
            (
                "Time to answer, 95th percentile",
                "timeseries",
                "s",
                12,
                8,
                [
                    (
                        f"histogram_quantile(0.95, sum by (le, source) (rate(blockd_dns_request_duration_seconds_bucket{{{ME}}}[5m])))",
                        "{{source}}",
                    )
                ],
                "From the query's arrival at blockd to its answer.",
            ),
            (
                "Limits reached",
                "timeseries",
                "short",
                12,
                8,
                [(f"sum by (limit) (increase(blockd_limit_reached_total{{{ME}}}[10m])) > 0", "{{limit}}")],
                "Every queue and cache has a limit; the manual says what each one means.",
            ),
            (
                "Queries not answered at once",
                "timeseries",
                "reqps",
                12,
                8,
                [(f"sum by (event) (rate(blockd_worker_events_total{{{ME}}}[5m]))", "{{event}}")],
                "forwarded by a UDP thread, coalesced with one under way, hedged to a second upstream, escalated to Python after that.",
            ),
            (
                "UDP threads that run",
                "timeseries",
                "none",
                12,
                8,
                [
                    (f"blockd_workers_running{{{ME}}}", "{{instance}}"),
                    (f"increase(blockd_worker_restarts_total{{{ME}}}[1h]) > 0", "{{instance}} restarts, 1 h"),
                ],
                "One for each core; a restart should not happen.",
            ),
        ],
    ),
    (
        "Lists",
        [
            (
                "Hits",
                "timeseries",
                "short",
                12,
                8,
                [(f"sum by (list, action) (increase(blockd_policy_hits_total{{{ME}}}[1h]))", "{{list}} {{action}}")],
                "Blocked requests, in sum. Never a name, never a client.",
            ),
            (
                "Would-be hits in shadow mode",
                "timeseries",
                "short",
                12,
                8,
                [(f"sum by (list) (increase(blockd_policy_shadow_hits_total{{{ME}}}[1h]))", "{{list}}")],
                "What a list would block if it were enforced.",
            ),
            (
                "Entries by list",
                "timeseries",
                "short",
                8,
                8,
                [(f"sum by (list) (blockd_list_entries{{{ME}}})", "{{list}}")],
                "A step here is an update; a cliff is worth a call.",
            ),
            (
                "Rejected rows",
                "timeseries",
                "short",
                8,
                8,
                [(f"sum by (list, reason) (blockd_list_rejected_entries{{{ME}}}) > 0", "{{list}} {{reason}}")],
                "Rows that could not be read, or that the rails protect.",
            ),
            (
                "Age of the last successful check",
                "timeseries",
                "s",
                8,
                8,
                [(f"time() - blockd_list_last_success_timestamp_seconds{{{ME}}} > 0", "{{list}}")],
                "Should stay near the feed's interval.",
            ),
            (
                "Update results, 1 h",
                "timeseries",
                "short",
                12,
                8,
                [
                    (
                        f'sum by (list, result) (increase(blockd_list_updates_total{{result!="not_modified",{ME}}}[1h])) > 0',
                        "{{list}} {{result}}",
                    )
                ],
                "Applied, held, refused.",
            ),
            (
                "Signatures expire in",
                "timeseries",
                "s",
                12,
                8,
                [(f"blockd_list_expiry_timestamp_seconds{{{ME}}} - time()", "{{list}}")],
                "Below zero: the list is stale and still enforced.",
            ),
        ],
    ),
    (
        "Stop page and record",
        [
            (
                "Stop pages served",
                "timeseries",
                "short",
                12,
                8,
                [(f"sum by (status, language) (increase(blockd_stop_page_responses_total{{{ME}}}[1h]))", "{{status}} {{language}}")],
                "451: mandated by law. 403: voluntary list.",
            ),
            (
                "Audit records",
                "timeseries",
                "short",
                12,
                8,
                [(f"blockd_audit_tree_size{{{ME}}}", "{{instance}}")],
                "The log only grows. A fall means that someone changed it.",
            ),
        ],
    ),
]


def target(expression: str, legend: str, number: int) -> dict[str, object]:
    return {"datasource": SOURCE, "expr": expression, "legendFormat": legend or "__auto", "refId": chr(ord("A") + number)}


def panel(identity: int, spec: tuple, x: int, y: int) -> dict[str, object]:
    title, kind, unit, width, height, targets, tells = spec
    options: dict[str, object] = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    if kind == "stat":
        options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "area"}
    return {
        "id": identity,
        "title": title,
        "description": tells,
        "type": kind,
        "datasource": SOURCE,
        "gridPos": {"x": x, "y": y, "w": width, "h": height},
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "options": options,
        "targets": [target(expression, legend, n) for n, (expression, legend) in enumerate(targets)],
    }


def dashboard() -> dict[str, object]:
    panels: list[dict[str, object]] = []
    identity, y = 1, 0
    for name, specs in ROWS:
        panels.append(
            {"id": identity, "type": "row", "title": name, "collapsed": False, "panels": [], "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}}
        )
        identity, y, x, height = identity + 1, y + 1, 0, 0
        for spec in specs:
            if x + spec[3] > 24:
                x, y, height = 0, y + height, 0
            panels.append(panel(identity, spec, x, y))
            identity, x, height = identity + 1, x + spec[3], max(height, spec[4])
        y += height
    return {
        "__inputs": [
            {"name": "DS_PROMETHEUS", "label": "Prometheus", "type": "datasource", "pluginId": "prometheus", "pluginName": "Prometheus"}
        ],
        "__requires": [
            {"type": "grafana", "id": "grafana", "name": "Grafana", "version": "9.0.0"},
            {"type": "datasource", "id": "prometheus", "name": "Prometheus", "version": "1.0.0"},
        ],
        "title": "blockd",
        "uid": "blockd",
        "tags": ["dns", "blockd"],
        "schemaVersion": 37,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-24h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "instance",
                    "label": "Gateway",
                    "type": "query",
                    "datasource": SOURCE,
                    "query": {"query": "label_values(blockd_build_info, instance)", "refId": "A"},
                    "definition": "label_values(blockd_build_info, instance)",
                    "includeAll": True,
                    "multi": True,
                    "allValue": ".*",
                    "refresh": 2,
                    "current": {"text": "All", "value": "$__all"},
                }
            ]
        },
        "panels": panels,
    }


if __name__ == "__main__":
    json.dump(dashboard(), sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")
