"""The encoders as the pipeline and the search see them: embedding spaces and batch methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from scenebook.encoders.fake import FakeText
from scenebook.encoders.images import ImageEncoder, ImageVector, unit_vector
from scenebook.encoders.inference import InferenceChild
from scenebook.encoders.metadata import visual_clip_metadata
from scenebook.encoders.spaces import Calibration, LoadedModel
from scenebook.errors import ConfigurationError, ModelUnavailable, ScenebookError
from scenebook.model import Channel, EmbeddingSpace, Utterance, UtteranceSource
from scenebook.settings import Settings

__all__ = ["Encoders", "ImageVector"]

log = structlog.get_logger(__name__)

# Texts in one request; TEXT_EMBEDDING_TIMEOUT_S bounds each request.
TEXTS_A_REQUEST = 64

Vectors = list[NDArray[np.float32]]


class Encoders:
    """All local models of this process, behind one child that starts when it is first needed.

    Every vector is float32, finite and of norm 1. Besides what is said below, methods raise
    ModelUnavailable (with what to do; remembered, and tried again after a while),
    DeadlineExceeded and ChildDied. One thread at a time asks (scenebook.turns); `kill` and `close`
    may come from any.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._inference = InferenceChild(settings)
        self._images = ImageEncoder(settings, self._inference)
        self._fake_text = FakeText()

    @property
    def restarts(self) -> int:
        """How often the child was started again."""
        return self._inference.restarts

    def image_space(self) -> EmbeddingSpace:
        """The space of CLIP's vectors; loads the model unless the living child has it.

        What an earlier child said is not enough: the checkpoint may have been replaced since.
        """
        return self._loaded_clip().space(Channel.VISUAL_CLIP)

    def image_calibration(self) -> Calibration:
        """How similarities in the space of CLIP's vectors become probabilities; loads the model."""
        return (self._inference.known("clip") or self._loaded_clip()).calibration

    def encode_images(
        self, images: Sequence[bytes | None], *, moved: Callable[[], None] = lambda: None
    ) -> list[ImageVector]:
        """A vector or a reason for each encoded picture (None: the scene has no frame).

        `moved` hears of every step, and may raise. Besides, nothing is raised for a scene's own
        problem or for a model that cannot be loaded; ChildDied only after `kill`.
        """
        answers = self._images.encode(images, moved=moved)
        if self._settings.clip_debug_log:
            for place, answer in enumerate(answers):
                log.info(
                    "clip_embedding",
                    place=place,
                    status=answer.status,
                    time_ms=answer.inference_time_ms,
                    error=answer.error,
                )
        return answers

    def image_metadata(
        self,
        answer: ImageVector,
        *,
        frame_path: str | None,
        frame_quality: dict[str, float] | None,
        created_at: datetime,
    ) -> dict[str, Any]:
        """The documented `visual_clip_metadata` of an answer of encode_images."""
        return visual_clip_metadata(
            self._settings,
            self._inference.known("clip"),
            answer,
            frame_path=frame_path,
            frame_quality=frame_quality,
            created_at=created_at,
        )

    def encode_query_image_text(self, texts: Sequence[str]) -> Vectors:
        """Vectors of CLIP's text tower, comparable with those of encode_images."""
        loaded = self._loaded_clip()
        message = {"op": "encode_words", "texts": list(texts)}
        reply = self._inference.ask("clip", message, timeout_s=self._settings.clip_timeout_s)
        return _vectors(reply, loaded.dimensions)

    def text_space(self, channel: Channel) -> EmbeddingSpace:
        """The space of the text model's vectors in a channel; loads the model."""
        return self._loaded_text().space(channel)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """One vector a text; long text goes through text_pieces first."""
        if self._settings.text_embedding_provider == "fake":
            return list(self._fake_text.encode(texts))
        dimensions = self._loaded_text().dimensions
        vectors: Vectors = []
        for start in range(0, len(texts), TEXTS_A_REQUEST):
            message = {"op": "encode_texts", "texts": list(texts[start : start + TEXTS_A_REQUEST])}
            vectors += _vectors(self._ask_text(message), dimensions)
        return vectors

    def text_pieces(self, text: str) -> list[str]:
        """The text in pieces that fit the model's window, cut between sentences; none if blank."""
        if self._settings.text_embedding_provider == "fake":
            return self._fake_text.pieces(text)
        if not text.strip():
            return []
        self._loaded_text()
        pieces: list[str] = self._ask_text({"op": "text_pieces", "text": text})["pieces"]
        return pieces

    def transcribe(
        self,
        audio: Path,
        *,
        language: str | None,
        on_progress: Callable[[float], None],
        on_language: Callable[[str], None] = lambda _: None,
    ) -> list[Utterance]:
        """What is said in an audio file, with times in milliseconds from its start; [] for silence.

        on_progress is told the share that is done, 0 to 1, and 0 after each step before: finding
        speech, loading the model. on_language is told the language of what was heard. Silence needs
        no model. Raises InvalidMedia if the audio cannot
        be decoded. JOB_DEADLINE_S bounds the whole.
        """
        limit_s = self._settings.job_deadline_s
        path = str(audio.resolve())
        found = self._inference.ask(None, {"op": "find_speech", "audio": path}, timeout_s=limit_s)
        on_progress(0.0)
        if not found["speech_ms"]:
            return []
        self._inference.load("speech")
        on_progress(0.0)
        reply = self._inference.ask(
            "speech",
            {"op": "transcribe", "audio": path, "language": language},
            timeout_s=limit_s,
            on_progress=lambda message: on_progress(message["share"]),
        )
        log.info("speech_gated", reason=reply["reason"], dropped=reply["dropped"], **found)
        if reply["utterances"] and reply["language"]:
            on_language(reply["language"])
        return [
            Utterance(**{**fields, "source": UtteranceSource(fields["source"])})
            for fields in reply["utterances"]
        ]

    def kill(self) -> None:
        """Stop the child from any thread; the method in progress raises ChildDied."""
        self._inference.kill()

    def close(self) -> None:
        """End the child."""
        self._inference.close()

    def _loaded_clip(self) -> LoadedModel:
        if not self._settings.clip_enabled:
            raise ModelUnavailable("CLIP is off. Set CLIP_ENABLED=true to search by what is seen.")
        return _encoder(self._inference.load("clip"))

    def _loaded_text(self) -> LoadedModel:
        provider = self._settings.text_embedding_provider
        if provider == "fake":
            return self._fake_text.loaded
        if provider != "local":
            raise ConfigurationError(
                f"TEXT_EMBEDDING_PROVIDER={provider} is served by scenebook.remote, not locally."
            )
        return _encoder(self._inference.load("text"))

    def _ask_text(self, message: dict[str, Any]) -> dict[str, Any]:
        timeout_s = self._settings.text_embedding_timeout_s
        return self._inference.ask("text", message, timeout_s=timeout_s)


def _encoder(loaded: LoadedModel | None) -> LoadedModel:
    if loaded is None:
        raise ModelUnavailable("The inference child loaded a model that has no vectors.")
    return loaded


def _vectors(reply: dict[str, Any], dimensions: int) -> Vectors:
    try:
        return [unit_vector(data, dimensions) for data in reply["vectors"]]
    except ValueError as error:
        raise ScenebookError(str(error)) from error
