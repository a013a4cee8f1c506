"""The parts of an OpenAI-compatible API's answers that Scenebook reads, checked."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, FiniteFloat, ValidationError

from scenebook.errors import Unavailable
from scenebook.subtitles import storable
from scenebook.transcripts import WhisperSegment

Answer = TypeVar("Answer", bound=BaseModel)


class Message(BaseModel):
    """What the model wrote, or why it declines."""

    content: str | None = None
    refusal: str | None = None


class Choice(BaseModel):
    """One answer of a chat model."""

    message: Message
    finish_reason: str | None = None


class Completion(BaseModel):
    """The body of /chat/completions."""

    choices: list[Choice]


class Vector(BaseModel):
    """One embedding; index is the place of its text in the request."""

    index: int
    embedding: list[FiniteFloat]


class Vectors(BaseModel):
    """The body of /embeddings."""

    data: list[Vector]


class Segment(BaseModel):
    """One segment of a transcription; times in seconds.

    A server that leaves the probabilities out makes no claim: they default to a confident segment.
    """

    start: FiniteFloat
    end: FiniteFloat
    text: str
    no_speech_prob: FiniteFloat = 0.0
    avg_logprob: FiniteFloat = 0.0
    compression_ratio: FiniteFloat = 1.0


class Transcription(BaseModel):
    """The body of /audio/transcriptions as verbose_json."""

    text: str
    segments: list[Segment] | None = None
    language: str | None = None  # its English name


def segments_of(heard: Transcription, *, start_ms: int, end_ms: int) -> list[WhisperSegment]:
    """The segments of one piece of audio, on the clock of the whole.

    A server without segments still gives the words of the piece.
    """
    whole = Segment(start=0, end=(end_ms - start_ms) / 1000, text=heard.text)
    return [
        WhisperSegment(
            start_ms=min(start_ms + max(round(segment.start * 1000), 0), end_ms),
            end_ms=min(start_ms + round(segment.end * 1000), end_ms),
            text=storable(segment.text),
            no_speech_prob=segment.no_speech_prob,
            avg_logprob=segment.avg_logprob,
            compression_ratio=segment.compression_ratio,
        )
        for segment in (heard.segments if heard.segments is not None else [whole])
    ]


def read_body(kind: type[Answer], body: bytes) -> Answer:
    """The body of an answer; raises Unavailable if it does not follow the protocol.

    The client itself hands on what a server sends, be it the HTML page of a proxy.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError:
        raise Unavailable(
            "The model API's answer does not follow the protocol.", code="bad_answer"
        ) from None
