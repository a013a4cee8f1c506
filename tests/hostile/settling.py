"""Indexes one file by the whole pipeline and says what came of it and what is wrong with that."""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import psycopg
from psycopg.rows import dict_row

from scenebook.errors import ScenebookError
from scenebook.model import SETTLED, Video, VideoStatus
from scenebook.storage import video_prefix
from scenebook.temporary import TEMPORARY
from scenebook.videos import add_video, get_video, scenes_of
from tests.pipelines import Pipeline

# What a file can be refused for; no second try can change it.
PERMANENT = frozenset(
    (
        *("empty", "not_media", "unsupported_container", "unsupported_codec", "too_many_streams"),
        *("no_video", "too_large", "too_long", "undecodable", "encrypted"),
    )
)
# What a child can be stopped for: its promises of time and memory, and its deaths.
STOPPED = frozenset(("timeout", "crash_loop"))
# Between the end of the child's time and the end of its job.
GRACE_S = 10.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file; `wrong` is empty if all is as promised.

    code is the stable code of a failure, else the status. seconds is for the whole file, and
    longest_s for the job that took most of it.
    """

    video: Video | None
    status: str
    code: str
    reason: str | None
    attempts: int
    seconds: float
    longest_s: float
    wrong: list[str] = field(default_factory=list)


def settle(pipeline: Pipeline, path: Path, *, owner_id: UUID) -> Outcome:
    """Add a file, do every job, and look at everything that it may have left."""
    began = time.monotonic()
    tools = pipeline.tools
    try:
        added = add_video(tools.db, tools.storage, owner_id=owner_id, path=path)
    except ScenebookError as error:
        seconds = time.monotonic() - began
        wrong = [] if error.code in PERMANENT else [f"refused with {error.code}"]
        return Outcome(None, "refused", error.code, str(error), 0, seconds, seconds, wrong)
    if not added.created:
        return Outcome(added.video, "known", "known", None, 0, 0, 0)
    pipeline.work()
    video = get_video(tools.db, owner_id=owner_id, video_id=added.video.id)
    jobs = _jobs(pipeline, video)
    failed = next((job for job in jobs if job["state"] == "failed"), None)
    code = failed["errors"][-1]["code"] if failed is not None else video.status.value
    return Outcome(
        video=video,
        status=video.status.value,
        code=code,
        reason=video.reason,
        attempts=failed["attempt"] if failed is not None else 1,
        seconds=time.monotonic() - began,
        longest_s=max(job["seconds"] for job in jobs),
        wrong=[
            *_wrong_with_status(video, failed, code),
            *_wrong_with_jobs(pipeline, jobs),
            *_wrong_with_scenes(pipeline, video),
            *_left_behind(pipeline, video),
        ],
    )


def _jobs(pipeline: Pipeline, video: Video) -> list[dict[str, Any]]:
    url = pipeline.tools.settings.database_url
    assert url is not None
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return connection.execute(
            "select stage, state, attempt, errors,"
            " coalesce(extract(epoch from finished_at - started_at), 0)::float as seconds"
            " from public.jobs where video_id = %s order by id",
            (video.id,),
        ).fetchall()


def _wrong_with_status(video: Video, failed: dict[str, Any] | None, code: str) -> Iterator[str]:
    if video.status not in SETTLED:
        yield f"the video is {video.status} for ever"
    if video.status is VideoStatus.READY:
        return
    reason = video.reason or ""
    if not reason.endswith(".") or not reason[:1].isupper():
        yield f"the reason is no sentence: {reason!r}"
    if str(tempfile.gettempdir()) in reason:
        yield f"the reason names a path of the machine: {reason!r}"
    if failed is None:
        return
    if code not in PERMANENT | STOPPED:
        yield f"the code is {code}: {reason}"
    if code in PERMANENT and failed["attempt"] != 1:
        yield f"a permanent failure ({code}) was tried {failed['attempt']} times"


def _wrong_with_jobs(pipeline: Pipeline, jobs: list[dict[str, Any]]) -> Iterator[str]:
    for job in jobs:
        if job["state"] in ("queued", "retryable", "running"):
            yield f"a job is left: {job['stage']} is {job['state']}"
        for error in job["errors"]:
            if error["code"] == "internal":
                yield f"{job['stage']}: {error['message']}"
        settings = pipeline.tools.settings
        tries = max(job["attempt"], len(job["errors"]), 1)
        if job["seconds"] > tries * (settings.media_child_timeout_s + GRACE_S):
            yield f"{job['stage']} took {job['seconds']:.0f} s"


def _wrong_with_scenes(pipeline: Pipeline, video: Video) -> Iterator[str]:
    """What can be searched covers what was read, without gaps, and has pictures."""
    scenes = scenes_of(pipeline.tools.db, owner_id=video.owner_id, video_id=video.id)
    if video.status is VideoStatus.FAILED:
        if scenes:
            yield f"a failed video has {len(scenes)} scenes"
        return
    if not scenes or video.decoded_ms is None or video.duration_ms is None:
        yield "there are no scenes, or no lengths"
        return
    edges = [0, *(scene.end_ms for scene in scenes)]
    if [scene.start_ms for scene in scenes] != edges[:-1] or edges[-1] != video.decoded_ms:
        yield "the scenes do not cover what was read"
    if video.decoded_ms > video.duration_ms:
        yield f"{video.decoded_ms} ms were read of {video.duration_ms} ms"
    if not all(scene.keyframes for scene in scenes):
        yield "a scene has no picture"


def _left_behind(pipeline: Pipeline, video: Video) -> Iterator[str]:
    tools = pipeline.tools
    yield from leftover_directories(children=True)
    scenes = scenes_of(tools.db, owner_id=video.owner_id, video_id=video.id)
    named = {one.image_key for scene in scenes for one in scene.keyframes}
    named |= {key for key in (video.source_key, video.transcript_key, video.audio_key) if key}
    prefix = video_prefix(owner_id=video.owner_id, video_id=video.id)
    stored = tools.storage.list_prefix(prefix)
    if orphans := sorted(set(stored) - named):
        yield f"objects that no row names: {orphans[:3]}"
    if missing := sorted(named - set(stored)):
        yield f"rows name objects that are not there: {missing[:3]}"
    for _ in range(30):  # the process that answered last may be about to end
        orphans = list(orphans_of_this_process(most_of_a_kind=1))
        if not orphans:
            return
        time.sleep(0.1)
    yield from orphans


def leftover_directories(*, children: bool) -> Iterator[str]:
    """Private directories of this process; a child has one for as long as it lives."""
    mine = Path(tempfile.gettempdir()).glob(f"{TEMPORARY}{os.getpid()}-*")
    left = [path.name for path in mine if not (children and "-child-" in path.name)]
    if left:
        yield f"temporary directories are left: {left}"


def orphans_of_this_process(*, most_of_a_kind: int) -> Iterator[str]:
    """Children of the product that nobody reaped, or of which there are too many.

    The servers that a test runs beside the product are no concern of this.
    """
    kinds: Counter[str] = Counter()
    for process in psutil.Process().children(recursive=True):
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                yield f"process {process.pid} was not reaped"
            command = process.cmdline()
        except psutil.NoSuchProcess:
            continue
        kinds.update(part for part in command if part.startswith(("worker.", "scenebook.")))
    for kind, count in kinds.items():
        if count > most_of_a_kind:
            yield f"{count} processes of {kind} are left"
