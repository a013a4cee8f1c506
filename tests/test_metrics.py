"""Pages of metrics: what they count, of which processes, and that no series is of one owner."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path
from uuid import UUID, uuid4

import psutil

from scenebook.model import VideoStatus
from scenebook.settings import Settings
from tests import clips
from tests.serving import api_in_process, headers_of
from tests.stack import Stack, free_port


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
    stack.wait(lambda: said("scenebook_oldest_due_seconds") > 0, "the job to be overdue")
    assert said('scenebook_open_jobs{stage="probe",state="queued"}') == 1
    assert relay.poll() is None


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
