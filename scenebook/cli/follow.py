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

from scenebook.cli.place import Place
from scenebook.cli.tables import excerpt
from scenebook.errors import NotFound
from scenebook.model import SETTLED, JobState, Video, VideoStatus
from scenebook.progress import WEIGHT, StageProgress, VideoProgress

# Nothing has moved for so long that probably no worker runs.
IDLE_HINT_S = 15.0
DONE_STATES = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})


class Bars:
    """Progress bars: one a stage for a single video, else one for all and one for each at work."""

    def __init__(self, console: Console, *, videos: int) -> None:
        self.videos = videos
        self.progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._settled: set[UUID] = set()

    def show(self, video: Video, now: VideoProgress) -> None:
        """Draw what is known of one video."""
        if self.videos == 1:
            for stage in now.stages:
                self._show_stage(stage)
            return
        done = sum(stage.state in DONE_STATES for stage in now.stages)
        if now.status in SETTLED:
            self._settled.add(video.id)
        self._draw("all", "videos", len(self._settled), self.videos)
        at_work = now.status is VideoStatus.PROCESSING
        if at_work or str(video.id) in self._tasks:
            name = escape(excerpt(video.title, 40))
            self._draw(str(video.id), name, done, len(WEIGHT), note=_note(now), visible=at_work)

    def _show_stage(self, stage: StageProgress) -> None:
        note: str = "" if stage.state in (JobState.SUCCEEDED, JobState.RUNNING) else stage.state
        if stage.error and stage.state is not JobState.SUCCEEDED:
            note = f"{note}: {escape(stage.error)}"
        total = max(1, stage.total)
        done = total if stage.state in DONE_STATES else min(stage.done, total)
        self._draw(stage.stage, stage.stage.replace("_", " "), done, total, note=note)

    def _draw(
        self, key: str, name: str, done: int, total: int, *, note: str = "", visible: bool = True
    ) -> None:
        if key not in self._tasks:
            self._tasks[key] = self.progress.add_task(name, total=total, note=note)
        self.progress.update(
            self._tasks[key], completed=done, total=total, note=note, visible=visible
        )


def follow(
    place: Place,
    followed: Sequence[Video],
    *,
    console: Console,
    tick: Callable[[], None] = lambda: None,
) -> dict[UUID, VideoProgress]:
    """Wait until every video is settled, drawing on `console`; `tick` runs at every look.

    Returns the last progress of each; a video that was deleted meanwhile is left out.
    """
    last: dict[UUID, VideoProgress] = {}
    waiting = list(followed)
    idle_since = time.monotonic()
    hinted = False
    bars = Bars(console, videos=len(followed))
    with bars.progress:
        while waiting:
            tick()
            for video in list(waiting):
                try:
                    now = place.progress(video.id)
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
                time.sleep(place.pause_s(len(waiting)))
    return last


def _nobody_works(last: dict[UUID, VideoProgress], *, idle_s: float) -> bool:
    return idle_s > IDLE_HINT_S and all(
        now.status is VideoStatus.WAITING for now in last.values() if now.status not in SETTLED
    )


def _note(now: VideoProgress) -> str:
    if now.status in SETTLED:
        return now.status + (f": {escape(now.reason)}" if now.reason else "")
    return f"about {now.eta_s:.0f} s left" if now.eta_s is not None else now.status
