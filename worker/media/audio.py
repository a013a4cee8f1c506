"""Writes the sound of a video as 16 kHz mono FLAC that starts with the video's first picture."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from numpy.typing import NDArray

RATE = 16_000
BLOCK = 4608
# Gaps and overlaps in the timestamps below this are jitter, and the sound runs on.
DRIFT_S = 0.1
# The loudest block of silence stays below this: -60 dB of full scale, in 16-bit levels.
SILENT_LEVEL = 33.0
# Sound that waits for the first picture to decode.
MAX_WAITING_FRAMES = 4000


class AudioWriter:
    """Takes decoded frames in order and keeps them aligned with the pictures."""

    def __init__(self, path: Path, *, max_duration_s: float) -> None:
        self._path = path
        self._max_samples = round(max_duration_s * RATE)
        self._resampler = av.AudioResampler("s16", "mono", RATE, frame_size=BLOCK)
        self._file: av.container.OutputContainer | None = None
        self._out: AudioStream | None = None
        self._codec: AudioCodecContext | None = None
        self._zero_s: float | None = None
        self._waiting: deque[av.AudioFrame] = deque()
        self._skip = 0
        self._rest: NDArray[np.int16] = np.zeros(0, np.int16)
        self._written = 0
        self._encoded = 0
        self._heard_s = 0.0
        self._started = False
        self._loudest = 0.0

    def align(self, zero_s: float) -> None:
        """Set the time of the first picture, in the container's seconds."""
        self._zero_s = zero_s
        while self._waiting:
            self._take(self._waiting.popleft(), zero_s)

    def add(self, frame: av.AudioFrame) -> None:
        """One decoded frame."""
        if self._zero_s is not None:
            self._take(frame, self._zero_s)
        elif len(self._waiting) < MAX_WAITING_FRAMES:
            self._waiting.append(frame)

    def close(self) -> tuple[Path | None, bool]:
        """Finish the file: its path, None if there was no sound; and whether it is silent."""
        if self._zero_s is None:
            self._waiting.clear()
        if self._started:
            self._resample(None)
            if len(self._rest):
                self._encode(self._rest)
        if self._file is None or self._out is None:
            return None, True
        self._file.mux(self._out.encode(None))
        self._file.close()
        return self._path, self._loudest < SILENT_LEVEL

    def abandon(self) -> None:
        """Close and remove the file after an error."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self._path.unlink(missing_ok=True)

    def _take(self, frame: av.AudioFrame, zero_s: float) -> None:
        if frame.pts is None or frame.time_base is None:
            at_s = self._heard_s
        else:
            at_s = float(frame.pts * frame.time_base) - zero_s
        if not self._started:
            self._start(at_s)
        drift_s = at_s - self._heard_s
        if drift_s > DRIFT_S:
            self._resample(None)
            self._resampler = av.AudioResampler("s16", "mono", RATE, frame_size=BLOCK)
            self._silence(round(drift_s * RATE))
            self._heard_s = at_s
        elif drift_s < -DRIFT_S:
            return  # this stretch of time has its sound already
        self._heard_s += frame.samples / frame.sample_rate
        frame.pts = None
        self._resample(frame)

    def _start(self, at_s: float) -> None:
        self._started = True
        self._heard_s = at_s
        if at_s > 0:
            self._silence(round(at_s * RATE))
        else:
            self._skip = round(-at_s * RATE)

    def _silence(self, samples: int) -> None:
        samples = min(samples, self._max_samples - self._written)
        while samples > 0:
            block = min(samples, 64 * BLOCK)
            self._keep(np.zeros(block, np.int16))
            samples -= block

    def _resample(self, frame: av.AudioFrame | None) -> None:
        for block in self._resampler.resample(frame):
            samples = np.asarray(block.to_ndarray().ravel(), np.int16)
            if self._skip:
                skipped = min(self._skip, len(samples))
                self._skip -= skipped
                samples = samples[skipped:]
            self._keep(samples)

    def _keep(self, samples: NDArray[np.int16]) -> None:
        samples = samples[: max(0, self._max_samples - self._written)]
        self._written += len(samples)
        self._rest = np.concatenate((self._rest, samples)) if len(self._rest) else samples
        whole = len(self._rest) - len(self._rest) % BLOCK
        for first in range(0, whole, BLOCK):
            self._encode(self._rest[first : first + BLOCK])
        self._rest = self._rest[whole:]

    def _encode(self, samples: NDArray[np.int16]) -> None:
        if self._file is None or self._out is None:
            self._file = av.open(str(self._path), "w", format="flac")
            self._out = self._file.add_stream("flac", rate=RATE, layout="mono")
            self._out.codec_context.options = {"compression_level": "0"}
        level = samples.astype(np.float32)
        self._loudest = max(self._loudest, float(np.sqrt((level * level).mean())))
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples)[np.newaxis], format="s16", layout="mono"
        )
        frame.sample_rate = RATE
        frame.pts = self._encoded
        self._encoded += len(samples)
        self._file.mux(self._out.encode(frame))
