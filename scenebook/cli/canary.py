"""The canary of `scenebook doctor`: a small video on the whole way that an owner's videos take.

It is added, indexed, found by what is said and seen, shown, and removed again in every outcome.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from scenebook.cli import canary_film
from scenebook.cli.canary_film import NAMED, SCENES, SEEN, TITLE, Film
from scenebook.cli.canary_views import Broken, View
from scenebook.cli.checks import Check, Verdict
from scenebook.cli.place import Place
from scenebook.cli.supervisor import Supervisor
from scenebook.encoders.checkpoints import FIGURES
from scenebook.errors import NotFound, ScenebookError
from scenebook.model import (
    COMPLETE,
    SETTLED,
    Channel,
    ChannelStatus,
    JobState,
    Scene,
    SearchChannel,
    Video,
    VideoStatus,
)
from scenebook.progress import VideoProgress
from scenebook.queries import Query

# A job that nobody takes for so long is taken by nobody.
PATIENCE_S = 30.0
# Removal has this long even when all other time is used up.
REMOVAL_S = 30.0
# No canary lives so long: what is older was left behind by one that was killed.
LEFT_BEHIND = timedelta(hours=2)
FIRST_BYTES = 256
JPEG = b"\xff\xd8\xff"
HITS = 10

Tell = Callable[[Check], None]


def fly(place: Place, view: View, *, timeout_s: float, tell: Tell) -> None:
    """Send a canary; every step is told once it is over. Runs a worker if nobody else can."""
    own = place.own_servers
    team = (
        nullcontext() if own is None else Supervisor(place.settings, log_dir=own.data_dir / "log")
    )
    with team as running, tempfile.TemporaryDirectory(prefix="scenebook-canary-") as folder:
        film = canary_film.make(Path(folder))
        tick = running.check_or_give_up if running else lambda: None
        Canary(place, view, film, timeout_s=timeout_s, tell=tell, tick=tick).fly()


class Canary:
    """One flight."""

    def __init__(
        self,
        place: Place,
        view: View,
        film: Film,
        *,
        timeout_s: float,
        tell: Tell,
        tick: Callable[[], None],
    ) -> None:
        self._place = place
        self._view = view
        self._film = film
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s
        self._tell = tell
        self._tick = tick
        self._video: Video | None = None
        self._scenes: list[Scene] = []
        self._idle = False

    def fly(self) -> None:
        """Every step in order, and removal whatever happens, also after Ctrl-C."""
        finished = False
        try:
            self._step("upload", self._upload)
            if self._video is not None:
                self._step("indexing", self._index)
            if self._scenes:
                self._step("search by words", self._search_words)
                self._step("search by what is seen", self._search_seen)
                self._step("picture and stream", self._watch)
                self._step("other owners", self._keep_out)
            finished = True
        finally:
            self._step("removal", self._remove if finished else self._hide, last=True)

    def _step(self, name: str, do: Callable[[], Check], *, last: bool = False) -> None:
        began = time.monotonic()
        try:
            if began > self._deadline and not last:
                raise Broken(f"no time is left of {self._timeout_s:.0f} s", "Give it a --timeout.")
            check = do()
        except ScenebookError as error:
            check = Check(name, Verdict.FAIL, str(error), getattr(error, "remedy", None))
        seconds = round(time.monotonic() - began, 1)
        self._tell(replace(check, name=f"canary {name}", seconds=seconds))

    @property
    def _id(self) -> UUID:
        assert self._video is not None
        return self._video.id

    def _upload(self) -> Check:
        film = self._film
        added = self._place.add(film.path, transcript=film.transcript, language=None)
        self._video = added.video
        return _ok(f"{film.title}, {len(film.content)} bytes, is video {added.video.id}")

    def _index(self) -> Check:
        now, spent = self._settled()
        took = ", ".join(
            f"{what} {seconds:.1f} s"
            for what, seconds in sorted(spent.items(), key=lambda one: -one[1])
            if seconds >= 0.05
        )
        if now.status not in (VideoStatus.READY, VideoStatus.PARTIAL):
            raise Broken(
                f"{now.status}: {now.reason or 'no reason was recorded'} ({took})",
                f"The workers' log says more of video_id {self._id}.",
            )
        self._scenes = self._place.scenes(self._id)
        if len(self._scenes) != SCENES:
            raise Broken(f"{len(self._scenes)} scenes were found of {SCENES}", "Compare versions.")
        if now.status is VideoStatus.PARTIAL:
            raise Broken(
                f"partial: {_missing(now, self._scenes) or now.reason} ({took})",
                "Where the workers run, `scenebook models verify` and their log say more.",
            )
        return _ok(f"{now.status}, {took}")

    def _settled(self) -> tuple[VideoProgress, dict[str, float]]:
        """Where the video ended, and the seconds that were seen to go into what."""
        began = last = time.monotonic()
        spent: dict[str, float] = defaultdict(float)
        taken = False
        while True:
            self._tick()
            now = self._place.progress(self._id)
            if now.status in SETTLED:
                return now, spent
            if now.status is VideoStatus.DELETING:
                raise Broken("somebody deleted it", "Send another one.")
            taken = taken or any(one.state is not JobState.QUEUED for one in now.stages)
            waited = time.monotonic() - began
            if not taken and waited > PATIENCE_S:
                self._idle = True
                raise Broken(f"nobody took the job within {waited:.0f} s", self._view.why_idle())
            if time.monotonic() > self._deadline:
                why = self._view.why_idle()
                raise Broken(f"not settled within {self._timeout_s:.0f} s: {_standing(now)}", why)
            time.sleep(self._place.pause_s(1))
            spent[_doing(now)] += time.monotonic() - last
            last = time.monotonic()

    def _search_words(self) -> Check:
        channels = [SearchChannel.LEXICAL]
        if self._has(Channel.TRANSCRIPT):  # else indexing has said what is missing
            channels.append(SearchChannel.TRANSCRIPT)
        found = self._found(self._film.words, channels, video_id=None, threshold=None)
        return _ok(f"“{self._film.words}” is found by {found}")

    def _search_seen(self) -> Check:
        if not self._has(Channel.VISUAL_CLIP):
            return Check("", Verdict.OFF, "no scene has a vector of what is seen")
        found = self._found(SEEN, [SearchChannel.VISUAL_CLIP], video_id=self._id, threshold=-1.0)
        return _ok(f"“{SEEN}” is found by {found}")

    def _found(
        self,
        text: str,
        channels: list[SearchChannel],
        *,
        video_id: UUID | None,
        threshold: float | None,
    ) -> str:
        """The channels that found the canary. Raises Broken if one of them did not."""
        answer = self._place.search(
            Query(text), channels=channels, limit=HITS, video_id=video_id, threshold=threshold,
            weights={},
        )  # fmt: skip
        for channel, reason in answer.degraded.items():
            raise Broken(f"{channel} took no part: {reason}", "Mend it, or switch it off.")
        hits = [hit for hit in answer.hits if hit.video_id == self._id]
        if not hits:
            raise Broken(
                f"“{text}” does not find the video",
                "`scenebook spaces list`: is another model's space active than is indexed with?",
            )
        seen = {reason.channel for hit in hits for reason in hit.reasons}
        if missing := [one for one in channels if one not in seen]:
            raise Broken(f"“{text}” is not found by {', '.join(missing)}", "Is its space active?")
        if video_id is not None and self._drawn() and hits[0].scene_index != 0:
            raise Broken(f"“{text}” finds another scene first", "`scenebook models verify clip`.")
        return ", ".join(channels)

    def _drawn(self) -> bool:
        """Whether the model of the vectors was made for drawings; others are not held to it."""
        return any(
            one.channel is Channel.VISUAL_CLIP and one.metadata.get("model_name") == FIGURES
            for scene in self._scenes
            for one in scene.channels
        )

    def _has(self, channel: Channel) -> bool:
        return any(
            one.channel is channel and one.status is ChannelStatus.OK
            for scene in self._scenes
            for one in scene.channels
        )

    def _watch(self) -> Check:
        pictures = [one.image_key for scene in self._scenes for one in scene.keyframes]
        if not pictures:
            raise Broken("no scene has a picture", "The workers' log says more.")
        if not self._view.picture(pictures[0]).startswith(JPEG):
            raise Broken("the picture is no JPEG", "Does something between change answers?")
        if self._view.first_bytes(self._id, FIRST_BYTES) != self._film.content[:FIRST_BYTES]:
            raise Broken("the stream is not what was sent", "Does something between change it?")
        return _ok(f"a picture and bytes 0-{FIRST_BYTES - 1} of the source{self._view.by}")

    def _keep_out(self) -> Check:
        return self._view.keep_out(self._id)

    def _remove(self) -> Check:
        self._hide()
        if self._video is None:
            return _ok("nothing was stored")
        if self._idle:
            return Check("", Verdict.WARN, "it is hidden", "A worker removes it once one runs.")
        give_up_at = max(self._deadline, time.monotonic() + REMOVAL_S)
        while self._there():
            if time.monotonic() > give_up_at:
                raise Broken(
                    "it is hidden, and nobody removed it yet",
                    f"{self._view.why_idle()} A worker removes it as soon as one runs.",
                )
            self._tick()
            time.sleep(self._place.pause_s(1))
        if left := self._view.remains(self._id):
            raise Broken(f"its rows are gone, but {left}", "scenebook reconcile --apply")
        return _ok("rows and files are gone")

    def _hide(self) -> Check:
        """Delete it, and what canaries left behind that were killed; do not wait for it."""
        oldest = datetime.now(UTC) - LEFT_BEHIND
        for video in self._place.videos(title=NAMED):
            ours = video.title == self._film.title
            left = TITLE.fullmatch(video.title) and (video.created_at or oldest) < oldest
            if (ours or left) and video.status is not VideoStatus.DELETING:
                self._place.delete(video.id)
        return _ok("it is hidden, and removed soon")

    def _there(self) -> bool:
        try:
            self._place.video(self._id)
        except NotFound:
            return False
        return True


def _ok(detail: str) -> Check:
    return Check("", Verdict.OK, detail)


def _doing(now: VideoProgress) -> str:
    at_work = any(one.state is JobState.RUNNING for one in now.stages)
    return str(now.stage) if at_work else f"waiting for {now.stage or 'the end'}"


def _standing(now: VideoProgress) -> str:
    """The stages that are not over: which wait, which run, and what went wrong."""
    return ", ".join(
        f"{one.stage} {one.state}" + (f" ({one.error})" if one.error else "")
        for one in now.stages
        if one.state is not JobState.SUCCEEDED
    )


def _missing(now: VideoProgress, scenes: list[Scene]) -> str:
    """Channels that did not succeed, each with a reason."""
    errors = {(one.channel, one.status): one.error for scene in scenes for one in scene.channels}
    return "; ".join(
        f"{channel} {status} in {count} of {len(scenes)} scenes"
        + (f": {why}" if (why := errors.get((channel, status))) else "")
        for channel, counts in now.channel_counts.items()
        for status, count in counts.items()
        if status not in COMPLETE
    )
