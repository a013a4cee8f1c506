"""Metrics of a real worker: what its processes count is on the page that their parent serves."""

from __future__ import annotations

import re
import socket
import urllib.request
from pathlib import Path
from uuid import UUID

from scenebook.model import VideoStatus
from tests import clips
from tests.stack import Stack


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


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
    stack.start_worker(metrics_port=port, worker_concurrency=2)
    film = clips.write(tmp_path / "film.mp4", clips.still(1, 25))
    video = stack.settled(stack.add(film, owner_id=alice))
    assert video.status is VideoStatus.READY, video.reason

    def page() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    # The job is counted just after the commit that settles the video.
    stack.wait(lambda: jobs_counted(page(), "finalize") == 1, "the last job to be counted")
    assert jobs_counted(page(), "probe") == 1
    assert "scenebook_clip_seconds_bucket" in page()
    assert "pid=" not in page()
