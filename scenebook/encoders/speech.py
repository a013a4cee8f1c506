"""Speech to utterances in the inference child: voice detection, faster-whisper, then the gate."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenebook.errors import InvalidMedia, ModelUnavailable
from scenebook.transcripts import GatedSpeech, WhisperSegment, gate_speech

SAMPLES_PER_S = 16_000
# Speech is transcribed in stretches of about this length, cut at silences: Whisper's features of
# six hours at once would take gigabytes.
STRETCH_S = 600
# A silence this long separates two stretches of speech (faster-whisper's own default).
SILENCE_MS = 2000
MODEL_EXTRA = (
    "Local transcription needs the packages of the extra 'speech' ({}): pip install "
    "'scenebook[speech]', give a subtitle file, or set TRANSCRIPTION_PROVIDER=openai."
)

Span = tuple[int, int]


class Speech:
    """One audio file in memory (mono, 16 kHz, float32) and the spans that hold speech, in samples.

    Needs no model weights: the voice detector (Silero VAD) is part of the faster-whisper package.
    """

    def __init__(self, path: str) -> None:
        try:
            from faster_whisper import decode_audio
            from faster_whisper.vad import VadOptions, get_speech_timestamps
        except ImportError as error:
            raise ModelUnavailable(MODEL_EXTRA.format(error)) from error
        try:
            self.samples: NDArray[np.float32] = decode_audio(path, sampling_rate=SAMPLES_PER_S)
        except (OSError, ValueError, IndexError, EOFError) as error:
            # What the decoder says names the temporary file and nothing else of use.
            raise InvalidMedia("The audio cannot be decoded.") from error
        options = VadOptions(min_silence_duration_ms=SILENCE_MS, max_speech_duration_s=STRETCH_S)
        found = get_speech_timestamps(self.samples, options) if self.samples.size else []
        self.spans: list[Span] = [(int(span["start"]), int(span["end"])) for span in found]

    @property
    def total_ms(self) -> int:
        """Length of the audio."""
        return self.samples.size * 1000 // SAMPLES_PER_S

    @property
    def speech_ms(self) -> int:
        """How much of it the voice detector calls speech."""
        return sum(end - start for start, end in self.spans) * 1000 // SAMPLES_PER_S

    def stretches(self) -> Iterator[Span]:
        """The spans joined, with the silences between them, up to STRETCH_S seconds each."""
        start, end = self.spans[0]
        for next_start, next_end in self.spans[1:]:
            if next_end - start > STRETCH_S * SAMPLES_PER_S:
                yield start, end
                start = next_start
            end = next_end
        yield start, end


class SpeechModel:
    """A loaded faster-whisper model, by name (from the hub) or directory.

    Raises ModelUnavailable with what to do.
    """

    def __init__(self, *, name: str, threads: int) -> None:
        try:
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise ModelUnavailable(MODEL_EXTRA.format(error)) from error
        try:
            self._model: Any = WhisperModel(
                name,
                device="auto",
                compute_type="default" if os.path.isdir(name) else "int8",
                cpu_threads=threads,
            )
        except Exception as error:  # the door to CTranslate2's and the hub's loaders
            raise ModelUnavailable(
                f"Whisper model {name} cannot be loaded ({type(error).__name__}). Its weights are "
                "downloaded on first use, which needs the network; else set WHISPER_MODEL to a "
                "directory that holds a CTranslate2 Whisper model, or give a subtitle file."
            ) from error

    def transcribe(
        self, speech: Speech, *, language: str | None, report: Callable[[float], None]
    ) -> GatedSpeech:
        """The believable utterances; `report` is told the share of the audio that is done, 0 to 1.

        Greedy decoding (beam 1) takes half of beam 5's time. Text is not conditioned on what came
        before, which is how Whisper's loops spread. The first stretch decides the language.
        """
        segments: list[WhisperSegment] = []
        for start, end in speech.stretches() if speech.spans else ():
            found, info = self._model.transcribe(
                speech.samples[start:end],
                language=language,
                beam_size=1,
                condition_on_previous_text=False,
                vad_filter=True,
                vad_parameters={"min_silence_duration_ms": SILENCE_MS},
            )
            offset_ms = start * 1000 // SAMPLES_PER_S
            for segment in found:
                segments.append(_segment(segment, offset_ms))
                report(min(1.0, segments[-1].end_ms / speech.total_ms))
            language = language or info.language
        gated = gate_speech(segments, speech_ms=speech.speech_ms, total_ms=speech.total_ms)
        return replace(gated, language=language)


def _segment(segment: Any, offset_ms: int) -> WhisperSegment:
    return WhisperSegment(
        start_ms=offset_ms + round(segment.start * 1000),
        end_ms=offset_ms + round(segment.end * 1000),
        text=segment.text,
        no_speech_prob=segment.no_speech_prob,
        avg_logprob=segment.avg_logprob,
        compression_ratio=segment.compression_ratio,
    )
