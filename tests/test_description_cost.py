"""What descriptions cost: which scenes are left out, which share a call, and who pays how much."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import cv2
import numpy as np
import psycopg
import pytest

from scenebook.db import scenes
from scenebook.db.paid_calls import PaidCallsOf
from scenebook.description_cost import NearDuplicates, alike, by_worth
from scenebook.descriptions import DescribedScene, SceneDescription
from scenebook.model import (
    Channel,
    ChannelState,
    ChannelStatus,
    Keyframe,
    Scene,
    Stage,
    Video,
    VideoStatus,
)
from scenebook.settings import Settings
from scenebook.videos import add_video, get_video, retry_video, scenes_of
from tests import clips
from tests.openai_server import CHAT, OpenAIServer, chat, described
from tests.pipelines import Pipeline, a_pipeline
from worker.media.likeness import perceptual_hash
from worker.media.pictures import Picture

OK, SKIPPED, ERROR = ChannelStatus.OK, ChannelStatus.SKIPPED, ChannelStatus.ERROR
# Scenes of composed films: 1.2 s, 2.4 s and 1.2 s of different pictures, then the first again.
SPANS = ((1, 30), (2, 60), (3, 30), (1, 30))
SPOKEN = "WEBVTT\n\n00:00.100 --> 00:01.000\nGood morning.\n\n00:01.400 --> 00:03.000\nWe drive.\n"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four scenes without sound; the last looks as the first, with other film grain."""
    path = tmp_path_factory.mktemp("clips") / "film.mp4"
    pictures = [
        picture
        for place, (seed, frames) in enumerate(SPANS)
        for picture in clips.noisy(clips.still(seed, frames), amount=3, seed=place)
    ]
    return clips.write(path, pictures)


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """Subtitles with a line in the first scene, of 1.2 s, and one in the second, of 2.4 s."""
    path = tmp_path / "words.vtt"
    path.write_text(SPOKEN)
    return path


@pytest.fixture
def describing(settings: Settings, openai: OpenAIServer) -> Settings:
    """Settings with descriptions on, a call for each scene, and a job that is tried once."""
    return settings.model_copy(
        update={
            "openai_base_url": openai.url,
            "openai_max_retries": 0,
            "job_max_attempts": 1,
            "description_near_duplicate_bits": -1,
        }
    )


def indexed(
    settings: Settings, film: Path, *, owner_id: UUID, transcript: Path | None = None
) -> Video:
    """The video after everything was done."""
    with a_pipeline(settings) as pipeline:
        return pipeline.index(film, owner_id=owner_id, transcript=transcript)


def retried(settings: Settings, video: Video) -> Video:
    """The video after `scenebook retry VIDEO --channel visual`."""
    with a_pipeline(settings) as pipeline:
        db = pipeline.tools.db
        retry_video(db, owner_id=video.owner_id, video_id=video.id, channel=Channel.VISUAL)
        pipeline.work()
        return get_video(db, owner_id=video.owner_id, video_id=video.id)


def states(settings: Settings, video: Video, channel: Channel) -> list[ChannelState]:
    """One channel's state in each scene, in order."""
    with a_pipeline(settings) as pipeline:
        found = scenes_of(pipeline.tools.db, owner_id=video.owner_id, video_id=video.id)
    return [one for scene in found for one in scene.channels if one.channel is channel]


def statuses(settings: Settings, video: Video) -> list[ChannelStatus]:
    return [one.status for one in states(settings, video, Channel.VISUAL)]


def pipeline_scenes(pipeline: Pipeline, video: Video) -> list[Scene]:
    """The scenes of a video that is not settled yet."""
    with pipeline.tools.db.transaction(owner_id=video.owner_id) as tx:
        return scenes.of_video(tx, owner_id=video.owner_id, video_id=video.id, generation=1)


def get(settings: Settings, video: Video) -> Video:
    with a_pipeline(settings) as pipeline:
        return get_video(pipeline.tools.db, owner_id=video.owner_id, video_id=video.id)


def run_sql(settings: Settings, sql: str) -> list[tuple[object, ...]]:
    assert settings.database_url is not None
    with psycopg.connect(settings.database_url) as connection:
        cursor = connection.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


def a_scene(
    index: int = 0,
    *,
    lasts_ms: int = 1000,
    transcript: str | None = None,
    looks: str | None = "0" * 112,
    unusable: int = 0,
    keyframes: int = 1,
) -> Scene:
    """A scene of no video."""
    scene_id = uuid4()
    metadata = {"unusable_answers": unusable} if unusable else {}
    return Scene(
        scene_id, uuid4(), uuid4(), 1, index, 0, lasts_ms, transcript,
        keyframes=tuple(
            Keyframe(uuid4(), scene_id, 0, rank, {}, "key", "hash", looks)
            for rank in range(keyframes)
        ),
        channels=(ChannelState(Channel.VISUAL, ERROR, None, metadata),),
    )  # fmt: skip


class TestWorth:
    def test_silent_scenes_come_first_then_longer_ones_and_vain_ones_last(self) -> None:
        given = [
            a_scene(0, transcript="Words.", lasts_ms=9000),
            a_scene(1, transcript=" \n"),
            a_scene(2, lasts_ms=5000, unusable=1),
            a_scene(3, lasts_ms=2000),
            a_scene(4, transcript="More.", lasts_ms=10_000),
            a_scene(5, lasts_ms=2000),
        ]
        assert [scene.scene_index for scene in by_worth(given)] == [3, 5, 1, 4, 0, 2]

    def test_a_short_budget_goes_to_the_silent_scenes(
        self, describing: Settings, openai: OpenAIServer, alice: UUID, film: Path, words: Path
    ) -> None:
        capped = describing.model_copy(update={"description_max_calls": 3})
        video = indexed(capped, film, owner_id=alice, transcript=words)
        assert statuses(capped, video) == [SKIPPED, OK, OK, OK]
        (reason,) = {one.error for one in states(capped, video, Channel.SUMMARY)} - {None}
        assert reason is not None
        assert "DESCRIPTION_MAX_CALLS" in reason
        assert video.status is VideoStatus.READY, video.reason
        assert len(openai.asked(CHAT)) == 3

    def test_a_short_talky_scene_is_skipped_and_a_short_silent_one_is_not(
        self, describing: Settings, openai: OpenAIServer, alice: UUID, film: Path, words: Path
    ) -> None:
        choosy = describing.model_copy(update={"description_talky_ms": 2000})
        video = indexed(choosy, film, owner_id=alice, transcript=words)
        assert statuses(choosy, video) == [SKIPPED, OK, OK, OK]
        for channel in (Channel.VISUAL, Channel.SUMMARY):
            reason = states(choosy, video, channel)[0].error
            assert reason == (
                "Somebody speaks in this scene of 1.2 s; DESCRIPTION_TALKY_MS is 2000."
            )
        assert len(openai.asked(CHAT)) == 3
        video = retried(describing, video)
        assert statuses(describing, video) == [OK] * 4
        assert len(openai.asked(CHAT)) == 4


class TestBudgetOfAVideo:
    def test_answers_of_no_use_count_over_all_attempts_of_the_job(
        self, describing: Settings, openai: OpenAIServer, alice: UUID, film: Path
    ) -> None:
        capped = describing.model_copy(update={"description_max_calls": 4, "job_max_attempts": 5})
        openai.script(CHAT, chat("no JSON"), described(), chat("no JSON"))
        video = indexed(capped, film, owner_id=alice)
        assert len(openai.asked(CHAT)) == 4
        assert Counter(statuses(capped, video)) == {OK: 2, ERROR: 2}
        assert video.status is VideoStatus.PARTIAL

    def test_a_service_that_was_away_costs_nothing_of_the_budget(
        self, describing: Settings, openai: OpenAIServer, alice: UUID, film: Path
    ) -> None:
        capped = describing.model_copy(update={"description_max_calls": 4, "job_max_attempts": 5})
        openai.script(CHAT, *[replace(chat(""), status=503)] * 5)
        video = indexed(capped, film, owner_id=alice)
        assert statuses(capped, video) == [OK] * 4


class TestBudgetOfAnOwner:
    def test_it_bounds_the_calls_of_24_hours_over_videos_but_not_another_owners(
        self, describing: Settings, openai: OpenAIServer, alice: UUID, bob: UUID, film: Path
    ) -> None:
        poor = describing.model_copy(update={"description_max_calls_per_day": 3})
        first = indexed(poor, film, owner_id=alice)
        # The longest scene first, then in order.
        assert statuses(poor, first) == [OK, OK, OK, SKIPPED]
        other = film.with_name("other.mp4")
        clips.write(other, [*clips.still(7, 30), *clips.still(8, 30)])
        second = indexed(poor, other, owner_id=alice)
        assert statuses(poor, second) == [SKIPPED] * 2
        (reason,) = {one.error for one in states(poor, second, Channel.VISUAL)}
        assert reason is not None
        assert "DESCRIPTION_MAX_CALLS_PER_DAY is 3" in reason
        assert len(openai.asked(CHAT)) == 3

        assert statuses(poor, indexed(poor, other, owner_id=bob)) == [OK] * 2
        assert len(openai.asked(CHAT)) == 5
        assert statuses(poor, indexed(poor, film, owner_id=bob)).count(OK) == 1

    def test_a_later_retry_describes_what_was_skipped_and_pays_for_nothing_twice(
        self, describing: Settings, openai: OpenAIServer, alice: UUID, film: Path
    ) -> None:
        poor = describing.model_copy(update={"description_max_calls_per_day": 2})
        video = indexed(poor, film, owner_id=alice)
        assert statuses(poor, video).count(SKIPPED) == 2
        assert statuses(poor, retried(poor, video)).count(SKIPPED) == 2
        assert len(openai.asked(CHAT)) == 2

        run_sql(poor, "update public.paid_calls set created_at = now() - interval '25 hours'")
        video = retried(poor, video)
        assert statuses(poor, video) == [OK] * 4
        assert len(openai.asked(CHAT)) == 4
        # All four are cached: used up or not, nothing is lost and nothing is paid for.
        assert statuses(poor, retried(poor, video)) == [OK] * 4
        assert len(openai.asked(CHAT)) == 4

    def test_an_answer_of_no_use_was_paid_for_and_counts(
        self, describing: Settings, openai: OpenAIServer, alice: UUID, film: Path
    ) -> None:
        poor = describing.model_copy(update={"description_max_calls_per_day": 3})
        openai.script(CHAT, chat("no JSON"), chat("", refusal="No."))
        video = indexed(poor, film, owner_id=alice)
        assert Counter(statuses(poor, video)) == {ERROR: 2, OK: 1, SKIPPED: 1}
        assert len(openai.asked(CHAT)) == 3

    def test_other_kinds_of_calls_and_other_owners_calls_are_not_counted(
        self, pipeline: Pipeline, alice: UUID, bob: UUID
    ) -> None:
        of_alice = PaidCallsOf(pipeline.tools.db, owner_id=alice)
        of_bob = PaidCallsOf(pipeline.tools.db, owner_id=bob)
        of_alice.put("a", {}, kind="description")
        of_alice.put("a", {}, kind="description")
        of_alice.put("b", {}, kind="embedding")
        of_bob.put("a", {}, kind="description")
        of_bob.put("c", {}, kind="description")
        assert of_alice.today("description") == 1
        assert of_alice.today("embedding") == 1
        assert of_bob.today("description") == 2


class TestNearDuplicates:
    def test_scenes_that_look_the_same_share_one_call(
        self, describing: Settings, openai: OpenAIServer, alice: UUID, film: Path
    ) -> None:
        sharing = describing.model_copy(update={"description_near_duplicate_bits": 3})
        with a_pipeline(sharing) as pipeline:
            added = add_video(pipeline.tools.db, pipeline.tools.storage, owner_id=alice, path=film)
            pipeline.work(until=Stage.DESCRIBE)
            first, *_, last = pipeline_scenes(pipeline, added.video)
            pipeline.work()
        assert len(openai.asked(CHAT)) == 3
        assert last.keyframes[0].image_hash != first.keyframes[0].image_hash
        assert last.description == first.description
        assert (last.summary, last.tags) == (first.summary, first.tags)
        for channel in (Channel.VISUAL, Channel.SUMMARY):
            told = {one.channel: one.metadata for one in last.channels}[channel]
            assert told == {"keyframe_rank": 0, "same_as_scene": 0}
        assert statuses(sharing, get(sharing, added.video)) == [OK] * 4

    def test_scenes_in_which_other_words_are_spoken_share_nothing(
        self, describing: Settings, openai: OpenAIServer, alice: UUID, film: Path, words: Path
    ) -> None:
        sharing = describing.model_copy(update={"description_near_duplicate_bits": 3})
        indexed(sharing, film, owner_id=alice, transcript=words)
        assert len(openai.asked(CHAT)) == 4

    def test_scenes_without_a_perceptual_hash_share_nothing(
        self, describing: Settings, openai: OpenAIServer, alice: UUID, film: Path
    ) -> None:
        sharing = describing.model_copy(update={"description_near_duplicate_bits": 3})
        with a_pipeline(sharing) as pipeline:
            add_video(pipeline.tools.db, pipeline.tools.storage, owner_id=alice, path=film)
            pipeline.work(until=Stage.SEGMENT)
            run_sql(sharing, "update public.keyframes set perceptual_hash = null")
            pipeline.work()
        assert len(openai.asked(CHAT)) == 4

    def test_only_a_description_of_the_best_frame_is_shared(self) -> None:
        answer = SceneDescription("ok", "A red car.")
        for outcome, keyframes, shared in (
            (DescribedScene(OK, answer, frame=0), 3, True),
            (DescribedScene(OK, answer, frame=1), 3, False),
            (DescribedScene(ChannelStatus.EMPTY), 1, True),
            (DescribedScene(ChannelStatus.EMPTY), 2, False),
            (DescribedScene(ERROR, error="away"), 1, False),
            (DescribedScene(SKIPPED, error="used up"), 1, False),
        ):
            near = NearDuplicates(3)
            near.add(a_scene(4, keyframes=keyframes), outcome)
            found = near.answer_for(a_scene(7, keyframes=keyframes))
            assert found == (replace(outcome, same_as_scene=4) if shared else None)

    def test_minus_one_shares_nothing_even_of_equal_pictures(self) -> None:
        near = NearDuplicates(-1)
        near.add(a_scene(), DescribedScene(OK, SceneDescription("ok", "A car."), frame=0))
        assert near.answer_for(a_scene()) is None


class TestLikeness:
    def hashed(self, *pictures: Picture) -> list[str]:
        return [perceptual_hash(picture) for picture in pictures]

    def test_grain_light_and_size_change_next_to_nothing(self) -> None:
        picture = clips.texture(1)
        (grainy,) = clips.noisy([picture], amount=8)
        brighter = cv2.convertScaleAbs(picture, alpha=1.0, beta=6)
        smaller = cv2.resize(picture, (160, 90), interpolation=cv2.INTER_AREA)
        one, *others = self.hashed(picture, grainy, np.asarray(brighter), np.asarray(smaller))
        assert all(alike(one, other, max_bits=3) for other in others)

    def test_other_pictures_differ(self) -> None:
        one, *others = self.hashed(*(clips.texture(seed) for seed in range(1, 9)))
        assert not any(alike(one, other, max_bits=16) for other in others)

    def test_flat_pictures_are_alike_only_in_one_colour(self) -> None:
        def flat(*colour: int) -> Picture:
            return np.full((90, 160, 3), colour, np.uint8)

        red, dark_red, blue, black = self.hashed(
            flat(0, 0, 200), flat(0, 0, 195), flat(200, 0, 0), flat(0, 0, 0)
        )
        assert alike(red, dark_red, max_bits=0)
        assert not any(alike(red, other, max_bits=16) for other in (blue, black))

    def test_one_thing_of_another_colour_makes_another_picture(self) -> None:
        pictures = []
        for colour in ((40, 40, 220), (220, 90, 40)):
            picture = np.full((360, 640, 3), 128, np.uint8)
            pictures.append(cv2.circle(picture, (200, 180), 40, colour, -1).astype(np.uint8))
        red, blue = self.hashed(*pictures)
        assert not alike(red, blue, max_bits=16)

    def test_a_picture_of_one_pixel_has_a_hash(self) -> None:
        assert len(perceptual_hash(np.zeros((1, 1, 3), np.uint8))) == 112
