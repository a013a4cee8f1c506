"""Each alert by itself, with `promtool`: it fires on its own trouble and on no other's."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.watched import INFRA, ROOT, panels

pytestmark = pytest.mark.monitoring

HOURS = 180  # minutes for which each world goes on
AT = "170m"
CLIP = 'scenebook_scene_channels_total{channel="visual_clip",status="%s"}'
JOBS = 'scenebook_jobs_total{job="scenebook-worker",stage="probe",outcome="%s"}'
CALLS = 'scenebook_upstream_calls_total{service="description",outcome="%s"}'
BUCKET = 'scenebook_search_seconds_bucket{job="scenebook-api",le="%s"}'
SEARCHES = 'scenebook_search_seconds_count{job="scenebook-api"}'
REQUESTS = 'scenebook_requests_total{route="/v1/search",status="%s"}'
MEASURED = "scenebook_measured_timestamp_seconds"
OLDEST = 'scenebook_oldest_due_seconds{stage="describe"}'
OPEN = 'scenebook_open_jobs{stage="probe",state="queued"}'
ALIVE = 'scenebook_processes_alive{kind="worker"}'
CHILDREN = 'scenebook_child_starts_total{job="scenebook-worker",child="inference",start="again"}'
SWEPT = 'scenebook_swept_total{outcome="retryable"}'
DEGRADED = 'scenebook_degraded_searches_total{channel="visual_clip"}'
REFUSED = 'scenebook_refused_total{reason="too_many_requests"}'
FALLBACKS = 'scenebook_redis_fallbacks_total{use="get"}'
WEBHOOKS = 'scenebook_webhooks_total{outcome="failed"}'


def up(job: str, instance: str = "1") -> str:
    return f'up{{job="scenebook-{job}",instance="{instance}"}}'


def steady(value: float) -> str:
    """A gauge, or a counter that does not move."""
    return f"{value}x{HOURS}"


def growing(a_minute: float) -> str:
    return f"0+{a_minute}x{HOURS}"


# A minute of a stack in which all is well.
WELL: dict[str, str | None] = {
    up("api"): steady(1), up("worker"): steady(1), up("relay"): steady(1),
    ALIVE: steady(1), OPEN: steady(3), OLDEST: steady(4), MEASURED: growing(60),
    "scenebook_broker_up": steady(1), "scenebook_clip_circuits_open": steady(0),
    JOBS % "succeeded": growing(10), JOBS % "failed": growing(0.05), SWEPT: growing(0.1),
    CHILDREN: growing(0.1), CLIP % "ok": growing(10), CLIP % "timeout": growing(0.1),
    CLIP % "error": growing(0.1), CLIP % "disabled": growing(10), CALLS % "ok": growing(2),
    CALLS % "refused": growing(4), CALLS % "configuration": growing(0),
    REQUESTS % "200": growing(60), REQUESTS % "503": growing(1), REFUSED: growing(0),
    FALLBACKS: growing(0), SEARCHES: growing(60), BUCKET % "0.5": growing(60),
    BUCKET % "2.5": growing(60), BUCKET % "+Inf": growing(60), DEGRADED: growing(5),
    WEBHOOKS: growing(0),
}  # fmt: skip

# What makes an alert fire, in place of what is well; None: the series is not there.
TROUBLES: dict[str, list[dict[str, str | None]]] = {
    "ScenebookApiGone": [{up("api"): None}],
    "ScenebookWorkerGone": [{up("worker"): None}, {ALIVE: steady(0)}],
    "ScenebookRelayGone": [{up("relay"): None}],
    "ScenebookProcessDown": [{up("worker", "2"): steady(0)}],
    "ScenebookMetricsMissing": [{OPEN: None}, {MEASURED: None}, {SEARCHES: None, DEGRADED: None}],
    "ScenebookChildRestarts": [{CHILDREN: growing(1)}],
    "ScenebookRelayStuck": [{MEASURED: steady(0)}],
    "ScenebookQueueStuck": [{OLDEST: steady(700), JOBS % "succeeded": steady(7)}],
    "ScenebookQueueSlow": [{OLDEST: steady(2000)}],
    "ScenebookBrokerAway": [{"scenebook_broker_up": steady(0)}, {FALLBACKS: growing(1)}],
    "ScenebookLeasesExpire": [{SWEPT: growing(1)}],
    "ScenebookJobsGivenUp": [{JOBS % "failed": growing(1)}],
    "ScenebookClipFails": [{CLIP % "error": growing(5)}],
    "ScenebookClipTimesOut": [{CLIP % "timeout": growing(0.8)}],
    "ScenebookClipCircuitOpen": [{"scenebook_clip_circuits_open": steady(2)}],
    "ScenebookUpstreamFails": [{CALLS % "configuration": growing(20)}],
    "ScenebookApiErrors": [{REQUESTS % "503": growing(10)}],
    "ScenebookApiOverloaded": [{REFUSED: growing(1)}],
    "ScenebookSearchSlow": [{BUCKET % "0.5": steady(0)}],
    "ScenebookSearchDegraded": [{DEGRADED: growing(30)}],
    "ScenebookWebhooksFail": [{WEBHOOKS: growing(0.1)}],
}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((INFRA / "alerts.yml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}


def world(changes: dict[str, str | None], *, firing: list[str]) -> dict[str, Any]:
    """A test of promtool: with these changes, exactly these alerts fire."""
    series = {name: values for name, values in (WELL | changes).items() if values is not None}
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": AT,
                "exp_samples": [
                    {"labels": f'{{alertname="{name}"}}', "value": 1} for name in firing
                ],
            }
        ],
    }


def promtool(*arguments: str) -> str:
    """What promtool says; it must be content."""
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def passes(folder: Path, *worlds: dict[str, Any]) -> None:
    file = folder / "test.yml"
    file.write_text(json.dumps({"rule_files": [str(INFRA / "alerts.yml")], "tests": worlds}))
    promtool("test", "rules", str(file))


def test_rules_and_configuration_pass_the_linter() -> None:
    promtool("check", "rules", str(INFRA / "alerts.yml"))
    promtool("check", "config", str(INFRA / "prometheus.yml"))


def test_nothing_fires_while_all_is_well(tmp_path: Path) -> None:
    passes(tmp_path, world({}, firing=[]))


def test_every_alert_has_its_trouble() -> None:
    assert set(TROUBLES) == set(ALERTS)


@pytest.mark.parametrize("alert", TROUBLES)
def test_an_alert_fires_on_its_trouble_and_no_other_does(alert: str, tmp_path: Path) -> None:
    passes(tmp_path, *(world(changes, firing=[alert]) for changes in TROUBLES[alert]))


def sections() -> set[str]:
    """The sections of docs/operations.md as links name them."""
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    titles = re.findall(r"^##+ (.*)$", page, re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_what_is_wrong_and_where_it_is_told_what_to_do(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in ("critical", "warning")
    notes = rule["annotations"]
    assert notes["summary"].endswith(".")
    assert len(notes["description"]) > 40
    page, _, section = notes["runbook"].partition("#")
    assert page == "docs/operations.md"
    assert section in sections()


def test_every_panel_says_what_it_shows() -> None:
    for panel in panels():
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert all(one["datasource"]["uid"] == "${datasource}" for one in panel["targets"])


def test_what_is_documented_of_clip_is_what_is_recorded() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    documented = dict(re.findall(r"^```promql\n# (\w+)\n(.*?)^```", page, re.S | re.M))
    records = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}
    attempted = "scenebook:clip_attempted_scenes:increase1h"
    plain = {
        name: "".join(rule.replace(attempted, records[attempted]).split())
        for name, rule in records.items()
    }
    named = {
        "availability": "scenebook:clip_availability:ratio1h",
        "latency_s": "scenebook:clip_seconds:mean1h",
        "failure_rate": "scenebook:clip_failures:ratio1h",
        "timeout_rate": "scenebook:clip_timeouts:ratio1h",
    }
    assert {name: "".join(one.split()) for name, one in documented.items()} == {
        name: plain[record] for name, record in named.items()
    }
