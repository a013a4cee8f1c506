"""Scenes are found by a picture, by a picture and words, and by another scene of the same owner."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from uuid import UUID, uuid4

import numpy as np
import psutil
import psycopg
import pytest
from numpy.typing import NDArray

from scenebook.cli.searching import suitable
from scenebook.db.engine import Database, Role
from scenebook.db.spaces import StoredSpace
from scenebook.errors import InvalidQuery, NotFound
from scenebook.model import Channel, Scene, SearchChannel
from scenebook.query_encoders import QueryEncoders
from scenebook.search import Query, SearchAnswer, search
from scenebook.settings import Settings
from scenebook.similar import similar_scenes
from scenebook.videos import scenes_of
from tests import clips
from tests.conftest import ALICE, BOB
from tests.indexed import FAKE_CLIP
from tests.pictures import png
from tests.pipelines import a_pipeline, settings_for
from tests.postgres import Server
from tests.rows import NORTH, a_scene, a_space, a_video, scenes_with
from tests.searching import SameVector

CLIP = [Channel.VISUAL_CLIP]
BOTH = [Channel.VISUAL_CLIP, Channel.TRANSCRIPT]
WORDS = "WEBVTT\n\n00:00.100 --> 00:00.900\nGood morning.\n"


def tinted(seed: int, colour: Sequence[int]) -> clips.Pictures:
    """A scene of a second, mostly of one colour."""
    picture = 0.15 * clips.texture(seed) + 0.85 * np.array(colour)
    return [picture.astype(np.uint8)] * 25


RED, GREEN, BLUE = (tinted(9, colour) for colour in ((255, 0, 0), (0, 128, 0), (0, 0, 255)))


@dataclass(frozen=True)
class Library:
    """An indexed library: Alice has two films, Bob one, and some of their scenes are the same."""

    url: str
    settings: Settings
    scenes: dict[str, list[Scene]]
    jpegs: dict[UUID, bytes]

    def jpeg(self, film: str, index: int) -> bytes:
        """The best frame of a scene, as it is stored."""
        return self.jpegs[self.scenes[film][index].id]


@pytest.fixture(scope="module")
def library(postgres_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    folder = tmp_path_factory.mktemp("library")
    films = {
        "colours": (ALICE, [*RED, *GREEN, *BLUE]),
        "textures": (ALICE, [*clips.still(1, 25), *clips.still(2, 25), *RED]),
        "bobs": (BOB, [*clips.still(1, 25), *RED, *clips.still(3, 25)]),
    }
    (folder / "words.vtt").write_text(WORDS)
    with postgres_server.database() as url:
        settings = settings_for(url, folder / "data", **FAKE_CLIP)
        scenes: dict[str, list[Scene]] = {}
        with a_pipeline(settings) as pipeline:
            tools = pipeline.tools
            for name, (owner, pictures) in films.items():
                path = clips.write(folder / f"{name}.mp4", pictures)
                video = pipeline.index(path, owner_id=owner, transcript=folder / "words.vtt")
                scenes[name] = scenes_of(tools.db, owner_id=owner, video_id=video.id)
            assert [len(found) for found in scenes.values()] == [3, 3, 3]
            jpegs = {
                scene.id: tools.storage.get(scene.keyframes[0].image_key)
                for found in scenes.values()
                for scene in found
            }
        yield Library(url, settings, scenes, jpegs)


@pytest.fixture(scope="module")
def db(library: Library) -> Iterator[Database]:
    database = Database(library.url, role=Role.API)
    yield database
    database.close()


@pytest.fixture(scope="module")
def encoders(library: Library) -> Iterator[QueryEncoders]:
    with closing(QueryEncoders(library.settings)) as made:
        yield made


@pytest.fixture
def alter(library: Library) -> Iterator[psycopg.Connection]:
    """The superuser's connection; embedding spaces are put back afterwards."""
    with psycopg.connect(library.url, autocommit=True) as connection:
        before = connection.execute(
            "select status, weights, source, calibration, id from public.embedding_spaces"
        ).fetchall()
        yield connection
        ids = [row[-1] for row in before]
        connection.execute("delete from public.embedding_spaces where id <> all (%s)", (ids,))
        for row in before:
            values = [json.dumps(one) if isinstance(one, dict) else one for one in row]
            connection.execute(
                "update public.embedding_spaces"
                " set status = %s, weights = %s, source = %s, calibration = %s where id = %s",
                values,
            )


def asked(
    db: Database,
    encoders: QueryEncoders | SameVector,
    query: Query,
    *,
    owner: UUID = ALICE,
    channels: Sequence[Channel] = CLIP,
    threshold: float | None = None,
) -> SearchAnswer:
    return search(db, encoders, owner_id=owner, query=query, channels=channels, threshold=threshold)


def ids(answer: SearchAnswer) -> list[UUID]:
    return [hit.scene_id for hit in answer.hits]


class TestPicture:
    @pytest.mark.parametrize(("film", "index"), [("colours", 1), ("textures", 1), ("bobs", 2)])
    def test_a_stored_keyframe_finds_its_own_scene_first_and_exactly(
        self, library: Library, db: Database, encoders: QueryEncoders, film: str, index: int
    ) -> None:
        scene = library.scenes[film][index]
        query = Query(image=library.jpeg(film, index))
        answer = asked(db, encoders, query, owner=scene.owner_id)
        assert answer.degraded == {}
        assert answer.hits[0].scene_id == scene.id
        (reason,) = answer.hits[0].reasons
        assert reason.similarity == pytest.approx(1, abs=1e-3)
        assert reason.matched_ms == scene.keyframes[0].at_ms

    def test_nobody_finds_another_owners_scenes(
        self, library: Library, db: Database, encoders: QueryEncoders
    ) -> None:
        mine = {scene.id for name in ("colours", "textures") for scene in library.scenes[name]}
        his = {scene.id for scene in library.scenes["bobs"]}
        for query in (
            Query(image=library.jpeg("textures", 0)),
            Query("red"),
            Query("red", library.jpeg("bobs", 2)),
        ):
            for owner, own in ((ALICE, mine), (BOB, his)):
                found = ids(asked(db, encoders, query, owner=owner, threshold=-1))
                assert set(found) == own
        assert ids(asked(db, encoders, Query("red"), owner=uuid4())) == []

    def test_a_picture_must_be_nearer_than_a_text_unless_the_space_says_otherwise(
        self, library: Library, db: Database, encoders: QueryEncoders, alter: psycopg.Connection
    ) -> None:
        query = Query(image=library.jpeg("colours", 0))
        for least in (0.7, 0.2):
            found = asked(db, encoders, query, threshold=None if least == 0.7 else least)
            every = asked(db, encoders, query, threshold=-1)
            near = [hit for hit in every.hits if hit.reasons[0].similarity >= least]
            assert ids(found) == [hit.scene_id for hit in near]
            assert len(found.hits) < len(every.hits) == 6
        alter.execute(
            "update public.embedding_spaces set calibration ="
            """ '{"thresholds": {"text": -1, "image": 0.999}}' where channel = 'visual_clip'"""
        )
        red = [library.scenes["colours"][0].id, library.scenes["textures"][2].id]
        assert set(ids(asked(db, encoders, query))) == set(red)
        assert len(asked(db, encoders, Query("blue")).hits) == 6

    @pytest.mark.parametrize(
        "image", [b"", b"some words", b"\xff\xd8\xff\xe0 no more", png(size=(1000, 2))]
    )
    def test_a_bad_picture_is_one_sentence_and_the_next_query_is_answered(
        self, library: Library, db: Database, encoders: QueryEncoders, image: bytes
    ) -> None:
        with pytest.raises(InvalidQuery, match="picture"):
            asked(db, encoders, Query("red", image), channels=BOTH)
        assert asked(db, encoders, Query(image=png())).hits

    @pytest.mark.parametrize(("comment", "reason"), [("crash", "killed"), ("nan", "norm nan")])
    def test_a_model_that_fails_costs_its_channel_and_not_the_search(
        self, library: Library, db: Database, encoders: QueryEncoders, comment: str, reason: str
    ) -> None:
        query = Query("good morning", png(comment=comment))
        answer = asked(db, encoders, query, channels=BOTH)
        assert {reason.channel for hit in answer.hits for reason in hit.reasons} == {
            Channel.TRANSCRIPT
        }
        assert answer.hits
        assert reason in answer.degraded[Channel.VISUAL_CLIP]


class TestTogether:
    def test_the_weights_decide_between_what_is_shown_and_what_is_said(
        self, library: Library, db: Database, encoders: QueryEncoders
    ) -> None:
        red, _, blue = (scene.id for scene in library.scenes["colours"])
        picture = library.jpeg("colours", 2)
        for text_weight, first in ((0.95, red), (0.05, blue)):
            query = Query("red", picture, text_weight=text_weight, image_weight=1 - text_weight)
            found = asked(db, encoders, query, threshold=-1)
            of_film = [id for id in ids(found) if id in (red, blue)]
            assert of_film[0] == first
        alone = asked(db, encoders, Query(image=picture), threshold=-1)
        weightless = Query("red", picture, text_weight=0, image_weight=3)
        assert ids(asked(db, encoders, weightless, threshold=-1)) == ids(alone)

    def test_other_channels_use_the_text_alone(
        self, library: Library, db: Database, encoders: QueryEncoders
    ) -> None:
        query = Query("good morning", library.jpeg("colours", 2))
        answer = asked(db, encoders, query, channels=BOTH)
        spoken = asked(db, encoders, Query("good morning"), channels=[Channel.TRANSCRIPT])
        assert len(spoken.hits) == 2
        reasons = {hit.scene_id: {one.channel for one in hit.reasons} for hit in answer.hits}
        assert {id for id in reasons if Channel.TRANSCRIPT in reasons[id]} == set(ids(spoken))
        assert Channel.VISUAL_CLIP in reasons[library.scenes["colours"][2].id]

    @pytest.mark.parametrize(
        ("query", "channels"),
        [
            (Query(), CLIP),
            (Query("  "), CLIP),
            (Query("x" * 2001), CLIP),
            (Query(image=b"x"), BOTH),
            (Query("red", b"x"), [Channel.TRANSCRIPT]),
            (Query("red", b"x", text_weight=0, image_weight=0), CLIP),
            (Query("red", b"x", text_weight=-1), CLIP),
            (Query("red", b"x", image_weight=float("nan")), CLIP),
        ],
    )
    def test_what_cannot_be_meant_is_refused(
        self, db: Database, query: Query, channels: list[Channel]
    ) -> None:
        with pytest.raises(InvalidQuery):
            asked(db, SameVector(), query, channels=channels)

    def test_a_picture_alone_is_asked_in_visual_clip_whatever_is_enabled(
        self, library: Library
    ) -> None:
        off = library.settings.model_copy(update={"clip_enabled": False})
        assert suitable(off, Query(image=b"x")) == CLIP
        assert suitable(off, Query("words")) == [Channel.TRANSCRIPT, SearchChannel.LEXICAL]
        assert set(suitable(off, Query("words", b"x"))) == {*BOTH, SearchChannel.LEXICAL}


class TestActiveSpace:
    def test_the_model_of_the_space_is_asked_and_not_the_configured_one(
        self, library: Library, db: Database
    ) -> None:
        other = {"clip_model_name": "ViT-B-32", "clip_pretrained": "/nowhere"}
        settings = library.settings.model_copy(update=other | {"clip_enabled": False})
        with closing(QueryEncoders(settings)) as encoders:
            answer = asked(db, encoders, Query("red"))
        assert answer.degraded == {}
        assert answer.hits

    def test_a_checkpoint_that_moved_is_found_where_it_is_configured(
        self, library: Library, db: Database, alter: psycopg.Connection
    ) -> None:
        alter.execute(
            'update public.embedding_spaces set source = \'{"text_embedding_provider": "local",'
            ' "text_embedding_model": "/gone"}\' where channel = \'transcript\''
        )
        hasty = library.settings.model_copy(update={"text_embedding_load_timeout_s": 0.2})
        with closing(QueryEncoders(hasty)) as encoders:
            answer = asked(db, encoders, Query("good morning"), channels=[Channel.TRANSCRIPT])
        assert answer.degraded == {}
        assert answer.hits

    def test_a_lost_model_is_named_and_the_other_channels_answer(
        self, library: Library, db: Database, encoders: QueryEncoders, alter: psycopg.Connection
    ) -> None:
        alter.execute(
            "update public.embedding_spaces set weights = 'lost' where channel = 'visual_clip'"
        )
        answer = asked(db, encoders, Query("good morning"), channels=BOTH)
        assert len(answer.hits) == 2
        reason = answer.degraded[Channel.VISUAL_CLIP]
        assert "made with fake (lost, grid-6)" in reason
        assert "fake (colours, grid-6) is there" in reason
        assert "Set CLIP_MODEL_NAME and CLIP_PRETRAINED" in reason
        assert "scenebook backfill --channel visual_clip" in reason
        alone = asked(db, encoders, Query("good morning"))
        assert alone.hits == ()
        assert set(alone.degraded) == set(CLIP)

    def test_a_space_that_changes_while_it_is_asked_is_asked_again(
        self, library: Library, db: Database, alter: psycopg.Connection
    ) -> None:
        names: list[str] = []

        class Changing(SameVector):
            def encode_text(self, stored: StoredSpace, text: str) -> NDArray[np.float32]:
                names.append(stored.space.model)
                if len(names) == 1:
                    alter.execute(
                        "update public.embedding_spaces set status = 'retired'"
                        " where channel = 'visual_clip'"
                    )
                    a_space(alter, model="sextant")
                return super().encode_text(stored, text)

        answer = asked(db, Changing(), Query("red"))
        assert names == ["fake", "sextant"]
        assert "another model than sextant" in answer.degraded[Channel.VISUAL_CLIP]

    def test_a_channel_that_nothing_is_embedded_in_says_so(
        self, database_url: str, alice: UUID
    ) -> None:
        with closing(Database(database_url, role=Role.API)) as empty:
            answer = asked(empty, SameVector(), Query("red"), channels=BOTH)
        assert answer.hits == ()
        assert {reason.rpartition(" in ")[0] for reason in answer.degraded.values()} == {
            "Nothing is embedded"
        }

    def test_models_are_started_once_and_ended_by_close(
        self, library: Library, db: Database
    ) -> None:
        before = set(psutil.Process().children())
        with closing(QueryEncoders(library.settings)) as made:
            for _ in range(2):
                asked(db, made, Query("red", library.jpeg("colours", 0)), channels=BOTH)
            started = set(psutil.Process().children()) - before
            assert len(started) == 1
        assert not [child for child in started if child.is_running()]


class TestSimilar:
    def test_the_same_view_is_found_in_the_owners_other_video(
        self, library: Library, db: Database
    ) -> None:
        red, twin = library.scenes["colours"][0], library.scenes["textures"][2]
        answer = similar_scenes(db, owner_id=ALICE, scene_id=red.id)
        assert red.id not in ids(answer)
        assert answer.hits[0].scene_id == twin.id
        assert answer.hits[0].reasons[0].similarity == pytest.approx(1, abs=0.01)
        assert answer.hits[0].reasons[0].matched_ms == twin.keyframes[0].at_ms
        everything = similar_scenes(db, owner_id=ALICE, scene_id=red.id, threshold=-1)
        assert len(everything.hits) == 5
        elsewhere = similar_scenes(
            db, owner_id=ALICE, scene_id=red.id, threshold=-1, other_videos_only=True
        )
        assert {hit.title for hit in elsewhere.hits} == {"textures.mp4"}
        within = similar_scenes(
            db, owner_id=ALICE, scene_id=red.id, threshold=-1, video_id=red.video_id
        )
        assert {hit.title for hit in within.hits} == {"colours.mp4"}

    def test_another_owners_scene_is_as_unknown_as_none(
        self, library: Library, db: Database
    ) -> None:
        messages = set()
        for scene_id in (library.scenes["bobs"][0].id, uuid4()):
            with pytest.raises(NotFound) as unknown:
                similar_scenes(db, owner_id=ALICE, scene_id=scene_id)
            messages.add(str(unknown.value).replace(str(scene_id), "ID"))
        assert len(messages) == 1
        his = similar_scenes(db, owner_id=BOB, scene_id=library.scenes["bobs"][0].id, threshold=-1)
        assert set(ids(his)) == {scene.id for scene in library.scenes["bobs"][1:]}

    def test_a_scene_without_a_vector_says_why(self, database_url: str, alice: UUID) -> None:
        with psycopg.connect(database_url) as tx:
            building = a_space(tx, status="building", model="sextant")
            (later,) = scenes_with(tx, [NORTH], owner=alice, space=building)
            failed = a_scene(tx, owner=alice, video=a_video(tx, owner=alice), index=4)
            tx.execute(
                "insert into public.scene_channels (owner_id, scene_id, channel, status, error)"
                " values (%s, %s, 'visual_clip', 'timeout', 'Timeout after 2.0s')",
                (alice, failed),
            )
        with closing(Database(database_url, role=Role.API)) as db:
            with pytest.raises(InvalidQuery, match="Nothing is embedded in visual_clip yet"):
                similar_scenes(db, owner_id=alice, scene_id=failed)
            with psycopg.connect(database_url) as tx:
                a_space(tx)
            with pytest.raises(
                InvalidQuery,
                match=r"Scene 4 has no vector in visual_clip: timeout, Timeout after 2\.0s\. ",
            ):
                similar_scenes(db, owner_id=alice, scene_id=failed)
            with pytest.raises(InvalidQuery, match="no vector in visual_clip of compass"):
                similar_scenes(db, owner_id=alice, scene_id=later)
