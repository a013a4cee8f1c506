"""Audio files cut into pieces that a transcription API takes, at quiet moments."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scenebook.errors import InvalidMedia

# The API's limit is 25 MB; four minutes of 16 kHz mono FLAC are at most 8 MB, are transcribed well
# within one call's time bound, and are little to pay again should a call fail.
PIECE_S = 240
# The cut is made at the quietest tenth of a second among the piece's last seconds.
SEARCH_S = 20
WINDOW_S = 0.1
# -60 dB of full scale: nobody speaks in there, so nobody pays for it.
SILENT_PEAK = 33


@dataclass(frozen=True, slots=True)
class AudioPiece:
    """Part of an audio file of total_ms, as a FLAC file of its own; times in milliseconds."""

    start_ms: int
    end_ms: int
    total_ms: int
    flac: bytes


def audio_pieces(audio: Path, *, piece_s: int = PIECE_S) -> Iterator[AudioPiece]:
    """The pieces of an audio file that are not silent, in order, none longer than piece_s.

    audio: anything that libsndfile reads (FLAC, WAV, Ogg); mono is made of several channels.
    Raises InvalidMedia if the file cannot be read.
    """
    import soundfile

    try:
        with soundfile.SoundFile(audio) as source:
            rate = source.samplerate
            start = 0
            while start < source.frames:
                source.seek(start)
                samples = source.read(piece_s * rate, dtype="int16", always_2d=True)
                if not len(samples):
                    return
                mono = samples.mean(axis=1).astype(np.int16)
                if start + len(mono) < source.frames:
                    mono = mono[: _quiet_cut(mono, rate)]
                if np.abs(mono.astype(np.int32)).max() > SILENT_PEAK:
                    flac = io.BytesIO()
                    soundfile.write(flac, mono, rate, format="FLAC", subtype="PCM_16")
                    start_ms, end_ms, total_ms = (
                        at * 1000 // rate for at in (start, start + len(mono), source.frames)
                    )
                    yield AudioPiece(start_ms, end_ms, total_ms, flac.getvalue())
                start += len(mono)
    except (soundfile.LibsndfileError, OSError) as error:
        raise InvalidMedia(f"The audio track cannot be read: {error}", code="bad_audio") from error


def _quiet_cut(mono: NDArray[np.int16], rate: int) -> int:
    """Index of the middle of the quietest window near the end of mono, shape (samples,)."""
    window = max(int(WINDOW_S * rate), 1)
    # Half of the piece at most, so that every piece gets on.
    searched = min(SEARCH_S * rate, len(mono) // 2)
    count = searched // window
    if count == 0:
        return len(mono)
    tail = mono[len(mono) - count * window :].astype(np.float64)
    energy = np.square(tail).reshape(count, window).sum(axis=1)
    # The last of equals: long pieces are fewer pieces.
    quietest = count - 1 - int(np.argmin(energy[::-1]))
    return len(mono) - count * window + quietest * window + window // 2
