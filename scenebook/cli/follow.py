"""Follows the indexing of videos with progress bars, until each is settled."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from uuid import UUID

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from scenebook import videos
from scenebook.cli.workplace import Workplace
from scenebook.errors import NotFound
from scenebook.model import SETTLED, JobState, Video, VideoStatus

POLL_S = 0.25
# Nothing has moved for so long that probably no worker runs.
IDLE_HINT_S = 15.0
DONE_STATES = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})


class Bars:
    """Progress bars: one a stage for a single video, one a video for several."""

    def __init__(self, console: Console, *, single: bool) -> None:
        self.single = single
        self.progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            transient=False,
        )
        self._tasks: dict[str, TaskID] = {}

    def show(self, video: Video, now: videos.Progress) -> None:
        """Draw what is known of one video."""
        if not self.single:
            done = sum(stage.state in DONE_STATES for stage in now.stages)
            settled = now.status in SETTLED
            total = max(len(now.stages), done) if settled else len(videos.WEIGHT)
            self._draw(
                str(video.id), escape(video.title), done, total, note=_note(now), end=settled
            )
            return
        for stage in now.stages:
            end = stage.state in DONE_STATES
            note: str = "" if stage.state in (JobState.SUCCEEDED, JobState.RUNNING) else stage.state
            if stage.error and stage.state is not JobState.SUCCEEDED:
                note = f"{note}: {escape(stage.error)}"
            self._draw(
                stage.stage, stage.stage.replace("_", " "), stage.done, stage.total, note=note,
                end=end,
            )  # fmt: skip

    def _draw(self, key: str, name: str, done: int, total: int, *, note: str, end: bool) -> None:
        if key not in self._tasks:
            self._tasks[key] = self.progress.add_task(name, total=total, note=note)
        total = max(1, total)
        self.progress.update(
            self._tasks[key], completed=total if end else min(done, total), total=total, note=note
        )


def follow(
    place: Workplace,
    followed: Sequence[Video],
    *,
    console: Console,
    tick: Callable[[], None] = lambda: None,
) -> dict[UUID, videos.Progress]:
    """Wait until every video is settled, drawing on `console`; `tick` runs at every look.

    Returns the last progress of each; a video that was deleted meanwhile is left out.
    """
    last: dict[UUID, videos.Progress] = {}
    waiting = list(followed)
    idle_since = time.monotonic()
    hinted = False
    bars = Bars(console, single=len(followed) == 1)
    with bars.progress:
        while waiting:
            tick()
            for video in list(waiting):
                try:
                    now = videos.progress_of(
                        place.database, owner_id=place.owner_id, video_id=video.id
                    )
                except NotFound:
                    waiting.remove(video)
                    last.pop(video.id, None)
                    continue
                if now != last.get(video.id):
                    idle_since = time.monotonic()
                last[video.id] = now
                bars.show(video, now)
                if now.status in SETTLED or now.status is VideoStatus.DELETING:
                    waiting.remove(video)
            if not hinted and _nobody_works(last, idle_s=time.monotonic() - idle_since):
                console.print("Nothing has started yet. Is a worker running? Try `scenebook up`.")
                hinted = True
            if waiting:
                time.sleep(POLL_S)
    return last


def _nobody_works(last: dict[UUID, videos.Progress], *, idle_s: float) -> bool:
    return idle_s > IDLE_HINT_S and all(
        now.status is VideoStatus.WAITING for now in last.values() if now.status not in SETTLED
    )


def _note(now: videos.Progress) -> str:
    if now.status in SETTLED:
        return now.status + (f": {escape(now.reason)}" if now.reason else "")
    return f"about {now.eta_s:.0f} s left" if now.eta_s is not None else now.status
