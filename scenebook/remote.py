"""Models behind an OpenAI-compatible API: descriptions, text embeddings and transcription."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

import numpy as np
import structlog
from numpy.typing import NDArray

from scenebook import metrics
from scenebook.audio import AudioPiece, audio_pieces
from scenebook.descriptions import (
    PROMPT,
    RESPONSE_SCHEMA,
    REVISION,
    UNUSABLE,
    SceneDescription,
    question,
    read_answer,
)
from scenebook.errors import InvalidInput, ScenebookError, Unavailable
from scenebook.languages import code_of, configuration_heard
from scenebook.model import Channel, EmbeddingSpace, Utterance, UtteranceSource
from scenebook.remote_answers import Completion, Transcription, Vectors, read_body, segments_of
from scenebook.remote_calls import RemoteCalls, transcription_of
from scenebook.settings import Settings
from scenebook.subtitles import storable
from scenebook.text_pieces import batches, estimate_tokens, split_text
from scenebook.transcripts import WhisperSegment, gate_speech

if TYPE_CHECKING:
    from scenebook.db.paid_calls import PaidKind

log = structlog.get_logger(__name__)

# The tiers of TEXT_EMBEDDING_MODEL, as this provider names them; other names go through as given.
EMBEDDING_TIERS = {
    "fast": "text-embedding-3-small",
    "balanced": "text-embedding-3-small",
    "quality": "text-embedding-3-large",
}
# OpenAI takes 2048 inputs and 300 000 tokens in one request and 8192 tokens in one input; smaller
# requests end well within the time bound, and our count of tokens is an estimate.
REQUEST_INPUTS = 256
REQUEST_TOKENS = 100_000
INPUT_TOKENS = 8000
# A vector of a few sentences tells scenes apart better than one of a page, and models that people
# host themselves often read 512 tokens.
PIECE_TOKENS = 400
MAX_DIMENSIONS = 4000
# An answer of a page would be cut anyway; models that reason need room before they answer.
ANSWER_TOKENS = 2000


class PaidCalls(Protocol):
    """Answers that were paid for, by content; values are JSON objects."""

    def get(self, key: str) -> dict[str, Any] | None: ...
    def put(self, key: str, value: dict[str, Any], *, kind: PaidKind) -> None: ...


class RemoteModels:
    """The models of an OpenAI-compatible API; every answer is kept, so nothing is paid twice.

    For texts it is a TextEncoder, like the local models. Threads may share it. Every call ends
    within OPENAI_TIMEOUT_S, retries included. Errors: see RemoteCalls.body; an answer that is not
    what the protocol promises raises Unavailable(code="bad_answer").
    """

    def __init__(self, settings: Settings, cache: PaidCalls) -> None:
        self._settings = settings
        self._cache = cache
        self._calls = RemoteCalls(settings)
        model = settings.text_embedding_model
        self._embedding_model = EMBEDDING_TIERS.get(model, model)
        self._dimensions: int | None = None
        self._takes_schema = True

    @property
    def available(self) -> bool:
        """Whether a key or an address is configured."""
        return self._calls.available

    def stop(self) -> None:
        """Give up every call, from any thread; what is in progress raises Unavailable."""
        self._calls.stop()

    def close(self) -> None:
        """Drop the connections."""
        self._calls.close()

    def with_answers(self, cache: PaidCalls) -> RemoteModels:
        """The same models and connections, with the answers of another owner."""
        other = copy(self)
        other._cache = cache
        return other

    def describe(self, images: Sequence[bytes], transcript: str) -> SceneDescription:
        """What is to be seen in the pictures (JPEG bytes) of one scene in which these words fall.

        Raises InvalidInput(code="refused") if the model declines.
        """
        if (kept := self.kept_description(images, transcript)) is not None:
            return kept
        asked = question(transcript)
        try:
            described = read_answer(self._described(asked, images))
        except ScenebookError as error:
            if error.code in UNUSABLE:  # paid for all the same, or perhaps, so it counts
                key = self._key("unusable", uuid4().hex)
                self._cache.put(key, {"error": error.code}, kind="description")
            raise
        self._cache.put(self._description_key(asked, images), asdict(described), kind="description")
        return described

    def kept_description(self, images: Sequence[bytes], transcript: str) -> SceneDescription | None:
        """The answer of an earlier call that asked the same; None if there was none."""
        kept = self._kept("description", self._description_key(question(transcript), images))
        return None if kept is None else read_answer(json.dumps(kept))

    def _description_key(self, asked: str, images: Sequence[bytes]) -> str:
        model = self._settings.description_model
        return self._key("describe", model, REVISION, asked, *map(_digest, images))

    def _described(self, asked: str, images: Sequence[bytes]) -> str:
        """The text of the model's answer."""
        model = self._settings.description_model
        content: list[dict[str, Any]] = [{"type": "text", "text": asked}]
        for image in images:
            url = f"data:image/jpeg;base64,{base64.b64encode(image).decode('ascii')}"
            content.append({"type": "image_url", "image_url": {"url": url, "detail": "low"}})
        messages = [{"role": "system", "content": PROMPT}, {"role": "user", "content": content}]
        try:
            body = self._completed(model, messages)
        except InvalidInput as error:
            # Some servers know only plain JSON mode; they say so by naming the field.
            named = any(word in str(error) for word in ("response_format", "json_schema"))
            if not self._takes_schema or not named:
                raise
            self._takes_schema = False
            log.info("json_schema_unsupported", model=model)
            body = self._completed(model, messages)
        completion = read_body(Completion, body)
        if not completion.choices:
            raise Unavailable("The vision model's answer is empty.", code="bad_answer")
        choice = completion.choices[0]
        if choice.message.refusal or choice.finish_reason == "content_filter":
            said = self._calls.redacted(choice.message.refusal or "content filter")
            raise InvalidInput(
                f"The vision model declines to describe this: {said}", code="refused"
            )
        return choice.message.content or ""

    def _completed(self, model: str, messages: Any) -> bytes:
        response_format: Any = {"type": "json_object"}
        if self._takes_schema:
            schema = {"name": "scene_description", "strict": True, "schema": RESPONSE_SCHEMA}
            response_format = {"type": "json_schema", "json_schema": schema}
        return self._calls.body(
            "description",
            lambda client: client.chat.completions.with_raw_response.create(
                model=model,
                messages=messages,
                response_format=response_format,
                max_completion_tokens=ANSWER_TOKENS,
            ),
        )

    # --- text embeddings ----------------------------------------------------------------------

    def text_space(self, channel: Channel) -> EmbeddingSpace:
        """The space of the embedding model for a channel; its dimensions are learned by one call.

        The host stands for the weights: servers give different vectors under the same model name.
        """
        if self._dimensions is None:
            self.encode_texts(["dimensions"])
        return EmbeddingSpace(
            channel, self._embedding_model, self._calls.host, "1", self._dimensions or 0
        )

    def text_pieces(self, text: str) -> list[str]:
        """Pieces of a long text for one vector each; none for empty text."""
        return split_text(text, max_tokens=PIECE_TOKENS)

    def encode_texts(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """One vector of norm 1 for each text, in the order given, shape (dimensions,).

        Raises InvalidInput for a text that is empty or longer than the model's window.
        """
        keys = [self._key("embed", self._embedding_model, "1", text) for text in texts]
        vectors: dict[str, NDArray[np.float32]] = {}
        missing: dict[str, str] = {}
        for key, text in zip(keys, texts, strict=True):
            if key in vectors or key in missing:
                continue
            if not text.strip() or estimate_tokens(text) > INPUT_TOKENS:
                raise InvalidInput("Only a text that is not empty nor too long has a vector.")
            if (kept := self._kept("embedding", key)) is not None:
                raw = base64.b64decode(kept["float32"])
                vectors[key] = np.frombuffer(raw, dtype="<f4").astype(np.float32)
                self._check_dimensions(vectors[key])
            else:
                missing[key] = storable(text)
        for batch in batches(missing, max_inputs=REQUEST_INPUTS, max_tokens=REQUEST_TOKENS):
            for key, vector in zip(batch, self._embedded(list(batch.values())), strict=True):
                encoded = base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
                self._cache.put(key, {"float32": encoded}, kind="embedding")
                vectors[key] = vector
        return [vectors[key] for key in keys]

    def _embedded(self, texts: list[str]) -> list[NDArray[np.float32]]:
        """Vectors of one request."""
        body = self._calls.body(
            "embedding",
            lambda client: client.embeddings.with_raw_response.create(
                model=self._embedding_model, input=texts, encoding_format="float"
            ),
        )
        found = {item.index: item.embedding for item in read_body(Vectors, body).data}
        if sorted(found) != list(range(len(texts))):
            raise Unavailable(
                f"{self._calls.host} gave {len(found)} vectors for {len(texts)} texts.",
                code="bad_answer",
            )
        return [self._unit(np.asarray(found[i], np.float64)) for i in range(len(texts))]

    def _unit(self, vector: NDArray[np.float64]) -> NDArray[np.float32]:
        """The vector with norm 1; raises Unavailable if it cannot be one of this model's."""
        with np.errstate(over="ignore"):
            norm = float(np.linalg.norm(vector))
        if not np.isfinite(norm) or norm < 1e-6 or len(vector) > MAX_DIMENSIONS:
            raise Unavailable(
                f"{self._embedding_model} gave a vector that is zero, not finite, or longer than "
                f"{MAX_DIMENSIONS}.",
                code="bad_answer",
            )
        unit = (vector / norm).astype(np.float32)
        self._check_dimensions(unit)
        return unit

    def _check_dimensions(self, vector: NDArray[np.float32]) -> None:
        if self._dimensions not in (None, len(vector)):
            raise Unavailable(
                f"{self._embedding_model} gave {len(vector)} dimensions instead of "
                f"{self._dimensions}.",
                code="bad_answer",
            )
        self._dimensions = len(vector)

    # --- speech -------------------------------------------------------------------------------

    def transcribe(
        self,
        audio: Path,
        language: str | None,
        *,
        on_progress: Callable[[float], None] = lambda _: None,
        on_language: Callable[[str], None] = lambda _: None,
    ) -> list[Utterance]:
        """What is said in an audio file (16 kHz mono FLAC), with times; silence is not sent.

        language: ISO 639-1, None to detect. on_progress is told the share that is done, 0 to 1,
        on_language the language of the first words.
        """
        segments: list[WhisperSegment] = []
        total_ms = 0
        spoken = language
        for piece in audio_pieces(audio):
            heard = self._transcribed(piece, language)
            spoken = spoken or (heard.language if heard.text.strip() else None)
            segments.extend(segments_of(heard, start_ms=piece.start_ms, end_ms=piece.end_ms))
            total_ms = piece.total_ms
            on_progress(piece.end_ms / piece.total_ms)
        gated = gate_speech(segments, speech_ms=None, total_ms=total_ms, source=UtteranceSource.API)
        if gated.dropped:
            log.info("speech_gate", dropped=gated.dropped, kept=len(gated.utterances))
        if gated.utterances and spoken:
            on_language(spoken)
        return list(gated.utterances)

    def _transcribed(self, piece: AudioPiece, language: str | None) -> Transcription:
        model = self._settings.transcription_model
        about = ("transcribe", model, "1")
        key = self._key(*about, language or "", _digest(piece.flac))
        kept = self._kept("transcription", key)
        if kept is None and language:  # heard in it without being told: not paid for again
            untold = self._cache.get(self._key(*about, "", _digest(piece.flac))) or {}
            if code_of(configuration_heard(untold.get("language"))) == language:
                kept = untold
        if kept is None:
            options: dict[str, Any] = {"language": language} if language else {}
            body = self._calls.body(
                "transcription", lambda client: transcription_of(client, model, piece.flac, options)
            )
            kept = read_body(Transcription, body).model_dump()
            self._cache.put(key, kept, kind="transcription")
        return Transcription.model_validate(kept)

    def _kept(self, service: str, key: str) -> dict[str, Any] | None:
        kept = self._cache.get(key)
        metrics.UPSTREAM_SAVED.labels(service).inc(kept is not None)
        return kept

    def _key(self, *parts: str) -> str:
        """The key of a paid call: SHA-256 of the server and all that decides its answer."""
        return _digest(json.dumps([self._calls.base_url, *parts]).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
