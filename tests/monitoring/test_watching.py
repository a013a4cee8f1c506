"""Dashboard and alerts, asked of a real Prometheus that scrapes a real api, worker and relay."""

from __future__ import annotations

import math
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx
import psycopg
import pytest

from scenebook.model import VideoStatus
from scenebook.videos import add_video, retry_video, scenes_of
from tests import clips
from tests.brokers import client_of
from tests.conftest import ALICE, BOB
from tests.indexed import SUBTITLES, VIDEO
from tests.monitoring.watched import INFRA, ROOT, Prometheus, a_prometheus, expressions
from tests.openai_server import Reply, Request, an_openai_server, described
from tests.pictures import png
from tests.pipelines import settings_for
from tests.postgres import Server
from tests.serving import headers_of, running_api, with_tokens
from tests.stack import Stack, free_port, kill_family, short_leases

pytestmark = pytest.mark.monitoring

# Panels without a series on a stack where all is well, and why.
MAY_BE_EMPTY: dict[str, str] = {}
DOCUMENTED = ROOT / "docs" / "metrics.md"
RECORDS = re.findall(r"record: (\S+)", (INFRA / "alerts.yml").read_text("utf-8"))


@dataclass(frozen=True)
class World:
    """Everything that runs, and what it counts."""

    stack: Stack
    prometheus: Prometheus
    pages: dict[str, str]
    relay: subprocess.Popen[bytes]
    database_url: str


def counted_answer(request: Request) -> Reply | None:
    """A description that says what it cost."""
    reply = described("A car.")
    reply.body["usage"] = {"prompt_tokens": 100, "completion_tokens": 20}
    return reply


@pytest.fixture(scope="module")
def world(
    postgres_server: Server, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """A stack that indexed the shipped video of one owner, and answered a few searches."""
    client_of(redis_url).flushall()
    ports = {"scenebook-worker": free_port(), "scenebook-relay": free_port()}
    with an_openai_server() as openai, postgres_server.database() as url:
        openai.always("/chat/completions", counted_answer)
        settings = with_tokens(
            settings_for(
                url, tmp_path_factory.mktemp("data"), openai_base_url=openai.url, clip_timeout_s=0.5
            )
        ).model_copy(update=short_leases(redis_url))
        with psycopg.connect(url) as connection:
            for owner in (ALICE, BOB):
                connection.execute("insert into public.owners (id) values (%s)", (owner,))
        stack = Stack(settings)
        try:
            relay = stack.start_relay(metrics_port=ports["scenebook-relay"])
            stack.start_worker(metrics_port=ports["scenebook-worker"], worker_concurrency=2)
            with running_api(settings, transcription_provider="off") as api:
                targets = {job: f"127.0.0.1:{port}" for job, port in ports.items()}
                targets["scenebook-api"] = api.removeprefix("http://")
                home = tmp_path_factory.mktemp("prometheus")
                with a_prometheus(home, targets) as prometheus:
                    everything_answers(prometheus)
                    index(stack, ALICE, VIDEO, SUBTITLES)
                    look_around(api)
                    pages = {job: f"http://{one}/metrics" for job, one in targets.items()}
                    made = World(stack, prometheus, pages, relay, url)
                    everything_is_scraped(made)
                    yield made
        finally:
            stack.close()


def everything_answers(prometheus: Prometheus) -> None:
    prometheus.wait(
        lambda: prometheus.samples('sum(up{job=~"scenebook-.*"})') == {"{}": 3.0},
        "every target to be scraped",
    )


def index(stack: Stack, owner_id: UUID, path: Path, transcript: Path | None = None) -> UUID:
    added = add_video(
        stack.db, stack.storage, owner_id=owner_id, path=path, transcript=transcript
    ).video
    video = stack.settled(added)
    assert video.status is VideoStatus.READY, video.reason
    return video.id


def look_around(api: str) -> None:
    """What somebody does with the page: searches, one of them in vain."""
    with httpx.Client(base_url=api, headers=headers_of(ALICE), timeout=30) as client:
        for text in ("weather", "a red circle", "trumpet"):
            found = client.post("/v1/search", json={"text": text})
            assert found.status_code == 200, found.text
        scene = found.json()["data"][0]["scene_id"]
        assert client.get(f"/v1/scenes/{scene}/similar").status_code == 200
        nobodys = client.post("/v1/search", json={"text": "weather"}, headers=headers_of(BOB))
        assert nobodys.json()["data"] == []
        assert client.get("/v1/videos").status_code == 200


def everything_is_scraped(world: World) -> None:
    """Until Prometheus has the last of what was counted, and the rules have seen it."""
    done = 'sum(scenebook_jobs_total{stage="finalize", outcome="succeeded"})'
    world.prometheus.wait(
        lambda: (
            world.prometheus.value(done) >= 1
            and world.prometheus.value("sum(scenebook_search_seconds_count)") >= 5
            and all(world.prometheus.samples(name) for name in RECORDS)
            and not math.isnan(world.prometheus.value("scenebook:clip_availability:ratio1h"))
        ),
        "the last counts to be scraped",
    )


def test_every_page_of_metrics_passes_the_linter(world: World) -> None:
    for page in world.pages.values():
        lines = httpx.get(page).text.splitlines(keepends=True)
        # What the library itself says of the process is not ours to name.
        ours = "".join(line for line in lines if "scenebook_" in line)
        checked = subprocess.run(
            ["promtool", "check", "metrics"],
            input=ours,
            text=True,
            capture_output=True,
            check=False,
        )
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, ""), page


@pytest.mark.parametrize(
    ("title", "expression"), expressions(), ids=[f"{n}" for n, _ in enumerate(expressions())]
)
def test_every_panel_shows_something(world: World, title: str, expression: str) -> None:
    found = world.prometheus.samples(expression)
    assert found or title in MAY_BE_EMPTY, f"{title}: {expression}"


def test_every_rule_is_evaluated_and_every_record_has_a_value(world: World) -> None:
    rules = world.prometheus.rules("record") + world.prometheus.rules("alert")
    assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []
    assert {rule["name"] for rule in world.prometheus.rules("record")} == set(RECORDS)
    assert [name for name in RECORDS if not world.prometheus.samples(name)] == []


def test_nothing_alerts_while_all_is_well(world: World) -> None:
    alerts = world.prometheus.rules("alert")
    assert len(alerts) > 20
    assert [one["name"] for one in alerts if one["state"] != "inactive"] == []


def figures_in_sql(world: World) -> dict[str, float]:
    """The four figures as docs/metrics.md asks them of the database."""
    (statement,) = re.findall(r"^```sql\n(.*?)^```", DOCUMENTED.read_text("utf-8"), re.S | re.M)
    with psycopg.connect(world.database_url) as connection:
        cursor = connection.execute(statement)
        row = cursor.fetchone()
        assert row is not None
        assert cursor.description is not None
        return {
            column.name: float(one) for column, one in zip(cursor.description, row, strict=True)
        }


def figures_in_promql(world: World) -> dict[str, float]:
    """The same of Prometheus."""
    blocks = re.findall(
        r"^```promql\n# (\w+)\n(.*?)^```", DOCUMENTED.read_text("utf-8"), re.S | re.M
    )
    return {name: world.prometheus.value(expression) for name, expression in blocks}


def test_prometheus_and_the_database_say_the_same_of_clip(world: World, tmp_path: Path) -> None:
    """Of scenes that are ok, scenes for which CLIP is off, and one that hangs it."""
    before = figures_in_promql(world)
    assert before["availability"] == 1
    assert before["failure_rate"] == 0
    assert before == pytest.approx(figures_in_sql(world), rel=0.01)
    stack = world.stack
    with psycopg.connect(world.database_url, autocommit=True) as connection:
        off = "update public.owners set clip_enabled = %s where id = %s"
        connection.execute(off, (False, BOB))
        film = clips.write(tmp_path / "film.mp4", clips.still(1, 50) + clips.still(2, 50))
        video_id = index(stack, BOB, film)
        assert figures_in_sql(world) == pytest.approx(before, rel=0.01)  # off is no failure
        connection.execute(off, (True, BOB))
    scene = scenes_of(stack.db, owner_id=BOB, video_id=video_id)[0]
    for keyframe in scene.keyframes:
        stack.storage.put(keyframe.image_key, png(comment="hang"))
    retry_video(stack.db, owner_id=BOB, video_id=video_id, channel="visual_clip")
    world.prometheus.wait(
        lambda: (
            figures_in_promql(world)["timeout_rate"] > 0
            and figures_in_promql(world) == pytest.approx(figures_in_sql(world), rel=0.02)
        ),
        "the figures to agree",
    )
    after = figures_in_promql(world)
    assert after["timeout_rate"] == pytest.approx(after["failure_rate"])
    assert 0.5 < after["availability"] < 1
    again = 'sum(scenebook_child_starts_total{child="inference", start="again"})'
    assert world.prometheus.value(again) >= 1
    timeouts = 'sum(scenebook_child_requests_total{child="inference", outcome="timeout"})'
    assert world.prometheus.value(timeouts) >= 1


def test_killing_the_relay_is_noticed(world: World) -> None:
    kill_family(world.relay)

    def firing() -> set[str]:
        alerts = world.prometheus.rules("alert")
        return {one["name"] for one in alerts if one["state"] == "firing"}

    world.prometheus.wait(
        lambda: {"ScenebookRelayGone", "ScenebookMetricsMissing"} <= firing(), "the alerts to fire"
    )
    assert "ScenebookApiGone" not in firing()
