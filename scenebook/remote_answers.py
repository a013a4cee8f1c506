"""The parts of an OpenAI-compatible API's answers that Scenebook reads, checked."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, FiniteFloat, ValidationError

from scenebook.errors import Unavailable

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
