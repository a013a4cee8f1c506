"""The best frame of a scene is sharp, well exposed, clean and not half of something else."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests import clips
from tests.test_segmentation import segmented
from worker.media.pictures import Picture, luma_of
from worker.media.quality import QUALITY_SIDE, judge


def luma(seed: int = 1) -> Picture:
    grey = cv2.cvtColor(clips.texture(seed), cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (256, 144), interpolation=cv2.INTER_AREA).astype(np.uint8)


def score(picture: NDArray[np.uint8]) -> float:
    return judge(picture)["quality_score"]


def grain(picture: Picture, sigma: float) -> Picture:
    noise = np.random.default_rng(3).normal(0, sigma, picture.shape)
    return (picture + noise).clip(0, 255).astype(np.uint8)


def test_a_sharp_picture_beats_a_blurred_one() -> None:
    blurred = [cv2.GaussianBlur(luma(), (0, 0), sigma).astype(np.uint8) for sigma in (1, 2, 4)]
    scores = [score(picture) for picture in (luma(), *blurred)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 1.5 * scores[-1]


def test_black_white_and_flat_pictures_score_next_to_nothing() -> None:
    for level in (0, 16, 128, 235, 255):
        assert score(np.full((144, 256), level, np.uint8)) < 0.05


def test_dark_and_overexposed_pictures_score_less() -> None:
    dark = (luma() * 0.15).astype(np.uint8)
    bright = np.minimum(255, luma().astype(np.int16) + 150).astype(np.uint8)
    assert score(dark) < 0.5 * score(luma())
    assert score(bright) < 0.5 * score(luma())


@pytest.mark.parametrize("sigma", [5, 10, 20, 40])
def test_noise_does_not_count_as_sharpness(sigma: float) -> None:
    soft = cv2.GaussianBlur(luma(), (0, 0), 4).astype(np.uint8)
    assert judge(grain(soft, sigma))["sharpness"] < judge(soft)["sharpness"] + 0.1
    assert score(grain(soft, sigma)) < score(soft) + 0.01
    assert judge(grain(soft, sigma))["noise"] < judge(soft)["noise"]


def test_every_component_is_between_0_and_1() -> None:
    for picture in (luma(), grain(luma(), 60), np.zeros((144, 256), np.uint8), luma()[:9, :7]):
        assert all(0 <= value <= 1 for value in judge(picture).values())


def test_the_score_does_not_depend_on_the_resolution(tmp_path: Path) -> None:
    import av

    large = cv2.resize(clips.texture(4), (1920, 1080), interpolation=cv2.INTER_CUBIC)
    small = cv2.resize(large, (640, 360), interpolation=cv2.INTER_AREA)
    judged = [
        judge(luma_of(av.VideoFrame.from_ndarray(picture, format="rgb24"), QUALITY_SIDE))
        for picture in (large, small)
    ]
    assert judged[0]["sharpness"] == pytest.approx(judged[1]["sharpness"], abs=0.1)


def test_the_best_frame_is_not_the_black_or_the_blurred_part(tmp_path: Path) -> None:
    sharp = clips.texture(1)
    soft = cv2.GaussianBlur(sharp, (0, 0), 5).astype(np.uint8)
    fade = clips.dissolve(np.zeros_like(sharp), soft, 40)
    scenes = [*fade, *[soft] * 20, *[sharp] * 30, *[soft] * 20]
    found = segmented(clips.write(tmp_path / "parts.mp4", scenes))
    best = found.scenes[-1].keyframes[0]
    assert 60 * 40 <= best.at_ms < 90 * 40


def test_a_black_take_has_one_keyframe(tmp_path: Path) -> None:
    (scene,) = segmented(clips.write(tmp_path / "black.mp4", clips.flat(0, 150))).scenes
    assert len(scene.keyframes) == 1


def test_the_best_frame_is_not_half_dissolved(tmp_path: Path) -> None:
    one, other = clips.texture(1), clips.texture(2)
    scenes = [one] * 35 + clips.dissolve(one, other, 30) + [other] * 35
    found = segmented(clips.write(tmp_path / "blend.mp4", scenes))
    assert len(found.scenes) == 2
    for scene in found.scenes:
        best = scene.keyframes[0]
        assert not 35 * 40 + 40 < best.at_ms < 65 * 40 - 40
        assert best.quality["transition"] == 0.0


def test_every_scene_has_a_keyframe_inside_it_however_short(tmp_path: Path) -> None:
    scenes = [picture for seed in range(8) for picture in clips.still(seed, 11)]
    found = segmented(clips.write(tmp_path / "short.mp4", scenes))
    assert len(found.scenes) == 8
    for scene in found.scenes:
        assert scene.keyframes
        assert all(scene.start_ms <= k.at_ms < scene.end_ms for k in scene.keyframes)
        assert all("quality_score" in k.quality for k in scene.keyframes)
