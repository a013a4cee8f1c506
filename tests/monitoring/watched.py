"""A real Prometheus that scrapes processes of ours with the rules and targets of `infra/`."""

from __future__ import annotations

import json
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from scenebook.embedded.process import start_tethered, stop_process
from scenebook.environment import process_environment
from tests.stack import free_port

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra" / "prometheus"
DASHBOARD = ROOT / "infra" / "grafana" / "dashboards" / "scenebook.json"
PATIENCE_S = 60
EVERY = "500ms"
# What Grafana puts in the place of its variables.
VARIABLES = {
    "$__rate_interval": "20s",
    "$input_price": "0.15",
    "$output_price": "0.6",
}


@dataclass(frozen=True)
class Prometheus:
    """A running server."""

    url: str

    def ask(self, path: str, **parameters: str) -> Any:
        """What its API answers; an error in an expression fails the test with its message."""
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=10).json()
        assert answer["status"] == "success", answer["error"]
        return answer["data"]

    def samples(self, expression: str) -> dict[str, float]:
        """The values of an expression now, by their labels as JSON."""
        found = self.ask("query", query=expression)
        if found["resultType"] == "scalar":
            return {"{}": float(found["result"][1])}
        return {
            json.dumps(one["metric"], sort_keys=True): float(one["value"][1])
            for one in found["result"]
        }

    def value(self, expression: str) -> float:
        """The one value of an expression."""
        (value,) = self.samples(expression).values()
        return value

    def rules(self, kind: str) -> list[dict[str, Any]]:
        """Its rules of a kind, `alert` or `record`, as they stand."""
        groups = self.ask("rules", type=kind)["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Poll until the condition holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for {what}"
            time.sleep(0.2)


def configuration(targets: Mapping[str, str]) -> dict[str, Any]:
    """prometheus.yml at short intervals, with these targets by job."""
    content = yaml.safe_load((INFRA / "prometheus.yml").read_text("utf-8"))
    content["global"] = {"scrape_interval": EVERY, "evaluation_interval": EVERY}
    for job in content["scrape_configs"]:
        job.pop("dns_sd_configs", None)
        job["static_configs"] = [{"targets": [targets.pop(job["job_name"])]}]  # type: ignore[attr-defined]
    assert not targets, "jobs that prometheus.yml does not have"
    return dict(content)


def hasty_rules() -> str:
    """alerts.yml, with alerts that wait no longer than a second before they fire."""
    return re.sub(
        r"^( +for: ).*$", r"\g<1>1s", (INFRA / "alerts.yml").read_text("utf-8"), flags=re.M
    )


@contextmanager
def a_prometheus(home: Path, targets: Mapping[str, str]) -> Iterator[Prometheus]:
    """A server that scrapes these targets, ended by its id."""
    (home / "prometheus.yml").write_text(json.dumps(configuration(dict(targets))))
    (home / "alerts.yml").write_text(hasty_rules())
    port = free_port()
    program = shutil.which("prometheus")
    assert program is not None, "`make test-monitoring` installs it"
    process = start_tethered(
        [
            program, f"--config.file={home}/prometheus.yml",
            f"--storage.tsdb.path={home}/data", f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ],
        environment=process_environment({}),
    )  # fmt: skip
    server = Prometheus(f"http://127.0.0.1:{port}")
    try:
        server.wait(lambda: _ready(server.url), "Prometheus to be ready")
        yield server
    finally:
        stop_process(process, signals={signal.SIGTERM: 10.0, signal.SIGKILL: 5.0})


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", timeout=1).status_code == 200
    except httpx.TransportError:
        return False


def panels() -> list[dict[str, Any]]:
    """The dashboard's panels, without the rows that part them."""
    found = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    return [one for one in found if one["type"] != "row"]


def expressions() -> list[tuple[str, str]]:
    """Each panel's title and each of its expressions, as Grafana would ask it."""
    found = []
    for panel in panels():
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            found.append((panel["title"], expression))
    return found
