"""One pass over a file: every packet is read once and every frame decoded once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import av
import cv2

from scenebook.errors import InvalidMedia
from worker.media.audio import AudioWriter
from worker.media.clock import VideoClock
from worker.media.cuts import CutDetector, FrameFeatures, Thumb, difference
from worker.media.damage import TOLERANCE_MS, Damage
from worker.media.difference_cuts import DifferenceCutDetector
from worker.media.keyframes import CandidatePool
from worker.media.opening import Source, open_source
from worker.media.pictures import thumb_of
from worker.media.probe import describe, is_encrypted, pixel_aspect
from worker.media.scenes import SceneBuilder
from worker.media.sound import SoundTrack
from worker.media.stills import Stills
from worker.media.subtitles import SubtitleReader
from worker.media.types import MediaInfo, MediaLimits, Segmentation

PROGRESS_S = 0.5
AUDIO_NAME = "audio.flac"
# This many broken packets without one picture: there is no point in going on.
HOPELESS_PACKETS = 500
# High-speed cameras stay below this on average; what is above costs hours and shows nothing.
MAX_PICTURES_A_SECOND = 1000
# A burst may be denser.
BURST_S = 10

Progress = Callable[[float], None]
Packet: TypeAlias = "av.Packet[Any]"  # PyAV's class is generic for type checkers only


def segment(path: Path, out_dir: Path, limits: MediaLimits, on_progress: Progress) -> Segmentation:
    """Cut a file into scenes and write keyframes and sound to out_dir.

    on_progress gets a fraction, 0 to 1, about twice a second. Raises InvalidMedia if no picture of
    the file can be decoded, or if it is over the limits.
    """
    cv2.setNumThreads(1)  # the decoder's threads use the cores
    source = open_source(path, limits)
    with source.container:
        reading = _Pass(source, out_dir, limits, on_progress)
        try:
            return reading.run()
        finally:
            reading.stop()


class _Pass:
    """The state of one pass."""

    def __init__(
        self, source: Source, out_dir: Path, limits: MediaLimits, on_progress: Progress
    ) -> None:
        self._source = source
        self._out_dir = out_dir
        self._limits = limits
        self._progress = _Pacer(source, on_progress)
        self._damage = Damage(notes=list(source.notes))
        rate = source.video.average_rate
        self._clock = VideoClock(
            float(source.video.time_base or 0), float(1 / rate) if rate else None
        )
        self._detector: CutDetector = DifferenceCutDetector()
        self._sound: SoundTrack | None = None
        if source.audio is not None:
            writer = AudioWriter(out_dir / AUDIO_NAME, max_duration_s=limits.max_duration_s)
            self._sound = SoundTrack(writer, self._damage)
        self._text = SubtitleReader(self._damage) if source.subtitles is not None else None
        self._info: MediaInfo | None = None
        self._pool: CandidatePool | None = None
        self._scenes: SceneBuilder | None = None
        self._thumb: Thumb | None = None
        self._frames = 0

    def run(self) -> Segmentation:
        """Read the file to its end."""
        source = self._source
        for packet in self._packets():
            if packet.stream is source.video:
                self._read_video(packet)
            elif packet.stream is source.audio and self._sound is not None:
                self._sound.add(packet)
            else:
                self._read_text(packet)
        if self._info is None or self._scenes is None:
            raise InvalidMedia(
                "No picture of the video could be decoded: the file is damaged.",
                code="undecodable",
            )
        for cut in self._detector.process(None):
            self._scenes.cut(cut)
        decoded_ms = max(1, round(1000 * self._clock.end_s))
        audio_path, silent = self._sound.close() if self._sound is not None else (None, True)
        zero_ms = round(1000 * (self._clock.zero_s or 0.0))
        info = self._from_zero(self._info, zero_ms, decoded_ms)
        return Segmentation(
            info=info,
            decoded_ms=decoded_ms,
            frames=self._frames,
            scenes=self._scenes.finish(decoded_ms),
            audio_path=audio_path,
            audio_silent=silent,
            subtitles=self._text.utterances(zero_ms, decoded_ms) if self._text else (),
            damage=self._damage.sentence(decoded_ms, info.duration_ms),
        )

    def _from_zero(self, info: MediaInfo, zero_ms: int, decoded_ms: int) -> MediaInfo:
        """The description with a length counted from the first picture, as all times are.

        Matroska's writers count from 0, so that a part of a broadcast claims the time before it.
        """
        claimed_ms = info.duration_ms
        if claimed_ms is None or not info.container.startswith("matroska"):
            return info
        if not 0 < zero_ms <= claimed_ms + TOLERANCE_MS - decoded_ms:
            return info
        return replace(info, duration_ms=max(decoded_ms, claimed_ms - zero_ms))

    def stop(self) -> None:
        """Leave no thread behind that uses the file."""
        if self._sound is not None:
            self._sound.stop()

    def _packets(self) -> Iterator[Packet]:
        """Packets of the chosen streams, then an empty one for each to empty its decoder."""
        source = self._source
        streams = [s for s in (source.video, source.audio, source.subtitles) if s is not None]
        try:
            for packet in source.container.demux(streams):
                if packet.stream is source.video:
                    self._progress.packet(packet)
                yield packet
        except av.error.FFmpegError:
            self._damage.ended_early = True
            for stream in streams:
                last: Packet = av.Packet()
                last.stream = stream
                yield last

    def _read_video(self, packet: Packet) -> None:
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            if self._frames == 0 and is_encrypted(packet):
                raise InvalidMedia(
                    "The video is encrypted (copy-protected) and cannot be read without its key.",
                    code="encrypted",
                ) from None
            self._damage.broken_packets += 1
            if self._frames == 0 and self._damage.broken_packets > HOPELESS_PACKETS:
                raise InvalidMedia(
                    "No picture of the video could be decoded: the file is damaged.",
                    code="undecodable",
                ) from None
            return
        for frame in frames:
            self._read_frame(frame)

    def _read_frame(self, frame: av.VideoFrame) -> None:
        if frame.is_corrupt:
            self._damage.broken_packets += 1
        at_ms = self._clock.at_ms(frame)
        if at_ms is None:
            return
        if at_ms > 1000 * self._limits.max_duration_s:
            raise InvalidMedia(
                f"The video lasts longer than {self._limits.max_duration_s:.0f} s, the most that "
                "is accepted.",
                code="too_long",
            )
        if self._pool is None or self._scenes is None:
            self._pool, self._scenes = self._begin(frame)
        thumb = thumb_of(frame)
        change = difference(self._thumb, thumb) if self._thumb is not None else 0.0
        self._thumb = thumb
        if self._pool.wants(at_ms, change):
            self._pool.offer(at_ms, frame, change)
        for cut in self._detector.process(FrameFeatures(at_ms, thumb, change)):
            self._scenes.cut(cut)
        self._frames += 1
        if self._frames > MAX_PICTURES_A_SECOND * (BURST_S + at_ms / 1000):
            raise InvalidMedia(
                f"The video has more than {MAX_PICTURES_A_SECOND} pictures a second. Convert it to "
                "a usual rate.",
                code="too_many_pictures",
            )

    def _begin(self, frame: av.VideoFrame) -> tuple[CandidatePool, SceneBuilder]:
        """What depends on the first picture."""
        self._info = describe(self._source, frame)
        if self._sound is not None:
            self._sound.align(float(self._clock.zero_s or 0.0))
        pool = CandidatePool(self._out_dir, Stills(frame, pixel_aspect(self._source.video)))
        return pool, SceneBuilder(pool, self._limits)

    def _read_text(self, packet: Packet) -> None:
        if self._text is None:
            return
        try:
            self._text.add(packet)
        except av.error.FFmpegError:
            self._damage.broken_text += 1


class _Pacer:
    """Reports progress by time where the length is known, by bytes elsewhere."""

    def __init__(self, source: Source, on_progress: Progress) -> None:
        self._source = source
        self._report = on_progress
        self._next = 0.0  # the first packet is a sign of life
        self._done = 0.0

    def packet(self, packet: Packet) -> None:
        """One packet of the video was read."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + PROGRESS_S
        declared_ms = self._source.declared_ms
        if declared_ms is not None and packet.pts is not None:
            start = self._source.video.start_time or 0
            fraction = 1000 * float((packet.pts - start) * packet.time_base) / declared_ms
        elif packet.pos is not None:
            fraction = packet.pos / self._source.size_bytes
        else:
            return
        self._done = min(1.0, max(self._done, fraction))
        self._report(self._done)
