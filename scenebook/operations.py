"""The work of all owners for those who run the deployment: what they see of it, and their retry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog

from scenebook.db import overview
from scenebook.db.engine import Database
from scenebook.db.overview import Coverage, Dead, Overview, SearchMade
from scenebook.errors import ConfigurationError, NotFound, ScenebookError
from scenebook.model import Stage
from scenebook.settings import Settings
from scenebook.videos import delete_video, retry_video

log = structlog.get_logger(__name__)

# Errors whose messages are of the deployment alone; any other may quote a file, a URL or a model.
TELLING = frozenset({"model_unavailable", "configuration", "deadline", "stalled", "worker_lost",
                     "crash_loop", "out_of_memory"})  # fmt: skip
# What the codes mean that no class of errors stands for.
MEANINGS = {
    "bad_answer": "A remote model's answer cannot be used.",
    "bad_audio": "The audio track cannot be read.",
    "disk_full": "A disk is full.",
    "duplicate": "The same video is stored already.",
    "empty_file": "The file is empty.",
    "fetch_failed": "The URL that it is imported from cannot be fetched.",
    "not_media": "The file is no video.",
    "refused": "A remote model declines the content.",
    "remote_refused": "A remote model's service refuses the request.",
    "source_changed": "The source changed while it was read.",
    "source_missing": "The source is not in the storage.",
    "too_many_streams": "The file has more streams than are read.",
    "unsupported_container": "The file's format is not read.",
    "url_not_allowed": "The URL that it is imported from is not allowed.",
}


@dataclass(frozen=True, slots=True)
class Retried:
    """What a retry put on the to-do list, and whose it is."""

    job_id: int
    owner_id: UUID
    video_id: UUID
    stages: int


def operators_of(settings: Settings) -> frozenset[UUID]:
    """The owners who may see the operations of all. Raises ConfigurationError."""
    found = set()
    for one in (settings.operators or "").split(","):
        if one.strip():
            try:
                found.add(UUID(one.strip()))
            except ValueError:
                raise ConfigurationError(
                    f"OPERATORS: {one.strip()!r} is no owner's id. It looks like "
                    "0d9b5a7e-3c1f-4f0e-9a56-7f1f1d0c2b3a; commas stand between several."
                ) from None
    return frozenset(found)


def explained(letter: Dead) -> str:
    """Why a job was given up, in a sentence without anybody's content."""
    if letter.code in TELLING and letter.message:
        return letter.message
    said = MEANINGS.get(letter.code or "") or _of_the_tree().get(letter.code or "")
    return f"{said or 'Something failed.'} The log of job {letter.id} says more."


def operations(across: Database, *, limit: int) -> Overview:
    """How the to-do list stands; across: a database of the operator's role."""
    with across.across_owners() as tx:
        return overview.overview(tx, limit=limit)


def dead_letters(
    across: Database, *, limit: int, before: tuple[datetime, int] | None = None
) -> list[Dead]:
    """Jobs that were given up, newest first, and not done anew since."""
    with across.across_owners() as tx:
        return overview.dead(tx, limit=limit, before=before)


def recent_searches(
    across: Database, *, limit: int, before: tuple[datetime, UUID] | None = None
) -> list[SearchMade]:
    """Searches of all owners, newest first."""
    with across.across_owners() as tx:
        return overview.searches(tx, limit=limit, before=before)


def coverage(across: Database) -> list[Coverage]:
    """Every space, and how the scenes of all owners stand in it."""
    with across.across_owners() as tx:
        return overview.coverage(tx)


def retry_dead_letter(across: Database, db: Database, *, operator_id: UUID, job_id: int) -> Retried:
    """Do again what failed of the video that a dead letter is about, in its owner's name.

    Raises NotFound for a job that is no dead letter, and Conflict as `retry_video` does.
    """
    with across.across_owners() as tx:
        found = overview.dead(tx, limit=1, job_id=job_id)
    if not found:
        raise NotFound(f"Job {job_id} is no dead letter, or was retried already.")
    (letter,) = found
    if letter.stage is Stage.DELETE:
        delete_video(db, owner_id=letter.owner_id, video_id=letter.video_id)
        stages = 1
    else:
        stages = retry_video(db, owner_id=letter.owner_id, video_id=letter.video_id)
    log.info(
        "dead_letter_retried",
        operator_id=str(operator_id),
        owner_id=str(letter.owner_id),
        video_id=str(letter.video_id),
        job_id=job_id,
        stages=stages,
    )
    return Retried(job_id, letter.owner_id, letter.video_id, stages)


def _of_the_tree() -> dict[str, str]:
    """What each class of errors says by its code; of two with one code, the more general one."""

    def below(kind: type[ScenebookError]) -> Iterator[type[ScenebookError]]:
        yield kind
        for one in kind.__subclasses__():
            yield from below(one)

    said: dict[str, str] = {}
    for kind in below(ScenebookError):
        said.setdefault(kind.code, (kind.__doc__ or "").partition("\n")[0].strip())
    return said
