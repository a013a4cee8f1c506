"""Scenes, keyframes and sound of generated clips whose truth is known to the frame."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from scenebook.errors import ChildDied, DeadlineExceeded, InvalidMedia
from scenebook.settings import load
from tests import clips
from worker.media import segment as reading
from worker.media.audio import AudioWriter
from worker.media.client import MediaChild
from worker.media.segment import segment
from worker.media.types import MediaLimits, Segmentation

FRAME_MS = 1000 // clips.FPS
LIMITS = MediaLimits.from_settings(load({}))


def segmented(path: Path, limits: MediaLimits = LIMITS) -> Segmentation:
    out = path.parent / f"{path.stem}-out"
    out.mkdir(exist_ok=True)
    return segment(path, out, limits, lambda fraction: None)


def starts(found: Segmentation) -> list[int]:
    return [scene.start_ms for scene in found.scenes][1:]


def near(found: list[int], frames: list[int]) -> bool:
    """True if every cut is within one frame of its truth and there is no other."""
    truth = [frame * FRAME_MS for frame in frames]
    return len(found) == len(truth) and all(
        abs(one - other) <= FRAME_MS for one, other in zip(found, truth, strict=True)
    )


def test_hard_cuts_are_found_to_the_frame(tmp_path: Path) -> None:
    scenes = clips.still(1, 40) + clips.pan(2, 37) + clips.still(3, 30) + clips.pan(4, 40, step=2)
    found = segmented(clips.write(tmp_path / "cuts.mp4", scenes))
    assert near(starts(found), [40, 77, 107])
    assert found.decoded_ms == 147 * FRAME_MS
    assert found.damage is None


def test_scenes_cover_the_video_without_gaps(tmp_path: Path) -> None:
    scenes = clips.still(1, 30) + clips.still(2, 30) + clips.still(3, 30)
    found = segmented(clips.write(tmp_path / "cover.mp4", scenes))
    edges = [0, *(scene.end_ms for scene in found.scenes)]
    assert [scene.start_ms for scene in found.scenes] == edges[:-1]
    assert edges[-1] == found.decoded_ms


def test_cuts_in_grainy_film_are_found_and_grain_is_no_cut(tmp_path: Path) -> None:
    scenes = clips.noisy(clips.still(1, 50) + clips.still(2, 50), amount=40)
    assert near(starts(segmented(clips.write(tmp_path / "grain.mp4", scenes))), [50])


def test_a_flash_is_no_cut(tmp_path: Path) -> None:
    scenes = clips.pan(1, 40, step=1) + clips.flat(255, 2) + clips.pan(1, 40, step=1)
    assert len(segmented(clips.write(tmp_path / "flash.mp4", scenes)).scenes) == 1


def test_a_light_that_is_switched_is_no_cut(tmp_path: Path) -> None:
    dark = [(picture * 0.5).astype(np.uint8) for picture in clips.still(1, 40)]
    assert (
        len(segmented(clips.write(tmp_path / "light.mp4", clips.still(1, 40) + dark)).scenes) == 1
    )


@pytest.mark.parametrize("step", [2, 6, 16])
def test_a_camera_that_turns_makes_no_cut(tmp_path: Path, step: int) -> None:
    found = segmented(clips.write(tmp_path / f"pan{step}.mp4", clips.pan(5, 75, step=step)))
    assert len(found.scenes) == 1


@pytest.mark.parametrize("frames", [8, 15, 30])
def test_a_dissolve_is_one_cut_inside_it(tmp_path: Path, frames: int) -> None:
    one, other = clips.texture(1), clips.texture(2)
    scenes = [one] * 45 + clips.dissolve(one, other, frames) + [other] * 45
    (cut,) = starts(segmented(clips.write(tmp_path / "dissolve.mp4", scenes)))
    assert 45 * FRAME_MS <= cut <= (45 + frames) * FRAME_MS


def test_a_wipe_is_one_cut_inside_it(tmp_path: Path) -> None:
    one, other = clips.texture(1), clips.texture(2)
    scenes = [one] * 45 + clips.wipe(one, other, 15) + [other] * 45
    (cut,) = starts(segmented(clips.write(tmp_path / "wipe.mp4", scenes)))
    assert 45 * FRAME_MS <= cut <= 60 * FRAME_MS


@pytest.mark.parametrize("level", [0, 255])
def test_a_fade_through_black_or_white_is_one_cut(tmp_path: Path, level: int) -> None:
    one, other, middle = clips.texture(1), clips.texture(2), clips.flat(level, 1)[0]
    scenes = (
        [one] * 45
        + clips.dissolve(one, middle, 14)
        + [middle] * 2
        + clips.dissolve(middle, other, 14)
        + [other] * 45
    )
    (cut,) = starts(segmented(clips.write(tmp_path / "fade.mp4", scenes)))
    assert 45 * FRAME_MS <= cut <= 75 * FRAME_MS


def test_a_video_without_a_cut_is_one_scene(tmp_path: Path) -> None:
    (scene,) = segmented(clips.write(tmp_path / "one.mp4", clips.pan(1, 60))).scenes
    assert (scene.start_ms, scene.end_ms) == (0, 60 * FRAME_MS)


def test_a_single_picture_is_a_scene_with_a_keyframe(tmp_path: Path) -> None:
    (scene,) = segmented(clips.write(tmp_path / "single.mp4", clips.still(1, 1))).scenes
    assert len(scene.keyframes) == 1
    assert scene.end_ms > 0


def test_a_scene_below_the_minimum_joins_its_neighbour(tmp_path: Path) -> None:
    scenes = clips.still(1, 40) + clips.still(2, 5) + clips.still(3, 40)
    found = segmented(clips.write(tmp_path / "short.mp4", scenes))
    assert len(found.scenes) == 2
    assert all(scene.end_ms - scene.start_ms >= LIMITS.scene_min_ms for scene in found.scenes)


def test_a_long_take_is_split_into_equal_parts_with_keyframes(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "long.mp4", clips.still(1, 250))
    found = segmented(path, replace(LIMITS, scene_max_ms=3000))
    assert starts(found) == [2500, 5000, 7500]
    for scene in found.scenes:
        assert scene.keyframes
        assert all(scene.start_ms <= k.at_ms < scene.end_ms for k in scene.keyframes)


def test_there_are_never_more_scenes_than_allowed(tmp_path: Path) -> None:
    scenes = [picture for seed in range(6) for picture in clips.still(seed, 20)]
    path = clips.write(tmp_path / "many.mp4", scenes)
    assert len(segmented(path).scenes) == 6
    assert len(segmented(path, replace(LIMITS, scene_max_count=3)).scenes) == 3


def test_a_video_of_far_too_many_pictures_is_refused_before_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = clips.write(tmp_path / "dense.mp4", clips.still(1, 50))  # in two seconds
    monkeypatch.setattr(reading, "BURST_S", 1)
    monkeypatch.setattr(reading, "MAX_PICTURES_A_SECOND", 26)
    assert len(segmented(path).scenes) == 1
    monkeypatch.setattr(reading, "MAX_PICTURES_A_SECOND", 10)
    with pytest.raises(InvalidMedia, match="more than 10 pictures a second") as refused:
        segmented(path)
    assert refused.value.code == "too_many_pictures"


def test_times_follow_timestamps_where_the_frame_rate_varies(tmp_path: Path) -> None:
    times = [100 * index for index in range(20)] + [2000 + 33 * index for index in range(60)]
    scenes = clips.still(1, 10) + clips.still(2, 10) + clips.still(3, 30) + clips.still(4, 30)
    found = segmented(clips.write(tmp_path / "vfr.mkv", scenes, times_ms=times))
    assert starts(found) == [1000, 2000, 2990]


def test_a_video_that_starts_late_starts_at_zero(tmp_path: Path) -> None:
    scenes = clips.still(1, 40) + clips.still(2, 40)
    found = segmented(clips.write(tmp_path / "late.mkv", scenes, start_ms=1500))
    assert near(starts(found), [40])
    assert found.decoded_ms == 80 * FRAME_MS


def onset_ms(path: Path) -> float:
    """When the sound of a FLAC file begins."""
    with av.open(str(path)) as file:
        assert (file.streams.audio[0].rate, file.streams.audio[0].channels) == (16_000, 1)
        samples = np.concatenate([frame.to_ndarray().ravel() for frame in file.decode(audio=0)])
    return float(np.argmax(np.abs(samples) > 1000)) / 16


@pytest.mark.parametrize(("video_ms", "sound_ms"), [(0, 0), (0, 700), (600, 0), (500, 500)])
def test_sound_is_aligned_with_the_first_picture(
    tmp_path: Path, video_ms: int, sound_ms: int
) -> None:
    sound = np.concatenate((np.zeros(48_000, np.float32), clips.tone(1.5)))
    path = clips.write(
        tmp_path / "sound.mkv",
        clips.still(1, 60),
        start_ms=video_ms,
        sound=sound,
        sound_start_ms=sound_ms,
    )
    found = segmented(path)
    assert found.audio_path is not None
    assert not found.audio_silent
    assert onset_ms(found.audio_path) == pytest.approx(1000 + sound_ms - video_ms, abs=5)


def test_sound_that_changes_its_kind_midway_is_kept_whole(tmp_path: Path) -> None:
    writer = AudioWriter(tmp_path / "kinds.flac", max_duration_s=60)
    writer.align(0.0)
    for layout, rate, second in (("stereo", 48_000, 0), ("mono", 48_000, 1), ("5.1", 44_100, 2)):
        channels = av.AudioLayout(layout).nb_channels
        for first in range(0, rate, 1000):
            block = np.full((channels, min(1000, rate - first)), 0.2, np.float32)
            frame = av.AudioFrame.from_ndarray(block, "fltp", layout)
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = second * rate + first
            writer.add(frame)
    path, silent = writer.close()
    assert path is not None
    assert not silent
    with av.open(str(path)) as file:
        assert sum(frame.samples for frame in file.decode(audio=0)) == pytest.approx(48_000, abs=50)


def test_silence_and_the_lack_of_sound_differ(tmp_path: Path) -> None:
    hushed = clips.write(tmp_path / "hush.mkv", clips.still(1, 30), sound=clips.tone(1, level=0))
    silent, without = (
        segmented(hushed),
        segmented(clips.write(tmp_path / "mute.mp4", clips.still(1, 30))),
    )
    assert silent.audio_path is not None
    assert silent.audio_silent
    assert without.audio_path is None
    assert not without.info.has_audio


def test_keyframes_are_pictures_of_their_scene_in_true_colours(tmp_path: Path) -> None:
    colours = {"red": (200, 30, 30), "green": (30, 160, 40), "blue": (40, 50, 200)}
    scenes = []
    for colour in colours.values():
        picture = clips.texture(9) // 8 + np.array(colour, np.uint8) // 8 * 7
        scenes += [picture.astype(np.uint8)] * 30
    found = segmented(clips.write(tmp_path / "colours.mp4", scenes))
    assert len(found.scenes) == 3
    for scene, colour in zip(found.scenes, colours.values(), strict=True):
        best = scene.keyframes[0]
        shown = cv2.imread(str(best.path))
        assert shown is not None
        assert shown.shape[:2] == (best.height, best.width) == (clips.HEIGHT, clips.WIDTH)
        mean = shown.reshape(-1, 3).mean(axis=0)[::-1] - clips.texture(9).reshape(-1, 3).mean(0) / 8
        assert np.abs(mean - np.array(colour) * 7 / 8).max() < 8


def test_keyframes_are_spread_over_the_scene_and_ranked(tmp_path: Path) -> None:
    (scene,) = segmented(clips.write(tmp_path / "spread.mp4", clips.pan(3, 250, step=1))).scenes
    assert [k.rank for k in scene.keyframes] == [0, 1, 2]
    scores = [k.quality["quality_score"] for k in scene.keyframes]
    assert scores == sorted(scores, reverse=True)
    times = sorted(k.at_ms for k in scene.keyframes)
    assert min(b - a for a, b in itertools.pairwise(times)) >= 1500


def test_only_the_chosen_pictures_and_the_sound_are_left_behind(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "tidy.mkv", clips.pan(3, 600, step=1), sound=clips.tone(2))
    found = segmented(path)
    kept = {k.path for scene in found.scenes for k in scene.keyframes} | {found.audio_path}
    assert set((tmp_path / "tidy-out").iterdir()) == kept


def test_the_child_answers_like_the_function_and_reports_progress(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "child.mkv", clips.pan(3, 100), sound=clips.tone(4))
    out = tmp_path / "child-out"
    out.mkdir()
    child = MediaChild(LIMITS)
    seen: list[float] = []
    try:
        found = child.segment(path, out, on_progress=seen.append)
        assert child.probe(path) == found.info
    finally:
        child.close()
    assert [(s.start_ms, s.end_ms) for s in found.scenes] == [(0, 4000)]
    assert all(0 <= fraction <= 1 for fraction in seen)


def test_a_deadline_stops_the_child_and_the_next_video_is_served(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "slow.mp4", clips.noisy(clips.pan(3, 250), amount=20))
    child = MediaChild(replace(LIMITS, timeout_s=0.05))
    try:
        with pytest.raises((DeadlineExceeded, ChildDied)):
            child.segment(path, tmp_path, on_progress=lambda fraction: None)
    finally:
        child.close()


def test_sound_goes_on_where_the_clock_of_the_file_restarts(tmp_path: Path) -> None:
    writer = AudioWriter(tmp_path / "joined.flac", max_duration_s=60)
    writer.align(0.0)
    for _part in range(2):
        for first in range(0, 3 * 16_000, 1600):
            frame = av.AudioFrame.from_ndarray(np.full((1, 1600), 0.2, np.float32), "fltp", "mono")
            frame.sample_rate, frame.time_base, frame.pts = 16_000, Fraction(1, 16_000), first
            writer.add(frame)
    path, silent = writer.close()
    assert path is not None
    assert not silent
    with av.open(str(path)) as file:
        assert sum(frame.samples for frame in file.decode(audio=0)) == pytest.approx(96_000, abs=50)
