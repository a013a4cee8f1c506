"""Transcribe: who says what, when, and in which scene; subtitles first, then speech models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from scenebook import metrics
from scenebook.db import scenes, utterances, videos
from scenebook.errors import (
    ConfigurationError,
    InvalidInput,
    InvalidMedia,
    InvalidSubtitles,
    ModelUnavailable,
)
from scenebook.languages import code_of, configuration_heard
from scenebook.model import Channel, ChannelState, ChannelStatus, Scene, Utterance, Video
from scenebook.subtitles import parse_subtitles, subtitles_language
from scenebook.temporary import private_directory
from worker.pipeline.claim import Claim
from worker.pipeline.segment import assigned
from worker.pipeline.tools import Tools

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Said:
    """The utterances of a video, what a scene without words is to be called, and the language."""

    lines: Sequence[Utterance]
    otherwise: ChannelStatus
    error: str | None = None
    language: str | None = None


def transcribe(tools: Tools, claim: Claim) -> None:
    """Find the words of the video and give each scene its own."""
    job = claim.job
    with tools.db.transaction(owner_id=job.owner_id) as tx:
        video = videos.get(tx, owner_id=job.owner_id, video_id=job.video_id)
        of_video = scenes.of_video(
            tx, owner_id=job.owner_id, video_id=job.video_id, generation=job.generation
        )
        embedded = [
            line
            for lines in utterances.of_video(
                tx, owner_id=job.owner_id, video_id=job.video_id, generation=job.generation
            ).values()
            for line in lines
            if line.source == "subtitles"
        ]
    said = _said(tools, claim, video, embedded)
    pairs = assigned(of_video, said.lines)
    states = [(scene.id, _state(scene, lines, said)) for scene, lines in pairs]
    with claim.commit() as tx:
        if said.language is not None:
            videos.set_language(
                tx, owner_id=job.owner_id, video_id=job.video_id, language=said.language
            )
        utterances.replace_all(
            tx,
            owner_id=job.owner_id,
            video_id=job.video_id,
            generation=job.generation,
            token=job.token,
            said=pairs,
        )
        scenes.set_channels(tx, states, owner_id=job.owner_id)
    metrics.count_settled(state for _, state in states)


def _state(scene: Scene, lines: Sequence[Utterance], said: Said) -> ChannelState:
    """`pending` where there are words to embed; else why there are none."""
    if lines:
        return ChannelState(Channel.TRANSCRIPT, ChannelStatus.PENDING)
    return ChannelState(Channel.TRANSCRIPT, said.otherwise, said.error)


def _said(tools: Tools, claim: Claim, video: Video, embedded: Sequence[Utterance]) -> Said:
    if video.transcript_key is not None:
        try:
            content = tools.storage.get(video.transcript_key)
            lines = parse_subtitles(content, name=Path(video.transcript_key).name)
            heard = configuration_heard(subtitles_language(content))
            return Said(lines, ChannelStatus.EMPTY, language=heard)
        except FileNotFoundError:
            return Said((), ChannelStatus.ERROR, "The stored transcript file is gone.")
        except InvalidSubtitles as error:
            return Said((), ChannelStatus.ERROR, f"The transcript file cannot be read: {error}")
    if embedded:
        return Said(embedded, ChannelStatus.EMPTY)
    if tools.settings.transcription_provider == "off":
        return Said((), ChannelStatus.DISABLED)
    if not video.has_audio or video.audio_key is None:
        return Said((), ChannelStatus.NO_AUDIO)
    if video.audio_silent:
        return Said((), ChannelStatus.SILENT)
    return _heard(tools, claim, video.audio_key, code_of(video.language))


def _heard(tools: Tools, claim: Claim, audio_key: str, language: str | None) -> Said:
    """The words that a speech model hears; what it cannot do is said and stops nothing else."""
    with private_directory() as directory:
        audio = directory / "audio.flac"
        try:
            tools.storage.fetch(audio_key, audio, on_part=claim.moved)
            lines, heard = _lines(tools, claim, audio, language)
        except FileNotFoundError:
            return Said((), ChannelStatus.ERROR, "The stored audio is gone; retry segmentation.")
        except (ModelUnavailable, ConfigurationError) as error:
            log.warning("transcription_unavailable", error=str(error))
            return Said((), ChannelStatus.UNAVAILABLE, str(error))
        except InvalidMedia as error:
            return Said((), ChannelStatus.DECODE_ERROR, str(error))
        except InvalidInput as error:
            return Said((), ChannelStatus.ERROR, str(error))
    if not lines:
        return Said((), ChannelStatus.SILENT)
    return Said(lines, ChannelStatus.EMPTY, language=configuration_heard(heard))


def _lines(
    tools: Tools, claim: Claim, audio: Path, language: str | None
) -> tuple[Sequence[Utterance], str | None]:
    """The words and their language, from local Whisper or the API, as configured.

    `auto` asks the API only if Whisper cannot.
    """
    heard: list[str] = []

    def on_progress(fraction: float) -> None:
        claim.progress(int(fraction * 1000), 1000)
        claim.moved()  # in an hour of audio a sentence is less than a part of a thousand

    language = language or tools.settings.whisper_language
    provider = tools.settings.transcription_provider
    with tools.remote(owner_id=claim.job.owner_id) as models:
        claim.on_stop(models.stop)
        if provider != "openai":
            claim.on_stop(tools.encoders.kill)
            try:
                lines = tools.encoders.transcribe(
                    audio, language=language, on_progress=on_progress, on_language=heard.append
                )
                return lines, heard[-1] if heard else None
            except ModelUnavailable:
                if provider == "local" or not models.available:
                    raise
        lines = models.transcribe(
            audio, language, on_progress=on_progress, on_language=heard.append
        )
        return lines, heard[-1] if heard else None
