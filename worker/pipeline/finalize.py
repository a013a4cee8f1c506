"""Finalize: sidecars, the honest status, and the switch to the new generation."""

from __future__ import annotations

from functools import cache
from typing import Any
from uuid import UUID

import jsonschema
import structlog

from scenebook import settling, sidecar
from scenebook.db import scenes, states, utterances, words
from scenebook.errors import Unavailable
from scenebook.storage import Storage, video_prefix
from worker.pipeline.claim import Claim
from worker.pipeline.tools import Tools

log = structlog.get_logger(__name__)

# Sidecars of this many scenes are written, or validated, between two signs of life.
SCENES = 200


def finalize(tools: Tools, claim: Claim) -> None:
    """Write the sidecars, show readers this generation and its words, then remove the old."""
    job = claim.job
    sidecars = _sidecars(tools, claim)
    with claim.commit() as tx:
        for first in range(0, len(sidecars), SCENES):
            part = dict(sidecars[first : first + SCENES])
            scenes.set_sidecars(tx, part, owner_id=job.owner_id, token=job.token)
            claim.moved()
        # Another space may have become active since the sidecars were made.
        states.refresh_sidecars(
            tx, owner_id=job.owner_id, video_id=job.video_id, generation=job.generation
        )
        words.replace_all(
            tx, owner_id=job.owner_id, video_id=job.video_id, generation=job.generation
        )
        settling.finish(tx, owner_id=job.owner_id, video_id=job.video_id, generation=job.generation)
        scenes.remove_older(
            tx, owner_id=job.owner_id, video_id=job.video_id, generation=job.generation
        )
    # After the commit: readers of the old generation have their pictures until the switch.
    try:
        remove_older_files(
            tools.storage, owner_id=job.owner_id, video_id=job.video_id, generation=job.generation
        )
    except Unavailable as error:  # the job is done; the relay's tidying removes what is left
        log.warning("older_files_left", error=str(error))


def remove_older_files(storage: Storage, *, owner_id: UUID, video_id: UUID, generation: int) -> int:
    """Remove pictures and sound of the generations before this one; returns how many."""
    prefix = video_prefix(owner_id=owner_id, video_id=video_id)
    return sum(storage.delete_prefix(f"{prefix}/g{older}") for older in range(1, generation))


def _sidecars(tools: Tools, claim: Claim) -> list[tuple[UUID, dict[str, Any]]]:
    """The valid sidecar of each scene, made while nothing is locked.

    No other job of the video is left that could change what they are made of.
    """
    job = claim.job
    with tools.db.transaction(owner_id=job.owner_id) as tx:
        said = utterances.of_video(
            tx, owner_id=job.owner_id, video_id=job.video_id, generation=job.generation
        )
        of_video = scenes.of_video(
            tx, owner_id=job.owner_id, video_id=job.video_id, generation=job.generation
        )
    made = []
    for place, scene in enumerate(of_video):
        document = sidecar.build(scene, said.get(scene.id, ()))
        _validator().validate(document)
        made.append((scene.id, document))
        if place % SCENES == 0:
            claim.moved()
    return made


@cache
def _validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(sidecar.schema())
