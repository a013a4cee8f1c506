"""The parts of an OpenAI-compatible API's answers that Scenebook reads, checked."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    AliasChoices,
    BaseModel,
    Field,
    FiniteFloat,
    NonNegativeInt,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from scenebook import metrics
from scenebook.errors import Unavailable
from scenebook.subtitles import storable
from scenebook.transcripts import WhisperSegment


class Usage(BaseModel):
    """What an answer says it cost, in tokens; chats and transcriptions name them differently."""

    input: NonNegativeInt = Field(0, validation_alias=AliasChoices("prompt_tokens", "input_tokens"))
    output: NonNegativeInt = Field(
        0, validation_alias=AliasChoices("completion_tokens", "output_tokens")
    )


def _or_nothing(given: Any, read: ValidatorFunctionWrapHandler) -> Any:
    """An answer is as good when its account of itself is odd."""
    try:
        return read(given)
    except ValidationError:
        return None


class Paid(BaseModel):
    """The body of an answer that somebody pays for."""

    service: ClassVar[str]
    usage: Annotated[Usage | None, WrapValidator(_or_nothing)] = Field(None, exclude=True)


Answer = TypeVar("Answer", bound=Paid)


class Message(BaseModel):
    """What the model wrote, or why it declines."""

    content: str | None = None
    refusal: str | None = None


class Choice(BaseModel):
    """One answer of a chat model."""

    message: Message
    finish_reason: str | None = None


class Completion(Paid):
    """The body of /chat/completions."""

    service = "description"
    choices: list[Choice]


class Vector(BaseModel):
    """One embedding; index is the place of its text in the request."""

    index: int
    embedding: list[FiniteFloat]


class Vectors(Paid):
    """The body of /embeddings."""

    service = "embedding"
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


class Transcription(Paid):
    """The body of /audio/transcriptions as verbose_json."""

    service = "transcription"
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
    """The body of an answer, its tokens counted; Unavailable if it does not follow the protocol.

    The client itself hands on what a server sends, be it the HTML page of a proxy.
    """
    try:
        answer = kind.model_validate_json(body)
    except ValidationError:
        raise Unavailable(
            "The model API's answer does not follow the protocol.", code="bad_answer"
        ) from None
    if answer.usage is not None:
        metrics.UPSTREAM_TOKENS.labels(kind.service, "input").inc(answer.usage.input)
        metrics.UPSTREAM_TOKENS.labels(kind.service, "output").inc(answer.usage.output)
    return answer
