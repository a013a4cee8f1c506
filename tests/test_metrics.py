"""Pages of metrics: what they count, of which processes, and that no series is of one owner."""

from __future__ import annotations

import re
import time
import urllib.request
from collections import Counter
from contextlib import closing
from pathlib import Path
from uuid import UUID, uuid4

import psutil
import psycopg
from prometheus_client import generate_latest
from prometheus_client.metrics import MetricWrapperBase

from scenebook import metrics
from scenebook.encoders.client import Encoders
from scenebook.model import VideoStatus
from scenebook.settings import Settings, load
from tests import clips
from tests.pictures import png
from tests.pipelines import Pipeline
from tests.serving import api_in_process, headers_of
from tests.stack import Stack, free_port
from worker import measures
from worker.door import run_job


def page(port: int) -> str:
    """What is served at this port."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


def jobs_counted(page: str, stage: str) -> float:
    found = re.search(
        rf'^scenebook_jobs_total{{outcome="succeeded",stage="{stage}"}} (\S+)$', page, re.MULTILINE
    )
    return 0.0 if found is None else float(found[1])


def test_a_worker_serves_what_all_of_its_processes_counted(
    stack: Stack, alice: UUID, tmp_path: Path
) -> None:
    port = free_port()
    stack.start_relay()
    worker = stack.start_worker(metrics_port=port, worker_concurrency=2)
    for done in (1, 2):
        film = clips.write(tmp_path / f"{done}.mp4", clips.still(done, 25))
        video = stack.settled(stack.add(film, owner_id=alice))
        assert video.status is VideoStatus.READY, video.reason
        # The job is counted just after the commit that settles the video.
        stack.wait(
            lambda so_far=done: jobs_counted(page(port), "finalize") == so_far,  # type: ignore[misc]
            "the last job to be counted",
        )
        assert jobs_counted(page(port), "probe") == done
        # What replaces them counts on.
        for process in psutil.Process(worker.pid).children():
            process.kill()
    assert "scenebook_clip_seconds_bucket" in page(port)
    assert "pid=" not in page(port)


def test_without_a_broker_the_relay_still_says_what_is_to_be_done(
    stack: Stack, alice: UUID, tmp_path: Path
) -> None:
    stack.add(clips.write(tmp_path / "film.mp4", clips.still(1, 25)), owner_id=alice)
    port = free_port()
    relay = stack.start_relay(metrics_port=port, redis_url=f"redis://127.0.0.1:{free_port()}/0")

    def said(name: str) -> float:
        try:
            found = re.search(rf"^{re.escape(name)} (\S+)$", page(port), re.MULTILINE)
        except OSError:  # it does not serve yet
            return 0.0
        return 0.0 if found is None else float(found[1])

    stack.wait(lambda: said("scenebook_broker_errors_total") > 0, "the broker to be missed")
    stack.wait(
        lambda: said('scenebook_oldest_due_seconds{stage="probe"}') > 0, "the job to be overdue"
    )
    assert said('scenebook_open_jobs{stage="probe",state="queued"}') == 1
    assert relay.poll() is None


def registered() -> set[str]:
    """The rows of docs/metrics.md that the metrics of all processes should have."""
    found = [one for module in (metrics, measures) for one in vars(module).values()]
    rows = set()
    for one in found:
        if isinstance(one, MetricWrapperBase):
            (described,) = one.describe()
            name = f"{described.name}_total" if described.type == "counter" else described.name
            labels = ", ".join(f"`{label}`" for label in one._labelnames)
            rows.add(f"| `{name}` | {described.type} | {labels} |")
    return rows


def test_every_metric_is_documented_with_its_type_and_labels() -> None:
    page = (Path(__file__).parents[1] / "docs" / "metrics.md").read_text("utf-8")
    rows = re.findall(r"^(\| `scenebook_\w+` \| \w+ \| [^|]*\|) (.*) \|$", page, re.MULTILINE)
    assert {row for row, _ in rows} == registered()
    assert len(rows) == len(registered())
    assert [row for row, meaning in rows if len(meaning) < 15] == []


def test_every_series_of_known_labels_is_there_from_the_start() -> None:
    said = generate_latest().decode()
    for series in (
        'scenebook_jobs_total{outcome="failed",stage="probe"}',
        'scenebook_scene_channels_total{channel="visual_clip",status="timeout"}',
        'scenebook_child_starts_total{child="inference",start="again"}',
        'scenebook_upstream_calls_total{outcome="timeout",service="description"}',
        'scenebook_degraded_searches_total{channel="lexical"}',
        'scenebook_webhooks_total{outcome="failed"}',
        "scenebook_clip_circuits_open",
        "scenebook_empty_searches_total",
    ):
        assert f"\n{series} " in said


def test_scenes_are_counted_in_every_channel_as_they_are_stored(
    pipeline: Pipeline, alice: UUID, tmp_path: Path
) -> None:
    def counted() -> Counter[tuple[str, str]]:
        samples = (one for family in metrics.SCENE_CHANNELS.collect() for one in family.samples)
        return Counter(
            {(one.labels["channel"], one.labels["status"]): one.value for one in samples}
        )

    before = counted()
    film = clips.write(tmp_path / "film.mp4", clips.still(1, 50) + clips.still(2, 50))
    assert pipeline.index(film, owner_id=alice).status is VideoStatus.READY
    url = pipeline.tools.settings.database_url
    assert url is not None
    with psycopg.connect(url) as connection:
        stored = connection.execute(
            "select channel, status, count(*) from public.scene_channels group by 1, 2"
        ).fetchall()
    assert len(stored) >= 4
    assert counted() - before == {(channel, status): count for channel, status, count in stored}


def test_a_circuit_that_opens_is_counted_until_it_closes() -> None:
    settings = load(
        {
            "CLIP_ENABLED": "true",
            "CLIP_MODEL_NAME": "fake",
            "CLIP_TIMEOUT_S": "0.5",
            "CLIP_BREAKER_FAILURES": "1",
            "CLIP_BREAKER_RESET_S": "0.01",
        }
    )
    openings = metrics.CLIP_CIRCUIT_OPENINGS._value
    is_open = metrics.CLIP_CIRCUITS_OPEN._value
    requests = metrics.CHILD_REQUESTS.labels("inference", "timeout")._value
    starts = metrics.CHILD_STARTS.labels("inference", "again")._value
    before = [one.get() for one in (openings, is_open, requests, starts)]
    with closing(Encoders(settings)) as encoders:
        encoders.encode_images([png()])
        for opened in (1, 2):  # a trial that fails opens it again, and it is the same circuit
            encoders.encode_images([png(comment="hang")])
            assert openings.get() == before[0] + opened
            assert is_open.get() == before[1] + 1
            time.sleep(0.02)
        encoders.encode_images([png()])
    assert is_open.get() == before[1]
    assert requests.get() == before[2] + 2
    assert starts.get() == before[3] + 2


def test_a_thousand_owners_have_no_more_series_than_none(pipeline: Pipeline) -> None:
    """Jobs of as many owners, seen by the relay and counted by a worker's processes."""

    def series() -> set[str]:
        with pipeline.relay.across_owners() as tx:
            measures.measure(tx, silent_s=60)
        lines = generate_latest().decode().splitlines()
        return {line.rpartition(" ")[0] for line in lines if line[0] != "#"}

    of_none = series()
    url = pipeline.tools.settings.database_url
    assert url is not None
    with psycopg.connect(url) as connection:
        jobs = connection.execute(
            "with others as (insert into public.owners (id) select gen_random_uuid()"
            " from generate_series(1, 1000) returning id), films as ("
            " insert into public.videos (owner_id, title, source_key, bytes, generation, status)"
            " select id, 'film', 'key', 1, 1, 'waiting' from others returning id, owner_id)"
            " insert into public.jobs (owner_id, video_id, generation, stage)"
            " select owner_id, id, 1, 'probe' from films returning id"
        ).fetchall()
    assert series() == of_none
    assert measures.OPEN_JOBS.labels("probe", "queued")._value.get() == 1000
    assert measures.OLDEST_DUE_SECONDS.labels("probe")._value.get() > 0
    for (job_id,) in jobs[:20]:  # in vain, since nobody stored a film
        run_job(pipeline.tools, job_id, worker="a worker")
    assert series() == of_none
    assert measures.DEAD_JOBS.labels("probe")._value.get() == 20
    assert measures.OPEN_JOBS.labels("probe", "queued")._value.get() == 980
    assert len(of_none) < 2000


def test_metrics_do_not_grow_with_owners_videos_or_addresses(settings: Settings) -> None:
    def series(of: int) -> set[str]:
        """Which there are after so many owners did what people do."""
        with api_in_process(settings) as api:
            for number in range(of):
                owner = headers_of(UUID(int=number + 1))
                film = {"file": (f"{number}.mp4", uuid4().bytes)}
                added = api.post("/v1/videos", files=film, headers=owner)
                assert added.status_code == 201, added.text
                for address in (added.json()["id"], uuid4(), f"{uuid4()}/scenes"):
                    api.get(f"/v1/videos/{address}", headers=owner)
                api.post("/v1/search", json={"text": f"words {number}"}, headers=owner)
                api.get(f"/{uuid4()}", headers=owner | {"Host": f"{number}.example.com"})
                api.request(f"ODD{number}", "/v1/videos", headers=owner)
            api.get("/metrics")  # counts itself, after it has answered
            lines = api.get("/metrics").text.splitlines()
        return {line.rpartition(" ")[0] for line in lines if line[0] != "#"}

    of_one = series(1)
    assert series(50) - of_one == set()
    assert len(of_one) < 2000
