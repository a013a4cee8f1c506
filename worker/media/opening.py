"""Opens a file that may be hostile: only known containers, codecs and sizes get to a decoder."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.codec import Codec, codecs_available
from av.codec.codec import UnknownCodecError
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.subtitles.stream import SubtitleStream
from av.video.stream import VideoStream

from scenebook.errors import InvalidMedia
from worker.media.types import MediaLimits

# Playlists (hls, dash, concat, sdp) are absent on purpose: they open other files and hosts, and a
# protocol list alone does not stop that.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,flac,mp3,wav"
VIDEO_CODECS = frozenset(
    (
        "h264",
        "hevc",
        "av1",
        "vp8",
        "vp9",
        "mpeg1video",
        "mpeg2video",
        "mpeg4",
        "msmpeg4v1",
        "msmpeg4v2",
        "msmpeg4v3",
        "h263",
        "h263p",
        "flv1",
        "vc1",
        "wmv1",
        "wmv2",
        "wmv3",
        "theora",
        "mjpeg",
        "prores",
        "dnxhd",
        "dvvideo",
        "vp6",
        "vp6f",
        "rawvideo",
        "ffv1",
    )
)
AUDIO_CODECS = frozenset(
    (
        "aac",
        "aac_latm",
        "mp3",
        "mp2",
        "mp1",
        "ac3",
        "eac3",
        "dts",
        "truehd",
        "opus",
        "vorbis",
        "flac",
        "alac",
        "amr_nb",
        "amr_wb",
        "wmav1",
        "wmav2",
        "wmapro",
        "pcm_s16le",
        "pcm_s16be",
        "pcm_s24le",
        "pcm_s24be",
        "pcm_s32le",
        "pcm_f32le",
        "pcm_u8",
        "pcm_mulaw",
        "pcm_alaw",
        "adpcm_ms",
        "adpcm_ima_wav",
        "adpcm_ima_qt",
        "adpcm_swf",
        "speex",
        "gsm",
        "gsm_ms",
        "nellymoser",
    )
)
SUBTITLE_CODECS = frozenset(["subrip", "srt", "ass", "ssa", "mov_text", "webvtt", "text"])


def _canonical(name: str) -> str | None:
    """The codec that a decoder of this name reads; None for what only encodes."""
    try:
        return Codec(name, "r").canonical_name
    except UnknownCodecError:
        return None


# Opening a file already decodes its first packets, to learn what the container does not say; this
# list is of decoders (libdav1d), the ones above are of codecs (av1).
DECODERS = sorted(
    name
    for name in codecs_available
    if _canonical(name) in VIDEO_CODECS | AUDIO_CODECS | SUBTITLE_CODECS
)
OPTIONS = {
    "format_whitelist": FORMATS,
    "codec_whitelist": ",".join(DECODERS),
    # The file is opened here; FFmpeg gets its descriptor and can open nothing by a name.
    "protocol_whitelist": "fd",
    "probesize": str(32 * 2**20),
    "analyzeduration": "10000000",
}
NO_MOTION = Disposition.attached_pic | Disposition.still_image | Disposition.timed_thumbnails
ASIDE = Disposition.comment | Disposition.visual_impaired | Disposition.descriptions
# Frame threads multiply the pictures in memory, and past a few cores the demuxer is the limit.
MAX_THREADS = 8
# A file may claim any length. Fewer bits a second than this cannot carry pictures.
BOGUS_BITS_PER_SECOND = 50


@dataclass(frozen=True, slots=True)
class Source:
    """An open file and the streams chosen from it; notes say what was left out and why."""

    container: InputContainer
    size_bytes: int
    video: VideoStream
    audio: AudioStream | None
    subtitles: SubtitleStream | None
    declared_ms: int | None
    notes: tuple[str, ...]


def open_source(path: Path, limits: MediaLimits) -> Source:
    """Open a file for one pass over its best streams. Raises InvalidMedia."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        opened = os.fstat(descriptor)
        if not stat.S_ISREG(opened.st_mode):
            raise InvalidMedia("This is no regular file.", code="not_media")
        size_bytes = opened.st_size
        if size_bytes == 0:
            raise InvalidMedia("The file is empty: it has 0 bytes.", code="empty")
        streams = str(max(limits.max_streams, 1) + 1)
        options = {**OPTIONS, "fd": str(descriptor), "max_streams": streams}
        container = av.open("fd:", options=options, metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise _refusal(error) from None
    finally:
        os.close(descriptor)  # FFmpeg has a copy
    try:
        return _choose(container, size_bytes, limits)
    except BaseException:
        container.close()
        raise


def _refusal(error: av.error.FFmpegError) -> InvalidMedia:
    """What av.open's error means to a person."""
    if isinstance(error, av.error.MemoryError):
        # FFmpeg's answer to a stream too many; also to a header that asks for absurd amounts.
        return InvalidMedia(
            "The file has too many streams, or asks for more memory than a video can need.",
            code="too_many_streams",
        )
    if isinstance(error, av.error.ArgumentError):
        # Recognised, but not on the list of formats: a playlist or a subtitle file, for instance.
        return InvalidMedia(
            "This kind of file is not accepted. Upload a video file such as MP4, MOV, WebM, MKV "
            "or AVI; playlists are not videos.",
            code="unsupported_container",
        )
    return InvalidMedia(
        "The file is not a video that can be read: it has no valid header, or it is damaged.",
        code="not_media",
    )


def codec_name(stream: Stream) -> str | None:
    """The codec's own name (av1), not that of the decoder in use (libdav1d)."""
    context = stream.codec_context
    return context.codec.canonical_name if context is not None else None


def _choose(container: InputContainer, size_bytes: int, limits: MediaLimits) -> Source:
    if len(container.streams) > limits.max_streams:
        raise InvalidMedia(
            f"The file has {len(container.streams)} streams or more; at most {limits.max_streams} "
            "are accepted.",
            code="too_many_streams",
        )
    notes: list[str] = []
    video = _best_video(container, limits)
    audio = _best_audio(container, notes)
    for stream in (video, audio):
        if stream is not None:
            stream.codec_context.thread_type = "AUTO"
            if (os.cpu_count() or 1) > MAX_THREADS:
                stream.codec_context.thread_count = MAX_THREADS
            # The header's size was checked; this also holds when the picture grows mid-stream.
            stream.codec_context.options = {"max_pixels": str(limits.max_pixels)}
    declared_ms = _declared_ms(container, video, size_bytes, limits)
    texts = [s for s in container.streams.subtitles if codec_name(s) in SUBTITLE_CODECS]
    texts.sort(key=lambda s: (not s.disposition & Disposition.default, s.index))
    return Source(
        container,
        size_bytes,
        video,
        audio,
        texts[0] if texts else None,
        declared_ms,
        tuple(notes),
    )


def _best_video(container: InputContainer, limits: MediaLimits) -> VideoStream:
    moving = [s for s in container.streams.video if not s.disposition & NO_MOTION]
    if not moving:
        raise InvalidMedia(
            "The file has no video, only sound or a cover picture."
            if container.streams.audio
            else "The file has no video.",
            code="no_video",
        )
    known = [s for s in moving if codec_name(s) in VIDEO_CODECS]
    if not known:
        raise InvalidMedia(
            f"Video in the codec {codec_name(moving[0]) or 'unknown'} is not accepted. Convert it "
            "to H.264, HEVC, VP9 or AV1.",
            code="unsupported_codec",
        )
    best = max(known, key=lambda s: (s.width * s.height, s.disposition & Disposition.default))
    if best.width * best.height > limits.max_pixels:
        raise InvalidMedia(
            f"The picture has {best.width} × {best.height} pixels; at most "
            f"{limits.max_pixels:,} are accepted.",
            code="too_large",
        )
    return best


def _best_audio(container: InputContainer, notes: list[str]) -> AudioStream | None:
    streams = container.streams.audio
    known = [s for s in streams if codec_name(s) in AUDIO_CODECS and s.rate]
    if streams and not known:
        notes.append(f"sound in the codec {codec_name(streams[0]) or 'unknown'} was left out")
    return max(
        known,
        key=lambda s: (
            not s.disposition & ASIDE,
            bool(s.disposition & Disposition.default),
            s.channels,
            -s.index,
        ),
        default=None,
    )


def _declared_ms(
    container: InputContainer, video: VideoStream, size_bytes: int, limits: MediaLimits
) -> int | None:
    """The length the file claims, or None if it does not know or cannot be right."""
    if video.duration is not None and video.time_base is not None:
        declared_ms = round(1000 * video.duration * video.time_base)
    elif container.duration is not None:
        declared_ms = round(container.duration / (av.time_base / 1000))
    else:
        return None
    if declared_ms <= 0:
        return None
    if declared_ms <= 1000 * limits.max_duration_s:
        return declared_ms
    indexed = _last_indexed_ms(video)
    bogus = 8000 * size_bytes / declared_ms < BOGUS_BITS_PER_SECOND
    if bogus and (indexed is None or indexed <= 1000 * limits.max_duration_s):
        return None
    raise InvalidMedia(
        f"The video lasts {declared_ms / 1000:.0f} s; at most {limits.max_duration_s:.0f} s are "
        "accepted.",
        code="too_long",
    )


def _last_indexed_ms(video: VideoStream) -> int | None:
    entries = video.index_entries
    if not len(entries) or video.time_base is None:
        return None
    return round(1000 * entries[-1].timestamp * video.time_base)
