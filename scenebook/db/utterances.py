"""Rows of `utterances`: the timed words of a video, and the transcript of each scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import Connection

from scenebook.db import spaces
from scenebook.db.engine import statement
from scenebook.db.values import clean_text
from scenebook.model import Channel, Scene, Utterance, UtteranceSource
from scenebook.transcripts import join_utterances


def replace_all(
    tx: Connection,
    *,
    owner_id: UUID,
    video_id: UUID,
    generation: int,
    token: int,
    said: Sequence[tuple[Scene, Sequence[Utterance]]],
) -> None:
    """Write the utterances of every scene anew, and the scenes' transcripts from them.

    A transcript that differs from the one before loses its vectors.
    """
    whose = {"owner_id": owner_id, "video_id": video_id, "generation": generation}
    tx.execute(statement("scenes/remove_utterances"), whose)
    lines = [(scene, line) for scene, lines in said for line in lines if line.text.strip()]
    if lines:
        tx.execute(
            statement("scenes/add_utterance"),
            [
                whose
                | {
                    "ordinal": ordinal,
                    "scene_id": scene.id,
                    "start_ms": line.start_ms,
                    "end_ms": line.end_ms,
                    "text": clean_text(line.text),
                    "speaker": line.speaker and clean_text(line.speaker),
                    "source": line.source,
                }
                for ordinal, (scene, line) in enumerate(lines)
            ],
        )
    transcripts = {scene.id: clean_text(join_utterances(lines)) or None for scene, lines in said}
    tx.execute(
        statement("scenes/set_transcript"),
        [
            {"owner_id": owner_id, "scene_id": scene_id, "transcript": transcript, "token": token}
            for scene_id, transcript in transcripts.items()
        ],
    )
    spaces.forget_vectors(
        tx,
        owner_id=owner_id,
        channel=Channel.TRANSCRIPT,
        scene_ids=[scene.id for scene, _ in said if scene.transcript != transcripts[scene.id]],
    )


def of_video(
    tx: Connection, *, owner_id: UUID, video_id: UUID, generation: int
) -> Mapping[UUID | None, list[Utterance]]:
    """The utterances of one generation by scene, in order."""
    found: dict[UUID | None, list[Utterance]] = {}
    rows = tx.execute(
        statement("scenes/select_utterances"),
        {"owner_id": owner_id, "video_id": video_id, "generation": generation},
    )
    for row in rows:
        line = Utterance(
            row.start_ms, row.end_ms, row.text, UtteranceSource(row.source), row.speaker
        )
        found.setdefault(row.scene_id, []).append(line)
    return found
