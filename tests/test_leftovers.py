"""What a request leaves when it dies between two steps: nothing that lasts, and no false answer."""

from __future__ import annotations

import hashlib
import os
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from scenebook import uploads
from scenebook.abandoned import SILENCE_S
from scenebook.db.engine import Database, Role
from scenebook.errors import Conflict, Unavailable
from scenebook.incoming import About, AddedVideo, Arrived, add_import, checked_words, take
from scenebook.model import VideoStatus
from scenebook.settings import Settings
from scenebook.storage import OnPart, Storage
from scenebook.temporary import private_directory, remove_abandoned
from scenebook.videos import delete_video, get_video, list_videos
from tests.pipelines import Pipeline
from tests.serving import headers_of, running_api
from tests.test_uploads import serving_process
from worker.tidying import Tidying

HERS = b"WEBVTT\n\n00:00.000 --> 00:01.000\nGood morning\n"
OTHER = b"WEBVTT\n\n00:00.000 --> 00:01.000\nGood night\n"
FILM = b"not much of a film"
FILM_SHA256 = hashlib.sha256(FILM).hexdigest()


class Died(BaseException):
    """As SIGKILL: no `except Exception` sees it."""


class Dying(Storage):
    """A storage whose caller dies at one of its steps, before or after it is done."""

    def __init__(self, settings: Settings, step: str, *, after: bool) -> None:
        super().__init__(settings.storage)
        self._step = step
        self._after = after

    def put_file(self, key: str, path: Path, *, on_part: OnPart = lambda: None) -> None:
        self._do("file", lambda: super(Dying, self).put_file(key, path, on_part=on_part))

    def put(self, key: str, content: bytes) -> None:
        self._do("words", lambda: super(Dying, self).put(key, content))

    def copy(self, key: str, to: str) -> None:
        self._do("copy", lambda: super(Dying, self).copy(key, to))

    def _do(self, step: str, do: Callable[[], None]) -> None:
        if step == self._step and not self._after:
            raise Died
        do()
        if step == self._step:
            raise Died


@pytest.fixture
def db(settings: Settings) -> Iterator[Database]:
    """The database as the API knows it."""
    assert settings.database_url is not None
    made = Database(settings.database_url, role=Role.API, pool_size=4)
    yield made
    made.close()


def arrived(tmp_path: Path, words: bytes | None = None) -> Arrived:
    """A file that has arrived, perhaps with its words."""
    path = tmp_path / "film"
    path.write_bytes(FILM)
    checked = None if words is None else checked_words(words, name="words.vtt")
    return Arrived(path, len(FILM), FILM_SHA256, About("A film"), checked)


def age(url: str, seconds: float = SILENCE_S + 1) -> None:
    """Let time pass for everything that is on its way."""
    with psycopg.connect(url) as connection:
        connection.execute(
            "update public.videos set updated_at = now() - make_interval(secs => %s)"
            " where status = 'uploading'",
            (seconds,),
        )


def files(settings: Settings) -> list[Path]:
    """Every file in the storage, also what is no object."""
    root = settings.scenebook_data_dir / "storage"
    found = [path for path in root.rglob("*") if path.is_file()]
    return [path for path in found if not path.name.startswith(".")]  # the mark of the storage


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", ["file", "words"])
def test_an_upload_that_died_is_hidden_and_removed_after_a_time(
    db: Database,
    pipeline: Pipeline,
    tidying: Tidying,
    tmp_path: Path,
    alice: UUID,
    step: str,
    after: bool,
) -> None:
    tools = pipeline.tools
    dying = Dying(tools.settings, step, after=after)
    with pytest.raises(Died):
        take(db, dying, arrived(tmp_path, HERS), owner_id=alice)
    [left] = list_videos(tools.db, owner_id=alice)
    assert left.status is VideoStatus.UPLOADING
    cut_off = tools.settings.scenebook_data_dir / "storage" / f"{left.source_key}#1"
    cut_off.parent.mkdir(parents=True, exist_ok=True)
    cut_off.write_bytes(b"half a film")  # as the local storage leaves it
    assert tidying.round()["abandoned_videos"] == 0  # it may still be going on
    age(str(tools.settings.database_url))
    assert tidying.round()["abandoned_videos"] == 1
    pipeline.work()
    assert (list_videos(tools.db, owner_id=alice), files(tools.settings)) == ([], [])
    assert tidying.round()["abandoned_videos"] == 0


def test_an_import_whose_words_could_not_be_stored_leaves_nothing(
    db: Database, pipeline: Pipeline, tidying: Tidying, alice: UUID
) -> None:
    tools, words = pipeline.tools, checked_words(HERS, name="words.vtt")
    arguments = {"owner_id": alice, "url": "https://example.org/film", "about": About("A film")}
    dying = Dying(tools.settings, "words", after=True)
    with pytest.raises(Died):
        add_import(db, dying, **arguments, words=words)  # type: ignore[arg-type]
    assert not pipeline.work()  # what nobody was told of is not fetched
    age(str(tools.settings.database_url))
    assert tidying.round()["abandoned_videos"] == 1
    root = tools.settings.scenebook_data_dir / "storage"
    pipeline.work()
    assert (list_videos(tools.db, owner_id=alice), files(tools.settings)) == ([], [])
    root.rename(root.with_name("away"))
    root.touch()  # nothing can be stored below a file
    with pytest.raises(Unavailable):
        add_import(db, tools.storage, **arguments, words=words)  # type: ignore[arg-type]
    root.unlink()
    root.with_name("away").rename(root)
    pipeline.work()
    assert list_videos(tools.db, owner_id=alice) == []


def test_whoever_is_slow_and_gives_signs_of_life_is_waited_for(
    db: Database, pipeline: Pipeline, tidying: Tidying, tmp_path: Path, alice: UUID, bob: UUID
) -> None:
    tools = pipeline.tools
    url = str(tools.settings.database_url)

    class Slow(Storage):
        def put_file(self, key: str, path: Path, *, on_part: OnPart = lambda: None) -> None:
            assert tidying.round()["abandoned_videos"] == 1  # bob's
            super().put_file(key, path, on_part=on_part)

    dying = Dying(tools.settings, "file", after=False)
    with pytest.raises(Died):
        take(db, dying, arrived(tmp_path), owner_id=bob)
    with pytest.raises(Died):
        take(db, dying, arrived(tmp_path), owner_id=alice)
    age(url)
    # Who takes up what broke off says so before the first byte is stored.
    added = take(db, Slow(tools.settings.storage), arrived(tmp_path), owner_id=alice)
    assert (added.created, added.video.status) == (True, VideoStatus.WAITING)


def test_a_video_that_is_deleted_while_its_file_arrives_is_not_acknowledged(
    db: Database, pipeline: Pipeline, tmp_path: Path, alice: UUID
) -> None:
    tools = pipeline.tools

    class Interfering(Storage):
        def put_file(self, key: str, path: Path, *, on_part: OnPart = lambda: None) -> None:
            [video] = list_videos(tools.db, owner_id=alice)
            delete_video(tools.db, owner_id=alice, video_id=video.id)
            pipeline.work()
            super().put_file(key, path)

    with pytest.raises(Conflict, match="deleted"):
        take(db, Interfering(tools.settings.storage), arrived(tmp_path, HERS), owner_id=alice)
    assert files(tools.settings) == []
    assert take(db, tools.storage, arrived(tmp_path), owner_id=alice).created


def test_of_two_uploads_at_once_with_other_words_one_counts_and_one_is_told(
    db: Database, pipeline: Pipeline, tmp_path: Path, alice: UUID
) -> None:
    tools, both = pipeline.tools, threading.Barrier(2, timeout=30)

    class Together(Storage):
        def put_file(self, key: str, path: Path, *, on_part: OnPart = lambda: None) -> None:
            super().put_file(key, path, on_part=on_part)
            both.wait()

        def put(self, key: str, content: bytes) -> None:
            super().put(key, content)
            both.wait()

    storage = Together(tools.settings.storage)

    def send(words: bytes) -> AddedVideo | Conflict:
        try:
            return take(db, storage, arrived(tmp_path, words), owner_id=alice)
        except Conflict as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(send, (HERS, OTHER)))
    [(place, added)] = [
        (place, one) for place, one in enumerate(answers) if isinstance(one, AddedVideo)
    ]
    [told] = [one for one in answers if isinstance(one, Conflict)]
    assert "with another transcript" in str(told)
    video = get_video(tools.db, owner_id=alice, video_id=added.video.id)
    assert video.transcript_key is not None
    assert tools.storage.get(video.transcript_key) == (HERS, OTHER)[place]
    assert len(files(tools.settings)) == 2  # the source, and these words only


def test_a_resumable_upload_counts_as_complete_only_with_a_first_job(
    settings: Settings, db: Database, tmp_path: Path, alice: UUID
) -> None:
    storage = Storage(settings.storage)
    made = uploads.create(
        db, owner_id=alice, size=len(FILM), about=About("A film"), max_bytes=10**6, ttl_s=60
    )
    which = {"owner_id": alice, "upload_id": made.id}
    uploads.write_at(db, storage, **which, offset=0, ttl_s=60).add(FILM)
    with pytest.raises(Died):  # the same bytes in one request, which broke off
        take(db, Dying(settings, "file", after=False), arrived(tmp_path), owner_id=alice)
    for after in (False, True):
        with pytest.raises(Died):
            uploads.finish(db, Dying(settings, "copy", after=after), **which)
        assert uploads.get_upload(db, **which).video_id is None
    done = uploads.finish(db, storage, **which)
    assert done.video_id is not None
    video = get_video(db, owner_id=alice, video_id=done.video_id)
    assert video.status is VideoStatus.WAITING
    assert storage.get(video.source_key) == FILM


def test_directories_of_processes_that_are_gone_go_even_if_their_number_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    # The first had our number before we did.
    old = [tmp_path / f"scenebook-{number}-1-abc" for number in (os.getpid(), 2**22 + 1)]
    for one in old:
        one.mkdir()
        (one / "file").write_bytes(b"half a film")
    with private_directory() as used:
        assert remove_abandoned() == 2
        assert used.is_dir()
    assert _left(tmp_path) == []


def _left(directory: Path) -> Sequence[Path]:
    return list(directory.iterdir())


def kill_rounds(
    settings: Settings, pipeline: Pipeline, owner: UUID, *, rounds: int, seed: int
) -> tuple[set[str], int]:
    """The service killed again and again while clients send: acknowledged ids, and the kills."""
    chance, acknowledged, kills = random.Random(seed), set[str](), 0

    def send(url: str, stop: threading.Event) -> None:
        with httpx.Client(base_url=url, headers=headers_of(owner), timeout=20) as client:
            while not stop.is_set():
                content = uuid4().bytes * 50_000
                files = {
                    "file": ("film.mp4", content),
                    "transcript": ("words.vtt", HERS, "text/vtt"),
                }
                with suppress(httpx.TransportError):
                    answer = client.post("/v1/videos", files=files)
                    if answer.status_code == 201:
                        acknowledged.add(answer.json()["id"])

    for _ in range(rounds):
        stop = threading.Event()
        with running_api(settings) as url, ThreadPoolExecutor(3) as pool:
            process = serving_process(url)
            sending = [pool.submit(send, url, stop) for _ in range(3)]
            time.sleep(0.2 + chance.random() * 0.6)
            process.kill()
            kills += 1
            stop.set()
            for one in sending:
                one.result()
    return acknowledged, kills


@pytest.mark.parametrize("rounds", [2, pytest.param(25, marks=pytest.mark.long)])
def test_the_service_killed_at_any_moment_loses_nothing_and_leaves_nothing(
    pipeline: Pipeline,
    tidying: Tidying,
    tmp_path: Path,
    alice: UUID,
    rounds: int,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    tools = pipeline.tools
    settings = tools.settings.model_copy(
        update={"owner_max_uploads": 16, "rate_limit_key": "100000/minute"}
    )
    acknowledged, kills = kill_rounds(settings, pipeline, alice, rounds=rounds, seed=7)
    left = {str(one.id): one.status for one in list_videos(tools.db, owner_id=alice)}
    assert acknowledged <= left.keys()
    assert all(left[one] is VideoStatus.WAITING for one in acknowledged)
    broken = {one for one, status in left.items() if status is VideoStatus.UPLOADING}
    with running_api(settings):  # a start sweeps what is left of the one before
        assert list(temporary.glob("scenebook-*")) == []
    age(str(settings.database_url))
    assert tidying.round()["abandoned_videos"] == len(broken)
    pipeline.work()
    now = {str(one.id) for one in list_videos(tools.db, owner_id=alice)}
    assert now == left.keys() - broken
    assert {path.relative_to(files_root(settings)).parts[1] for path in files(settings)} == now
    record_property(
        "table",
        [f"{kills} kills: {len(acknowledged)} acknowledged, 0 lost; {len(broken)} rows removed"],
    )


def files_root(settings: Settings) -> Path:
    return settings.scenebook_data_dir / "storage"
