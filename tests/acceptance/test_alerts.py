"""Alerts and dashboard are valid, use mtail's metrics, and fire when they should."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.consumers import MONITORING, declared_metrics, promtool

ALERTS = yaml.safe_load((MONITORING / "alerts.yml").read_text())
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
TESTS = ("alerts_test.yml", "alerts_weeks_test.yml")
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "grafana.json").read_text())


def expectations(name: str) -> list[dict[str, Any]]:
    """Return what the unit tests of an alert expect."""
    files = [yaml.safe_load((MONITORING / file).read_text()) for file in TESTS]
    return [
        expected
        for file in files
        for test in file["tests"]
        for expected in test["alert_rule_test"]
        if expected["alertname"] == name
    ]


def metrics_in(expression: str) -> set[str]:
    """Return the metrics that an expression uses."""
    return set(re.findall(r"(?<![:\w])syncd_\w+", expression))


def dashboard_expressions() -> list[str]:
    panels = DASHBOARD["panels"]
    expressions = [t["expr"] for panel in panels for t in panel.get("targets", ())]
    return expressions + [a["expr"] for a in DASHBOARD["annotations"]["list"]]


@pytest.mark.parametrize("alert", [r["alert"] for r in RULES if "alert" in r])
def test_every_alert_has_a_firing_and_a_quiet_test(alert: str) -> None:
    """Promtool runs both in the shipped unit tests."""
    fires = {bool(expected["exp_alerts"]) for expected in expectations(alert)}
    assert fires == {True, False}, f"{alert}: add what is missing to alerts_test.yml"


def test_promtool_accepts_the_alerts() -> None:
    """Promtool finds no fault in the rules, and their unit tests pass."""
    assert f"{len(RULES)} rules found" in promtool("check", "rules", "alerts.yml")
    promtool("test", "rules", "alerts_test.yml")


def test_alerts_that_compare_with_past_weeks_use_the_same_hour(tmp_path: Path) -> None:
    """Run separately: promtool evaluates every rule for two weeks."""
    shop = [g for g in ALERTS["groups"] if g["name"] == "syncd-shop"]
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump({"groups": shop}))
    tests = tmp_path / TESTS[1]
    tests.write_text((MONITORING / TESTS[1]).read_text())
    promtool("test", "rules", tests.name, folder=tmp_path)


def test_an_alert_has_severity_summary_and_runbook_link() -> None:
    """The summary names the feed, the link the runbook's section."""
    for rule in RULES:
        if "alert" not in rule:
            continue
        notes = rule["annotations"]
        assert rule["labels"]["severity"] in {"page", "ticket"}, rule["alert"]
        assert "$labels.feed" in notes["summary"] or rule["alert"] == "SyncdAbsent"
        assert notes["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"


def test_alerts_and_dashboard_use_only_metrics_of_mtail() -> None:
    """An alert on a missing metric never fires."""
    made = declared_metrics()
    for expression in [rule["expr"] for rule in RULES] + dashboard_expressions():
        assert metrics_in(expression) <= made, expression
    queried = {
        m for expression in dashboard_expressions() for m in metrics_in(expression)
    }
    unseen = {m for m in made - queried if not m.endswith(("_sum", "_count"))}
    assert unseen == set(), "the dashboard does not show these"


def test_every_expression_of_the_dashboard_is_valid_promql(tmp_path: Path) -> None:
    """Promtool reads them as rules, with Grafana's variables filled in."""
    rules = [
        {
            "record": f"panel:{number}",
            "expr": expression.replace("$feed", ".+").replace("$__rate_interval", "5m"),
        }
        for number, expression in enumerate(dashboard_expressions())
    ]
    file = tmp_path / "dashboard.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", file)


def test_the_dashboard_is_complete() -> None:
    """Each panel has a position, a data source and a name; no two overlap."""
    taken: set[tuple[int, int]] = set()
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["title"]
            assert panel["description"]
            assert panel["datasource"]["uid"] == "${datasource}"
            assert all(target["legendFormat"] for target in panel["targets"])
    variables = {v["name"] for v in DASHBOARD["templating"]["list"]}
    assert variables == {"datasource", "feed"}


def test_the_example_for_vector_uses_fields_with_few_values() -> None:
    """It cannot run here; but it is valid YAML and its fields exist."""
    config = yaml.safe_load((MONITORING / "vector.yaml").read_text())
    labels = config["sinks"]["loki"]["labels"]
    assert set(labels) == {"service", "feed", "level", "event"}
