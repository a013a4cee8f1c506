"""The everyday commands at a service elsewhere (SCENEBOOK_URL), over its HTTP API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from scenebook.cli.output import notes
from scenebook.client import Scenebook, SearchOptions, models
from scenebook.embedded import EmbeddedServices
from scenebook.errors import InvalidInput, Unavailable
from scenebook.model import (
    SETTLED,
    Channel,
    ChannelState,
    ChannelStatus,
    JobState,
    Keyframe,
    Scene,
    SearchChannel,
    Stage,
    Video,
    VideoStatus,
)
from scenebook.progress import StageProgress, VideoProgress
from scenebook.settings import Settings
from scenebook.videos import AddedVideo

if TYPE_CHECKING:  # searching loads much, and most commands do not search
    from scenebook.hits import Hit
    from scenebook.search import Query, SearchAnswer

Word = TypeVar("Word", bound=StrEnum)

# Pages of the service are never longer.
PAGE = 100
# Looks at progress count against the rate limit of the key.
LOOK_S = 1.0
LOOK_AT_EACH_S = 0.25
# The service knows who the owner is, and does not say.
NOBODY = UUID(int=0)


@contextmanager
def at_service(settings: Settings, *, owner: str | None) -> Iterator[RemotePlace]:
    """The service that the settings name, for the owner of its key."""
    assert settings.scenebook_url is not None
    if owner is not None:
        raise InvalidInput(
            "The owner at SCENEBOOK_URL is that of SCENEBOOK_API_KEY. Leave --owner out."
        )
    key = settings.scenebook_api_key
    secret = None if key is None else key.get_secret_value()
    with Scenebook(settings.scenebook_url, secret) as client:
        yield RemotePlace(settings, client)


@dataclass(frozen=True, slots=True)
class RemotePlace:
    """A Place at a service; its answers as objects of the domain."""

    settings: Settings
    client: Scenebook
    own_servers: EmbeddedServices | None = None

    def require_workers(self) -> None:
        """The service's own business."""

    def add(self, path: Path, *, transcript: Path | None, language: str | None) -> AddedVideo:
        """Send a file."""
        with notes().status(f"Sending {path.name}…") as line:
            added = self.client.upload(
                path,
                transcript=transcript,
                language=language,
                progress=lambda sent, size: line.update(f"Sending {path.name}: {sent / size:.0%}"),
            )
        return AddedVideo(_video(added), created=added.created is not False)

    def videos(self, *, title: str = "") -> list[Video]:
        """All videos with this in their title, newest first."""
        return [_video(one) for one in self.client.videos(title=title or None)]

    def video(self, video_id: UUID) -> Video:
        """One video."""
        return _video(self.client.video(video_id))

    def progress(self, video_id: UUID) -> VideoProgress:
        """Where it stands."""
        return _progress(self.client.video(video_id))

    def pause_s(self, followed: int) -> float:
        """Seconds between two looks at so many videos."""
        return max(LOOK_S, LOOK_AT_EACH_S * followed)

    def scenes(self, video_id: UUID) -> list[Scene]:
        """Its scenes, in order."""
        return [_scene(one) for one in self.client.scenes(video_id)]

    def retry(self, video_id: UUID, *, stage: Stage | None, channel: Channel | None) -> bool:
        """Do again what failed, or a stage or channel; False if nothing is to be done."""
        return self.client.retry(video_id, stage=stage, channel=channel).status not in SETTLED

    def switched_on(self, video: Video) -> list[Channel]:
        """None: the settings of the service are not known here."""
        return []

    def cancel(self, video_id: UUID) -> None:
        """Stop indexing it."""
        self.client.cancel(video_id)

    def delete(self, video_id: UUID) -> None:
        """Hide it, and remove it soon."""
        self.client.delete(video_id)

    def suitable(self, query: Query) -> list[SearchChannel]:
        """The channels that a query may be asked; the service leaves out those without content."""
        return list(SearchChannel) if query.text else [SearchChannel.VISUAL_CLIP]

    def search(
        self,
        query: Query,
        *,
        channels: Sequence[SearchChannel] | None,
        limit: int,
        video_id: UUID | None,
        threshold: float | None,
        weights: Mapping[SearchChannel, float],
    ) -> SearchAnswer:
        """Scenes for a query; channels without a weight count 1, and 0 leaves one out."""
        counting: dict[str, float] = {
            one: weights.get(one, 1.0) for one in channels or self.suitable(query)
        }
        options: SearchOptions = {
            "text_weight": query.text_weight,
            "image_weight": query.image_weight,
            "weights": counting,
            "limit": min(limit, PAGE),
        }
        if channels:
            options["channels"] = [one for one, weight in counting.items() if weight > 0]
        if query.image is not None:
            options["image"] = query.image
        if threshold is not None:
            options["threshold"] = threshold
        if video_id is not None:
            options["filters"] = {"video_ids": [video_id]}
        found: list[models.SearchAnswer] = []
        for page in self.client.search_pages(query.text, **options):
            found.append(page)
            if sum(len(one.data) for one in found) >= limit:
                break
        return _answer(found, limit)

    def similar(
        self,
        scene_id: UUID,
        *,
        limit: int,
        video_id: UUID | None,
        other_videos_only: bool,
        threshold: float | None,
    ) -> SearchAnswer:
        """Scenes that look like one of them."""
        if limit > PAGE:
            raise InvalidInput(f"The service finds at most {PAGE} similar scenes.")
        found = self.client.similar(
            scene_id,
            limit=limit,
            video_id=video_id,
            other_videos_only=other_videos_only,
            threshold=threshold,
        )
        return _answer([found], limit)


def _known(kind: type[Word], text: str) -> Word:
    try:
        return kind(text)
    except ValueError:
        raise Unavailable(
            f"The service says {text!r}, a word that this version does not know. Update it."
        ) from None


def _video(said: models.Video) -> Video:
    same = {name: getattr(said, name) for name in SAME_OF_VIDEO}
    return Video(
        owner_id=NOBODY,
        status=_known(VideoStatus, said.status),
        source_key="",
        generation=0,
        metadata=dict(said.metadata),
        **same,
    )


SAME_OF_VIDEO = (
    "id", "title", "reason", "failed_stage", "duration_ms", "width", "height", "fps", "has_audio",
    "bytes", "scene_count", "source_url", "language", "created_at", "updated_at",
)  # fmt: skip


def _progress(said: models.Progress) -> VideoProgress:
    return VideoProgress(
        status=_known(VideoStatus, said.status),
        stages=tuple(
            StageProgress(
                _known(Stage, one.stage),
                _known(JobState, one.state),
                one.done,
                one.total,
                one.error,
            )
            for one in said.stages
        ),
        eta_s=said.eta_s,
        channel_counts={
            _known(Channel, channel): {
                _known(ChannelStatus, status): count for status, count in counts.items()
            }
            for channel, counts in said.channels.items()
        },
        reason=said.reason,
        stage=None if said.stage is None else _known(Stage, said.stage),
        progress=said.progress,
        scene_count=said.coverage["scenes"],
        coverage={channel: said.coverage.get(channel, 0) for channel in Channel},
    )


def _scene(said: models.Scene) -> Scene:
    return Scene(
        id=said.id,
        owner_id=NOBODY,
        video_id=said.video_id,
        generation=0,
        scene_index=said.scene_index,
        start_ms=said.start_ms,
        end_ms=said.end_ms,
        transcript=said.transcript,
        description=said.description,
        summary=said.summary,
        tags=said.tags,
        keyframes=tuple(
            # The key is where the picture lies: here, a URL.
            Keyframe(one.id, said.id, one.at_ms, one.rank, dict(one.quality), one.url, "")
            for one in said.keyframes
        ),
        channels=tuple(
            ChannelState(
                _known(Channel, channel),
                _known(ChannelStatus, one.status),
                one.error,
                dict(one.metadata),
            )
            for channel, one in said.channels.items()
        ),
    )


def _answer(pages: Sequence[models.SearchAnswer], limit: int) -> SearchAnswer:
    from scenebook.hits import SearchAnswer

    hits = [hit for page in pages for hit in page.data]
    return SearchAnswer(
        hits=tuple(_hit(one) for one in hits[:limit]),
        degraded={one.channel: one.reason for page in pages for one in page.degraded},
        exact=all(page.search == "exact" for page in pages),
        corrections=pages[0].corrections,
    )


def _hit(said: models.Hit) -> Hit:
    from scenebook.hits import Hit, Reason

    return Hit(
        scene_id=said.scene_id,
        video_id=said.video_id,
        title=said.title,
        scene_index=said.scene_index,
        start_ms=said.start_ms,
        end_ms=said.end_ms,
        score=said.score,
        reasons=tuple(
            Reason(
                _known(SearchChannel, one.channel),
                one.rank,
                one.similarity,
                one.text_rank,
                one.matched_ms,
            )
            for one in said.reasons
        ),
        transcript=None if said.transcript is None else said.transcript.text,
        description=said.description,
        summary=said.summary,
        tags=said.tags,
        matched_ms=said.matched_ms,
        relevance=said.relevance,
    )
