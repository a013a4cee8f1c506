"""The JSON that `--json` prints: a stable shape, documented in docs/cli.md.

Keys are only ever added. Times are integer milliseconds from the video's first picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scenebook.model import Channel, Scene, Video
from scenebook.progress import VideoProgress

if TYPE_CHECKING:  # searching loads much, and most commands do not search
    from scenebook.search import Hit, SearchAnswer


def video_shape(video: Video) -> dict[str, Any]:
    """One video."""
    return {
        "id": str(video.id),
        "title": video.title,
        "status": video.status,
        "reason": video.reason,
        "failed_stage": video.failed_stage,
        "duration_ms": video.duration_ms,
        "width": video.width,
        "height": video.height,
        "fps": video.fps,
        "has_audio": video.has_audio,
        "bytes": video.bytes,
        "scene_count": video.scene_count,
        "created_at": video.created_at.isoformat() if video.created_at else None,
    }


def progress_shape(video: Video, progress: VideoProgress) -> dict[str, Any]:
    """One video, its stages and how many scenes each channel has in each status."""
    return video_shape(video) | {
        "status": progress.status,
        "reason": progress.reason,
        "eta_s": progress.eta_s,
        "stages": [
            {"stage": one.stage, "state": one.state, "done": one.done, "total": one.total}
            for one in progress.stages
        ],
        "channels": {
            channel: {status.value: count for status, count in counts.items()}
            for channel, counts in progress.channel_counts.items()
        },
    }


def scene_shape(scene: Scene) -> dict[str, Any]:
    """One scene with its keyframes, best first, and the state of every channel."""
    states = {state.channel: state for state in scene.channels}
    return {
        "id": str(scene.id),
        "video_id": str(scene.video_id),
        "scene_index": scene.scene_index,
        "start_ms": scene.start_ms,
        "end_ms": scene.end_ms,
        "transcript": scene.transcript,
        "description": scene.description,
        "summary": scene.summary,
        "tags": list(scene.tags),
        "keyframes": [
            {
                "id": str(one.id),
                "at_ms": one.at_ms,
                "rank": one.rank,
                "quality": one.quality,
                "image_key": one.image_key,
            }
            for one in scene.keyframes
        ],
        "channels": {
            channel: {
                "status": states[channel].status,
                "error": states[channel].error,
                "metadata": states[channel].metadata,
            }
            for channel in Channel
            if channel in states
        },
    }


def hit_shape(hit: Hit) -> dict[str, Any]:
    """One fused answer with the reasons for it."""
    return {
        "scene_id": str(hit.scene_id),
        "video_id": str(hit.video_id),
        "title": hit.title,
        "scene_index": hit.scene_index,
        "start_ms": hit.start_ms,
        "end_ms": hit.end_ms,
        "score": hit.score,
        "reasons": [
            {
                "channel": one.channel,
                "rank": one.rank,
                "similarity": one.similarity,
                "text_rank": one.text_rank,
                "matched_ms": one.matched_ms,
            }
            for one in hit.reasons
        ],
        "transcript": hit.transcript,
        "description": hit.description,
    }


def answer_shape(
    text: str | None, answer: SearchAnswer, *, image: str | None = None
) -> dict[str, Any]:
    """The hits of one search, and the channels that could not take part, each with the reason."""
    return {
        "query": text,
        "image": image,
        "hits": [hit_shape(hit) for hit in answer.hits],
        "degraded": dict(answer.degraded),
    }
