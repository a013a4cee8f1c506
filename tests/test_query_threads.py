"""Many requests share one child: each gets its own vector, or an answer within its bound."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime

import numpy as np
import psycopg
import pytest

from scenebook.db.engine import Database, Role
from scenebook.db.spaces import StoredSpace
from scenebook.encoders.fake import FakeClip
from scenebook.errors import ModelUnavailable, ScenebookError, Unavailable
from scenebook.model import Channel
from scenebook.query_encoders import QueryEncoders
from scenebook.settings import Settings, load
from scenebook.turns import MOST_WAITING, Turns
from scenebook.warming import Warming
from tests.pictures import png

COLOURS = ("red", "green", "blue", "white", "black", "yellow", "cyan", "magenta")
SEEING = {"CLIP_MODEL_NAME": "fake", "TEXT_EMBEDDING_PROVIDER": "fake", "CLIP_CPU_THREADS": "1"}
PATIENCE_S = 20


def seen() -> StoredSpace:
    """The space of the fake CLIP."""
    return StoredSpace(
        1, FakeClip.loaded.space(Channel.VISUAL_CLIP), "active", {}, datetime.now(UTC)
    )


def after_a_while(work: Callable[[], np.ndarray]) -> np.ndarray:
    """What the work returns, once it is not refused any more."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return work()
        except ScenebookError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


class TestThreads:
    def test_each_thread_gets_the_vector_of_its_own_question(self) -> None:
        stored, clip = seen(), FakeClip()
        with closing(QueryEncoders(load(SEEING), limit_s=PATIENCE_S)) as encoders:

            def ask(place: int) -> list[np.ndarray]:
                colour = COLOURS[place]
                return [
                    one
                    for _ in range(10)
                    for one in (
                        encoders.encode_text(stored, f"something {colour}"),
                        encoders.encode_image(stored, png(colour)),
                    )
                ]

            with ThreadPoolExecutor(len(COLOURS)) as pool:
                found = list(pool.map(ask, range(len(COLOURS))))
        expected = clip.encode_words(COLOURS)
        for vectors, wanted in zip(found, expected, strict=True):
            np.testing.assert_allclose(vectors, [wanted] * 20, atol=1e-6)

    def test_a_hanging_model_bounds_those_behind_it_and_is_then_replaced(self) -> None:
        stored = seen()
        # The child would be given a minute; the limit of queries is shorter.
        settings = load(SEEING | {"CLIP_TIMEOUT_S": "60"})
        with closing(QueryEncoders(settings, limit_s=1.0)) as encoders:
            after_a_while(lambda: encoders.encode_text(stored, "red"))
            with ThreadPoolExecutor(5) as pool:
                hanging = pool.submit(encoders.encode_image, stored, png(comment="hang"))
                behind = [pool.submit(encoders.encode_text, stored, "red") for _ in range(4)]
                with pytest.raises(ScenebookError):
                    hanging.result(PATIENCE_S)
                refused = [one.exception(PATIENCE_S) for one in behind]
            assert all(one is None or isinstance(one, ScenebookError) for one in refused)
            vector = after_a_while(lambda: encoders.encode_text(stored, "red"))
        np.testing.assert_allclose(vector, FakeClip().encode_words(["red"])[0], atol=1e-6)

    def test_who_asks_after_the_end_is_refused(self) -> None:
        encoders = QueryEncoders(load(SEEING), limit_s=1.0)
        (models,) = [encoders._open(encoders._configured)]
        encoders.close()
        with pytest.raises(Unavailable):
            models.space(Channel.VISUAL_CLIP, None)


@pytest.fixture
def queue() -> Iterator[Turns]:
    with closing(Turns("test")) as made:
        yield made


class TestTurns:
    def test_work_that_has_begun_goes_on_without_its_asker(self, queue: Turns) -> None:
        gate, done = threading.Event(), threading.Event()

        def slow() -> None:
            assert gate.wait(PATIENCE_S)
            done.set()

        for within_s in (0.05, 0.05):  # the first waits for the work, the second for its turn
            with pytest.raises(Unavailable) as late:
                queue.do(slow, within_s=within_s)
            assert late.value.code == "model_busy"
        gate.set()
        assert queue.do(lambda: "next", within_s=PATIENCE_S) == "next"
        assert done.is_set()

    def test_a_crowd_is_refused_at_once_and_not_only_at_its_bound(self, queue: Turns) -> None:
        gate = threading.Event()
        with ThreadPoolExecutor(MOST_WAITING) as pool:
            waiting = [
                pool.submit(queue.do, lambda: gate.wait(PATIENCE_S), within_s=PATIENCE_S)
                for _ in range(MOST_WAITING)
            ]
            deadline = time.monotonic() + PATIENCE_S
            while queue._places._value and time.monotonic() < deadline:
                time.sleep(0.01)
            with pytest.raises(Unavailable):
                queue.do(lambda: None, within_s=None)
            gate.set()
            assert all(one.result(PATIENCE_S) for one in waiting)

    def test_what_the_work_raises_arrives(self, queue: Turns) -> None:
        for error in (ModelUnavailable("no weights"), TimeoutError("its own"), KeyError("a bug")):

            def fail(error: Exception = error) -> None:
                raise error

            with pytest.raises(type(error)):
                queue.do(fail, within_s=PATIENCE_S)


def a_stored_space(url: str, channel: str, source: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(
            "insert into public.embedding_spaces"
            " (channel, model, weights, revision, dimensions, status, source)"
            " values (%s, 'fake', 'colours', 'grid-6', 109, 'active', %s)",
            (channel, source),
        )


class TestWarming:
    def test_models_are_loaded_before_they_are_asked_and_a_lost_one_is_named(
        self, database_url: str
    ) -> None:
        a_stored_space(database_url, "visual_clip", "{}")
        a_stored_space(database_url, "transcript", '{"text_embedding_model": "/gone"}')
        settings = load(SEEING | {"DATABASE_URL": database_url})
        with (
            closing(Database(database_url, role=Role.API)) as db,
            closing(QueryEncoders(settings, limit_s=PATIENCE_S)) as encoders,
        ):
            warming = Warming(db, encoders)
            assert warming.waiting() is not None
            warming.start()
            deadline = time.monotonic() + PATIENCE_S
            while warming.waiting() is not None and time.monotonic() < deadline:
                time.sleep(0.02)
            assert warming.waiting() is None
            assert set(warming.failed()) == {"transcript"}
            assert "made with fake (colours, grid-6)" in warming.failed()["transcript"]
            vector = encoders.encode_text(seen(), "red")
            warming.stop()
            warming.join(PATIENCE_S)
        np.testing.assert_allclose(vector, FakeClip().encode_words(["red"])[0], atol=1e-6)

    def test_nothing_is_ready_while_postgres_is_away(self, settings: Settings) -> None:
        nowhere = "postgresql://nobody@127.0.0.1:1/none"
        with closing(Database(nowhere, role=Role.API)) as db:
            warming = Warming(db, QueryEncoders(settings))
            warming.start()
            warming.stop()
            warming.join(PATIENCE_S)
            assert warming.waiting() is not None


def test_the_api_process_imports_no_model_library() -> None:
    program = (
        "import sys\n"
        "import api.app, api.models\n"
        "heavy = {'torch', 'torchvision', 'open_clip', 'cv2', 'av', 'faster_whisper', 'openai',\n"
        "         'ctranslate2', 'onnxruntime', 'sentence_transformers', 'transformers'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
