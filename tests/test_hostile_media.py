"""The hostile corpus, file by file, through the whole pipeline: each ends as it was promised to."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID

import av
import psycopg
import pytest

from scenebook.errors import OutOfReach
from scenebook.model import Channel, VideoStatus
from tests import clips
from tests.conftest import ALICE, BOB
from tests.hostile import odd
from tests.hostile.corpus import KINDS, Kind, written
from tests.hostile.refused import MAX_PIXELS
from tests.hostile.run import GOOD
from tests.hostile.settling import Outcome, leftover_directories, orphans_of_this_process, settle
from tests.indexed import found, of
from tests.pipelines import Pipeline, a_pipeline, settings_for
from tests.postgres import Server
from tests.snapshots import snapshot
from tests.test_segmentation import LIMITS
from worker.media.cuts import Cut, CutKind
from worker.media.keyframes import CandidatePool
from worker.media.opening import OPTIONS
from worker.media.scenes import SceneBuilder
from worker.media.segment import segment
from worker.media.stills import Stills

# One cut, a second after the first picture, within a frame of the slowest clip.
FRAME_MS = 50
FILMED = ("000", "480", "500", "520")  # when pictures of a film of a second may be taken
REFUSED = sorted(name for name, kind in KINDS.items() if kind.code not in ("ready", "partial"))
READABLE = sorted(KINDS.keys() - set(REFUSED))


@dataclass(frozen=True, slots=True)
class Ward:
    """A pipeline that meets all the files, and a video of another owner beside them."""

    pipeline: Pipeline
    folder: Path
    beside: UUID
    outcomes: dict[str, Outcome] = field(default_factory=dict)


@pytest.fixture(scope="module")
def ward(postgres_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """One pipeline for all the files, so that what one leaves behind would meet the next."""
    folder = tmp_path_factory.mktemp("hostile")
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        with postgres_server.database() as url:
            with psycopg.connect(url) as connection:
                for owner in (ALICE, BOB):
                    connection.execute("insert into public.owners (id) values (%s)", (owner,))
            settings = settings_for(url, folder / "data", media_max_pixels=MAX_PIXELS)
            with a_pipeline(settings) as pipeline:
                beside = pipeline.index(GOOD, owner_id=BOB)
                assert beside.status is VideoStatus.READY, beside.reason
                yield Ward(pipeline, folder, beside.id)
            assert [*orphans_of_this_process(most_of_a_kind=0)] == []
            assert [*leftover_directories(children=False)] == []
    finally:
        tempfile.tempdir = before


def met(ward: Ward, kind: Kind) -> Outcome:
    """What became of a hostile file, which is indexed once; the video beside it is as it was."""
    if kind.name in ward.outcomes:
        return ward.outcomes[kind.name]
    url = ward.pipeline.tools.settings.database_url
    assert url is not None
    before = snapshot(url, ward.beside)
    path = written(kind, ward.folder)
    outcome = settle(ward.pipeline, path, owner_id=ALICE)
    path.unlink()
    assert outcome.wrong == []
    assert snapshot(url, ward.beside) == before
    ward.outcomes[kind.name] = outcome
    return outcome


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_indexed_fails_once_with_its_code_and_a_sentence(
    name: str, ward: Ward
) -> None:
    outcome = met(ward, KINDS[name])
    assert outcome.code == KINDS[name].code, outcome.reason
    assert outcome.status in ("failed", "refused")
    assert outcome.attempts <= 1
    assert (outcome.reason or "").endswith(".")
    assert "/" not in (outcome.reason or ""), "a path of the machine"


@pytest.mark.parametrize("name", READABLE)
def test_what_can_be_read_is_indexed_as_far_as_it_goes(name: str, ward: Ward) -> None:
    outcome = met(ward, KINDS[name])
    video = outcome.video
    assert outcome.code == KINDS[name].code, outcome.reason
    assert video is not None
    starts = [scene.start_ms for scene in of(ward.pipeline, ALICE, video.id)]
    if KINDS[name].make.__module__ == odd.__name__:
        assert any(abs(one - odd.CUT_MS) <= FRAME_MS for one in starts), starts
    if outcome.status == "partial":
        assert "damaged or incomplete" in (video.reason or "")


@pytest.mark.parametrize("name", ["cut_off.mp4", "cut_off_words.mkv", "long_silence.mkv"])
def test_a_part_says_how_much_of_the_whole_it_is(name: str, ward: Ward) -> None:
    video = met(ward, KINDS[name]).video
    assert video is not None
    assert video.status is VideoStatus.PARTIAL
    assert video.decoded_ms is not None
    assert video.duration_ms is not None
    assert video.decoded_ms < video.duration_ms
    assert "s could be read" in (video.reason or "")


def test_the_words_of_a_damaged_file_are_found_and_hold_nothing_that_controls(
    ward: Ward,
) -> None:
    video = met(ward, KINDS["cut_off_words.mkv"]).video
    assert video is not None
    assert video.id in found(ward.pipeline, ALICE, "lighthouse keeper", Channel.TRANSCRIPT)
    words = " ".join(scene.transcript or "" for scene in of(ward.pipeline, ALICE, video.id))
    assert "lighthouse" in words
    assert not any(ord(one) < 32 for one in words)


def test_hostile_tags_are_stored_short_and_can_be_read(ward: Ward) -> None:
    for name in ("far_future.mp4", "many_tags.mkv", "many_chapters.mkv"):
        video = met(ward, KINDS[name]).video
        assert video is not None
        assert len(str(video.metadata)) < 64 * 700


def test_a_film_of_many_cuts_has_no_more_scenes_than_are_allowed(
    ward: Ward, tmp_path: Path
) -> None:
    settings = ward.pipeline.tools.settings
    few = settings.model_copy(update={"scene_max_count": 12})
    with a_pipeline(few) as pipeline:
        lively = odd.strobe(tmp_path / "lively.mp4", scenes=30, pictures=20)
        strobe = odd.strobe(tmp_path / "strobe.mp4", scenes=250, pictures=1)
        for path, least in ((lively, 12), (strobe, 1)):
            video = pipeline.index(path, owner_id=ALICE)
            assert video.status is VideoStatus.READY, video.reason
            assert least <= video.scene_count <= 12


def test_a_hundred_thousand_cuts_cost_no_more_than_a_few(tmp_path: Path) -> None:
    picture = av.VideoFrame.from_ndarray(clips.texture(1, width=64, height=36), format="rgb24")
    frame = picture.reformat(format="yuv420p")
    pool = CandidatePool(tmp_path, Stills(frame, None))
    builder = SceneBuilder(pool, replace(LIMITS, scene_max_count=1000))
    # Compared with each other, the cuts and pictures of the last scene would take an hour.
    for cut in range(100_000):
        at_ms = 200 * cut
        if cut % 100 == 0:
            pool.offer(at_ms, frame, 10.0)
        builder.cut(Cut(at_ms, max(0, at_ms - 80), at_ms + 80, CutKind.GRADUAL))
    scenes = builder.finish(200 * 100_000)
    assert len(scenes) <= 1000
    assert scenes[-1].end_ms == 200 * 100_000


def test_the_next_good_file_is_indexed(ward: Ward, tmp_path: Path) -> None:
    again = tmp_path / "again.mov"
    again.write_bytes(GOOD.read_bytes() + b"\0\0\0\x0cfree" + os.urandom(4))
    assert ward.pipeline.index(again, owner_id=BOB).status is VideoStatus.READY


@pytest.mark.parametrize("name", ["magicyuv.avi", "huffyuv.avi", "cfhd.mov"])
def test_opening_a_file_starts_no_decoder_that_is_off_the_list(name: str, tmp_path: Path) -> None:
    path = written(KINDS[name], tmp_path)

    def pixels(**options: str) -> str | None:
        with av.open(str(path), options=options) as file:
            return file.streams.video[0].codec_context.pix_fmt

    assert pixels() is not None, "only the decoder can know"
    assert pixels(codec_whitelist=OPTIONS["codec_whitelist"]) is None


@pytest.mark.parametrize("names", [["audio.flac"], [f"keyframe-000000{at}.jpg" for at in FILMED]])
def test_a_disk_that_fills_up_is_no_damage_of_the_file(names: list[str], tmp_path: Path) -> None:
    path = clips.write(tmp_path / "film.mkv", clips.still(1, 25), sound=clips.tone(1))
    out = tmp_path / "out"
    out.mkdir()
    for name in names:
        (out / name).symlink_to("/dev/full")
    with pytest.raises(OutOfReach) as full:
        segment(path, out, LIMITS, lambda _: None)
    assert full.value.code == "disk_full"
    assert full.value.retryable
    assert str(tmp_path) not in str(full.value)
