"""What the desk imports works on import: rules and dashboard name only metrics that exist, and promtool agrees."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

from tests.house.sources import ROOT

PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
METRIC = re.compile(r"\bblockd_[a-z0-9_]+")


def promtool(*args: str) -> None:
    program = shutil.which("promtool")
    assert program, "promtool is missing: make test installs it"
    done = subprocess.run([program, *args], capture_output=True, text=True, cwd=PROMETHEUS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def exported() -> set[str]:
    """Every sample name that the metrics page can have."""
    from blockd.admin import metrics
    from tests.admin.facts import full_facts, full_totals

    text = metrics.render_text(full_facts(), full_totals())
    return set(re.findall(r"^(blockd_[a-z0-9_]+)", text, flags=re.MULTILINE))


def test_promtool_check_rules():
    promtool("check", "rules", "alerts.yml")


def test_promtool_check_config():
    promtool("check", "config", "scrape.yml")


def test_each_alert_fires_and_stays_silent():
    promtool("test", "rules", "alerts.test.yml")


def test_the_dashboard_is_current():
    made = subprocess.run([sys.executable, str(GRAFANA / "build.py")], capture_output=True, text=True, check=True).stdout
    assert json.loads(made) == json.loads((GRAFANA / "blockd.json").read_text(encoding="utf-8"))


def test_rules_and_dashboard_name_real_metrics():
    named = set(METRIC.findall((PROMETHEUS / "alerts.yml").read_text(encoding="utf-8")))
    for panel in json.loads((GRAFANA / "blockd.json").read_text(encoding="utf-8"))["panels"]:
        for target in panel.get("targets", ()):
            named |= set(METRIC.findall(target["expr"]))
    assert named
    assert named <= exported(), f"not exported: {sorted(named - exported())}"
