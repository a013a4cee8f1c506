"""What real, odd, damaged and hostile files get: a description and scenes, or a plain reason."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from scenebook.errors import InvalidMedia
from tests import clips
from tests.test_segmentation import LIMITS, segmented
from worker.media.probe import json_safe, probe
from worker.media.segment import segment
from worker.media.types import Segmentation

EDGE = Path(__file__).parent / "media" / "edge"


def read(name: str, out: Path) -> Segmentation:
    return segment(EDGE / name, out, LIMITS, lambda fraction: None)


def refusal(path: Path, out: Path) -> str:
    """The code with which both probe and segment refuse a file."""
    with pytest.raises(InvalidMedia) as probed:
        probe(path, LIMITS)
    with pytest.raises(InvalidMedia) as read_:
        segment(path, out, LIMITS, lambda fraction: None)
    assert probed.value.code == read_.value.code
    assert not probed.value.retryable
    assert str(probed.value).endswith(".")
    return probed.value.code


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("zero_bytes.webm", "empty"),
        ("malformed_free_box.mp4", "not_media"),
        ("audio_only_editlist.mp4", "no_video"),
        ("flac_with_cover_picture.flac", "no_video"),
        ("invalid_bitstream.webm", "undecodable"),
    ],
)
def test_what_is_no_video_is_refused_with_its_reason(name: str, code: str, tmp_path: Path) -> None:
    assert refusal(EDGE / name, tmp_path) == code


@pytest.mark.parametrize(
    "content",
    [
        b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nother.ts\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile other.mp4\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
        b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
        b"1\n00:00:00,000 --> 00:00:01,000\nHello\n",
        b"PK\x03\x04" + bytes(500),
        bytes(range(256)) * 40,
    ],
)
def test_playlists_and_other_files_named_mp4_are_refused(content: bytes, tmp_path: Path) -> None:
    clips.write(tmp_path / "other.mp4", clips.still(1, 5))
    hostile = tmp_path / "hostile.mp4"
    hostile.write_bytes(content)
    assert refusal(hostile, tmp_path) in {"unsupported_container", "not_media"}


def test_a_codec_off_the_list_never_reaches_its_decoder(tmp_path: Path) -> None:
    path = clips.write(
        tmp_path / "magic.avi", clips.still(1, 5), codec="magicyuv", pixels="yuv420p"
    )
    assert refusal(path, tmp_path) == "unsupported_codec"


def test_the_limits_are_kept(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "fine.mp4", clips.still(1, 100), sound=None)
    probe(path, LIMITS)
    for limits, code in (
        (replace(LIMITS, max_pixels=1000), "too_large"),
        (replace(LIMITS, max_duration_s=2), "too_long"),
        (replace(LIMITS, max_streams=0), "too_many_streams"),
    ):
        with pytest.raises(InvalidMedia) as refused:
            probe(path, limits)
        assert refused.value.code == code


def test_a_length_that_is_not_declared_is_still_limited(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "undeclared.ts", clips.still(1, 100))
    with pytest.raises(InvalidMedia) as refused:
        segmented(path, replace(LIMITS, max_duration_s=2))
    assert refused.value.code == "too_long"


def test_a_bogus_duration_does_not_refuse_a_short_video(tmp_path: Path) -> None:
    found = read("fragmented_bogus_duration.mp4", tmp_path)
    assert found.decoded_ms == pytest.approx(1000, abs=50)


def test_a_corrupt_file_is_indexed_as_far_as_it_can_be_read(tmp_path: Path) -> None:
    found = read("corrupted.mp4", tmp_path)
    assert found.scenes
    assert found.damage is not None
    assert "damaged" in found.damage


def test_a_truncated_file_says_how_much_is_missing(tmp_path: Path) -> None:
    whole = clips.write(
        tmp_path / "whole.mkv", clips.noisy(clips.pan(1, 150), amount=10), fps=25
    ).read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole[: len(whole) // 2])
    found = segmented(cut)
    assert 1000 < found.decoded_ms < 4500
    assert found.damage is not None
    assert "of 6.0 s could be read" in found.damage
    assert found.scenes[-1].keyframes


def test_rotated_videos_have_upright_keyframes(tmp_path: Path) -> None:
    found = read("rotate_90.mov", tmp_path)
    assert (found.info.width, found.info.height, found.info.rotation) == (320, 568, 90)
    best = found.scenes[0].keyframes[0]
    shown = cv2.imread(str(best.path))
    assert shown is not None
    assert shown.shape[:2] == (best.height, best.width) == (568, 320)


def test_a_mirrored_video_is_turned_and_mirrored(tmp_path: Path) -> None:
    found = read("rotate_and_reflect.mp4", tmp_path)
    assert (found.info.width, found.info.height) == (720, 1080)


def test_pixels_that_are_not_square_are_made_so(tmp_path: Path) -> None:
    found = read("weird_aspect.mpg", tmp_path)
    assert (found.info.width, found.info.height) == (501, 288)
    assert found.scenes[0].keyframes[0].width == 501


def test_odd_sizes_and_full_chroma_are_read(tmp_path: Path) -> None:
    pictures = [clips.texture(1, width=321, height=241)] * 10
    found = segmented(clips.write(tmp_path / "odd.mp4", pictures, pixels="yuv444p"))
    assert (found.info.width, found.info.height) == (321, 241)
    assert found.scenes[0].keyframes[0].width == 321


def test_times_start_at_zero_and_go_forward(tmp_path: Path) -> None:
    found = read("unordered.mov", tmp_path)
    assert found.scenes[0].start_ms == 0
    assert found.scenes[-1].end_ms == found.decoded_ms <= 1000


def test_sound_before_the_first_picture_is_trimmed(tmp_path: Path) -> None:
    found = read("editlist_positive_shift.mp4", tmp_path)
    assert found.decoded_ms == pytest.approx(9000, abs=50)
    assert found.audio_path is not None


def test_an_embedded_text_track_becomes_utterances(tmp_path: Path) -> None:
    found = read("srt_subs.mkv", tmp_path)
    assert [line.text for line in found.subtitles] == ["This is the first subtitle."]
    assert found.subtitles[0].start_ms == 0
    assert found.info.has_subtitles


def test_tags_are_kept_and_safe_to_store(tmp_path: Path) -> None:
    tags = {"title": "A \N{SNOWMAN} day", "location": "+40.680-074.500/"}
    path = clips.write(tmp_path / "tags.mp4", clips.still(1, 5), tags=tags)
    metadata = probe(path, LIMITS).metadata
    assert metadata["title"] == tags["title"]
    assert metadata["location"].startswith("+40.68")
    json.dumps(metadata, allow_nan=False)


def test_nothing_unsafe_gets_into_the_metadata() -> None:
    hostile = {"a\0": "x\0y\ud800", "b": [float("nan"), 2**70, np.inf], "c": "z" * 10_000}
    safe = json_safe(hostile)
    assert safe["a"] == "xy?"
    assert safe["b"] == [None, str(2**70), None]
    assert len(safe["c"]) == 500
