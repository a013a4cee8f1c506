"""Finding what is shown and not said, with a model that really sees: the shipped checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from uuid import UUID

import pytest

from scenebook.db.engine import Database, Role
from scenebook.model import Channel, ChannelStatus, Scene, VideoStatus
from scenebook.query_encoders import QueryEncoders
from scenebook.search import Hit, Query, search
from scenebook.similar import similar_scenes
from scenebook.synthetic.dataset import png
from scenebook.videos import scenes_of
from tests.conftest import ALICE, BOB
from tests.figures import ASKED, SCENE_MS, SCENES, VIDEO, drawings, scene_of
from tests.indexed import statuses
from tests.pipelines import a_pipeline, settings_for
from tests.postgres import Server

FIGURES = {"clip_enabled": True, "clip_model_name": "figures", "clip_timeout_s": 30}


@dataclass(frozen=True)
class Library:
    """The generated video, indexed for alice; bob has nothing."""

    db: Database
    encoders: QueryEncoders
    scenes: list[Scene]
    status: VideoStatus

    def ask(self, query: Query, *, owner_id: UUID = ALICE, limit: int = 5) -> list[Hit]:
        answer = search(
            self.db,
            self.encoders,
            owner_id=owner_id,
            query=query,
            channels=[Channel.VISUAL_CLIP],
            limit=limit,
        )
        assert not answer.degraded
        return list(answer.hits)


@pytest.fixture(scope="module")
def library(postgres_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    with postgres_server.database() as url:
        settings = settings_for(url, tmp_path_factory.mktemp("figures"), **FIGURES)
        with a_pipeline(settings) as pipeline:
            video = pipeline.index(VIDEO, owner_id=ALICE)
            scenes = scenes_of(pipeline.tools.db, owner_id=ALICE, video_id=video.id)
            storage_free = Database(url, role=Role.API, pool_size=1)
            with closing(storage_free), closing(QueryEncoders(settings)) as encoders:
                yield Library(storage_free, encoders, scenes, video.status)


def test_every_scene_has_a_vector_at_the_time_of_its_best_frame(library: Library) -> None:
    assert library.status is VideoStatus.READY
    assert len(library.scenes) == SCENES
    assert statuses(library.scenes, Channel.VISUAL_CLIP) == {ChannelStatus.OK: SCENES}


@pytest.mark.parametrize("text", ASKED)
def test_a_scene_is_found_first_by_words_for_what_it_shows(library: Library, text: str) -> None:
    best = library.ask(Query(text))[0]
    assert best.scene_index == scene_of(text)
    (reason,) = best.reasons
    assert reason.matched_ms is not None
    assert best.start_ms <= reason.matched_ms < best.end_ms
    assert abs(best.start_ms - SCENE_MS * scene_of(text)) <= 100


def test_a_drawing_is_found_by_its_picture(library: Library) -> None:
    for index, drawing in enumerate(drawings()[:10]):
        best = library.ask(Query(image=png(drawing, 256)))[0]
        assert best.scene_index == index
        assert best.reasons[0].similarity > 0.97


def test_words_add_to_what_a_picture_shows(library: Library) -> None:
    """The picture has a red circle, the words a yellow heart: together they are no third thing."""
    red, yellow = "a red circle left of a blue square", "a green star above a yellow heart"
    picture = png(drawings()[scene_of(red)], 256)
    for weight, wanted in ((0.05, scene_of(yellow)), (0.95, scene_of(red))):
        query = Query(yellow, picture, text_weight=1 - weight, image_weight=weight)
        assert library.ask(query)[0].scene_index == wanted


def test_a_scene_like_another_is_one_that_shows_like_things(library: Library) -> None:
    index = scene_of("a red circle left of a blue square")
    answer = similar_scenes(
        library.db, owner_id=ALICE, scene_id=library.scenes[index].id, limit=3, threshold=-1.0
    )
    indices = [hit.scene_index for hit in answer.hits]
    assert index not in indices
    assert scene_of("a blue square left of a red circle") in indices


def test_another_owner_finds_nothing(library: Library) -> None:
    answer = search(
        library.db,
        library.encoders,
        owner_id=BOB,
        query=Query("a red circle left of a blue square", png(drawings()[0], 256)),
        channels=[Channel.VISUAL_CLIP],
        threshold=-1.0,
    )
    assert answer.hits == ()
