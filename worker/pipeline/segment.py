"""Segment: one decode pass gives cuts, keyframes and their quality, audio and subtitles."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import structlog

from scenebook.db import scenes, utterances, videos
from scenebook.db.scenes import NewKeyframe, NewScene
from scenebook.model import Scene, Utterance
from scenebook.storage import Storage, video_prefix
from scenebook.transcripts import assign_utterances
from worker.media.types import FoundKeyframe, FoundScene
from worker.pipeline.claim import Claim
from worker.pipeline.failpoints import failpoint
from worker.pipeline.source import fetched
from worker.pipeline.tools import Tools

# Progress is stored in parts of a thousand: the number of scenes is known only at the end.
PARTS = 1000
# Pictures on their way to storage at once: a bucket answers each after tens of milliseconds.
PICTURES_AT_ONCE = 4


def segment(tools: Tools, claim: Claim) -> None:
    """Decode the source once; store pictures and audio first, then the scene list in one go."""
    job = claim.job
    with tools.db.transaction(owner_id=job.owner_id) as tx:
        video = videos.get(tx, owner_id=job.owner_id, video_id=job.video_id)
    prefix = video_prefix(owner_id=job.owner_id, video_id=job.video_id) + f"/g{job.generation}"
    claim.on_stop(tools.media.kill)

    def on_progress(fraction: float) -> None:
        failpoint("mid_decode", tools.settings)
        claim.progress(int(fraction * PARTS), PARTS)
        claim.moved()  # of a long or boasting video, a picture is less than one part

    with fetched(tools, claim, video) as source:
        found = tools.media.segment(source, source.parent, on_progress=on_progress)
        new = _stored(tools.storage, found.scenes, prefix=prefix, claim=claim)
        audio_key = None
        if found.audio_path is not None:
            audio_key = f"{prefix}/audio.flac"
            tools.storage.put_file(audio_key, found.audio_path, on_part=claim.moved)
    declared_ms = found.info.duration_ms or 0
    # Before the commit: a heartbeat waits while the job's row is locked.
    said = assign_utterances(found.subtitles, [(one.start_ms, one.end_ms) for one in new])
    with claim.commit() as tx:
        scenes.replace_all(
            tx,
            owner_id=job.owner_id,
            video_id=job.video_id,
            generation=job.generation,
            token=job.token,
            found=new,
        )
        videos.segmented(
            tx,
            owner_id=job.owner_id,
            video_id=job.video_id,
            decoded_ms=found.decoded_ms,
            # A container that does not know its length is as long as its pictures.
            duration_ms=max(declared_ms, found.decoded_ms),
            damage=found.damage,
            audio_key=audio_key,
            audio_silent=found.audio_silent,
        )
        if found.subtitles:
            written = scenes.of_video(
                tx, owner_id=job.owner_id, video_id=job.video_id, generation=job.generation
            )
            utterances.replace_all(
                tx,
                owner_id=job.owner_id,
                video_id=job.video_id,
                generation=job.generation,
                token=job.token,
                said=list(zip(written, said, strict=True)),
            )


def assigned(
    of_video: Sequence[Scene], lines: Sequence[Utterance]
) -> list[tuple[Scene, Sequence[Utterance]]]:
    """Each scene with the utterances that belong to it."""
    spans = [(scene.start_ms, scene.end_ms) for scene in of_video]
    return list(zip(of_video, assign_utterances(lines, spans), strict=True))


def _stored(
    storage: Storage, found: Sequence[FoundScene], *, prefix: str, claim: Claim
) -> list[NewScene]:
    """The scenes with their pictures in storage, under keys made of their content."""

    def store(keyframe: FoundKeyframe) -> NewKeyframe:
        claim.moved()  # once it raises, the pictures that are left end here one by one
        content = keyframe.path.read_bytes()
        image_hash = hashlib.sha256(content).hexdigest()
        key = f"{prefix}/{image_hash[:32]}.jpg"
        storage.put(key, content)
        return NewKeyframe(
            at_ms=keyframe.at_ms,
            rank=keyframe.rank,
            quality=keyframe.quality,
            image_key=key,
            image_hash=image_hash,
            perceptual_hash=keyframe.perceptual_hash,
        )

    ids = structlog.contextvars.get_contextvars()  # for what the threads log
    with ThreadPoolExecutor(
        PICTURES_AT_ONCE, initializer=lambda: structlog.contextvars.bind_contextvars(**ids)
    ) as pool:
        keyframes = pool.map(store, [one for scene in found for one in scene.keyframes])
        return [
            NewScene(scene.start_ms, scene.end_ms, list(islice(keyframes, len(scene.keyframes))))
            for scene in found
        ]
