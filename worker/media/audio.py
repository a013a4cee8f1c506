"""Writes the sound of a video as 16 kHz mono FLAC that starts with the video's first picture."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from numpy.typing import NDArray

from worker.media.clock import MAX_STEP_BACK_S, MAX_STEP_S

RATE = 16_000
# Samples in one FLAC frame. The encoder's own choice at this rate is 256, whose cost is overhead.
BLOCK = 4608
FLAC_OPTIONS = {"compression_level": "0", "frame_size": str(BLOCK)}
# Source samples that are resampled in one go, for the same reason.
SAMPLES_AT_ONCE = 16_384
# Half of FFmpeg's default filter: speech needs no steeper one.
RESAMPLER_OPTIONS = {"filter_size": "16"}
# Gaps and overlaps in the timestamps below this are jitter, and the sound runs on.
DRIFT_S = 0.1
# The loudest block of silence stays below this: -60 dB of full scale, in 16-bit levels.
SILENT_LEVEL = 33.0
# Sound that waits for the first picture to decode.
MAX_WAITING_FRAMES = 4000


class AudioWriter:
    """Takes decoded frames in order and keeps them aligned with the pictures."""

    def __init__(self, path: Path, *, max_duration_s: float) -> None:
        self.path = path
        self._max_samples = round(max_duration_s * RATE)
        self._mixdown = _Mixdown()
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
        self._shift_s = 0.0  # what restarts of the file's clock have added up to
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
            self._keep_all(self._mixdown.flush())
            if len(self._rest):
                self._encode(self._rest)
        if self._file is None or self._out is None:
            return None, True
        self._file.mux(self._out.encode(None))
        self._file.close()
        return self.path, self._loudest < SILENT_LEVEL

    def abandon(self) -> None:
        """Close and remove the file after an error."""
        if self._file is not None:
            with suppress(av.error.FFmpegError):  # what could not be written before cannot be now
                self._file.close()
            self._file = None
            self.path.unlink(missing_ok=True)

    def _take(self, frame: av.AudioFrame, zero_s: float) -> None:
        time_s = frame.time
        at_s = self._heard_s if time_s is None else time_s - zero_s + self._shift_s
        if not self._started:
            self._start(at_s)
        drift_s = at_s - self._heard_s
        if drift_s < -MAX_STEP_BACK_S or drift_s > MAX_STEP_S:
            # The clock restarted, as between files that were joined; the pictures go on likewise.
            self._shift_s -= drift_s
            drift_s = 0.0
        if drift_s > DRIFT_S:
            self._keep_all(self._mixdown.flush())
            self._silence(round(drift_s * RATE))
            self._heard_s = at_s
        elif drift_s < -DRIFT_S:
            return  # this stretch of time has its sound already
        self._heard_s += frame.samples / frame.sample_rate
        self._keep_all(self._mixdown.add(frame))

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

    def _keep_all(self, blocks: list[NDArray[np.int16]]) -> None:
        for samples in blocks:
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
            self._file = av.open(str(self.path), "w", format="flac")
            self._out = self._file.add_stream("flac", rate=RATE, layout="mono")
            self._out.codec_context.options = FLAC_OPTIONS
        level = samples.astype(np.float32)
        self._loudest = max(self._loudest, float(np.sqrt((level * level).mean())))
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples)[np.newaxis], format="s16", layout="mono"
        )
        frame.sample_rate = RATE
        frame.pts = self._encoded
        self._encoded += len(samples)
        self._file.mux(self._out.encode(frame))


class _Mixdown:
    """Makes 16 kHz mono of decoded frames, a third of a second or more at a time."""

    def __init__(self) -> None:
        self._kind: tuple[str, int, int] | None = None
        self._fifo = av.AudioFifo()
        self._resampler: av.AudioResampler | None = None

    def add(self, frame: av.AudioFrame) -> list[NDArray[np.int16]]:
        """Samples that became ready with this frame, which loses its timestamp."""
        # The buffer does not check the channels itself, and a broadcast may change them midway.
        kind = (frame.format.name, frame.layout.nb_channels, frame.sample_rate)
        ready = []
        if kind != self._kind:
            ready = self.flush()
            self._kind = kind
            self._fifo = av.AudioFifo()
            self._resampler = av.AudioResampler("s16", "mono", RATE, options=RESAMPLER_OPTIONS)
        frame.pts = None
        self._fifo.write(frame)
        if self._fifo.samples >= SAMPLES_AT_ONCE:
            ready += self._resampled(self._fifo.read())
        return ready

    def flush(self) -> list[NDArray[np.int16]]:
        """The rest; the next frame starts anew."""
        if self._kind is None:
            return []
        self._kind = None
        rest = self._resampled(self._fifo.read()) if self._fifo.samples else []
        return rest + self._resampled(None)

    def _resampled(self, frame: av.AudioFrame | None) -> list[NDArray[np.int16]]:
        assert self._resampler is not None
        blocks = self._resampler.resample(frame)
        return [np.asarray(block.to_ndarray().ravel(), np.int16) for block in blocks]
