"""Vectors of queries are remembered: encoded once, never another question's, no owner's."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from uuid import UUID

import numpy as np
import pytest
import redis
from prometheus_client import REGISTRY

from scenebook import query_cache
from scenebook.db.engine import Database, Role
from scenebook.db.paid_calls import PaidCallsOf
from scenebook.db.spaces import StoredSpace
from scenebook.encoders.fake import TEXT_DIMENSIONS, FakeText
from scenebook.errors import ConfigurationError, InvalidQuery, Unavailable
from scenebook.model import Channel, EmbeddingSpace
from scenebook.query_cache import CachedQueryEncoder, Vector
from scenebook.query_encoders import QueryEncoders
from scenebook.settings import Settings
from scenebook.short_redis import ShortRedis
from scenebook.sources import source_of
from tests.openai_server import DIMENSIONS, EMBEDDINGS, an_openai_server

ALICE = UUID("a11ce000-0000-4000-8000-000000000001")
BOB = UUID("b0b00000-0000-4000-8000-000000000002")
PATIENCE_S = 20


def a_space(weights: str = "hashed-words", *, space_id: int = 1) -> StoredSpace:
    """A space of the fake text model, under this name of its weights."""
    space = EmbeddingSpace(Channel.TRANSCRIPT, "fake", weights, "1", TEXT_DIMENSIONS)
    return StoredSpace(space_id, space, "active", {}, datetime.now(UTC))


class Asked:
    """The fake text model, which counts who asked; a picture counts as the text of its bytes."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.owners: list[UUID | None] = []
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    def encode_text(
        self, stored: StoredSpace, text: str, *, owner_id: UUID | None = None
    ) -> Vector:
        self.texts.append(text)
        self.owners.append(owner_id)
        assert self.gate.wait(PATIENCE_S)
        if self.error is not None:
            raise self.error
        return np.array(FakeText().encode([f"{stored.space.weights} {text}"])[0])

    def encode_image(
        self, stored: StoredSpace, image: bytes, *, owner_id: UUID | None = None
    ) -> Vector:
        return self.encode_text(stored, f"picture {image.hex()}", owner_id=owner_id)


@pytest.fixture
def server(redis_url: str) -> redis.Redis:
    """The test's Redis, empty."""
    client = redis.Redis(unix_socket_path=redis_url.removeprefix("redis+socket://"))
    client.flushall()
    return client


@pytest.fixture
def short(server: redis.Redis, redis_url: str) -> Iterator[ShortRedis]:
    """Redis as requests see it."""
    with closing(ShortRedis(redis_url)) as made:
        yield made


def found() -> Counter[str]:
    """How many vectors were found where, in this process."""
    names = ("process", "redis", "waiting", "model")
    metric = "scenebook_query_vectors_total"
    return Counter(
        {one: int(REGISTRY.get_sample_value(metric, {"found": one}) or 0) for one in names}
    )


def cached(model: Asked, shared: ShortRedis, size: int = 100) -> CachedQueryEncoder:
    return CachedQueryEncoder(model, shared, size=size, ttl_s=60)


class TestRemembering:
    def test_an_equal_query_is_encoded_once_in_a_process(self, short: ShortRedis) -> None:
        model = Asked()
        encoder = cached(model, short)
        before = found()
        first, second = (encoder.encode_text(a_space(), "a red car") for _ in range(2))
        assert model.texts == ["a red car"]
        assert found() - before == Counter({"model": 1, "process": 1})
        np.testing.assert_array_equal(first, second)
        with pytest.raises(ValueError, match="read-only"):
            first[0] = 1.0

    def test_another_process_takes_it_from_redis(
        self, short: ShortRedis, server: redis.Redis
    ) -> None:
        model, other = Asked(), Asked()
        mine = cached(model, short).encode_text(a_space(), "a red car")
        before = found()
        theirs = cached(other, short).encode_text(a_space(), "a red car")
        assert found() - before == Counter({"redis": 1})
        assert other.texts == []
        np.testing.assert_array_equal(mine, theirs)
        (key,) = server.keys()
        assert 0 < server.ttl(key) <= 60

    def test_what_differs_in_any_part_has_a_vector_of_its_own(self, short: ShortRedis) -> None:
        encoder = cached(Asked(), short)
        first, second = a_space(), a_space("others", space_id=2)
        vectors = [
            encoder.encode_text(first, "picture 61"),
            encoder.encode_text(first, "picture 62"),
            encoder.encode_text(second, "picture 61"),
            encoder.encode_image(first, b"b"),
            encoder.encode_image(second, b"picture 61"),
        ]
        alone = [
            Asked().encode_text(first, "picture 61"),
            Asked().encode_text(first, "picture 62"),
            Asked().encode_text(second, "picture 61"),
            Asked().encode_image(first, b"b"),
            Asked().encode_image(second, b"picture 61"),
        ]
        np.testing.assert_array_equal(vectors, alone)

    def test_neither_a_key_nor_a_value_says_what_was_asked_or_by_whom(
        self, short: ShortRedis, server: redis.Redis
    ) -> None:
        encoder = cached(Asked(), short)
        encoder.of(owner_id=ALICE).encode_text(a_space(), "secret plans")
        (key,) = server.scan_iter()
        value = server.get(key)
        assert isinstance(key, bytes)
        assert isinstance(value, bytes)
        kept = key + value
        for word in (b"secret", b"plans", str(ALICE).encode(), ALICE.bytes):
            assert word not in kept

    @pytest.mark.parametrize(
        "value",
        [
            b"",
            b"\x00" * 7,
            np.ones(TEXT_DIMENSIONS - 1, "<f4").tobytes(),
            np.zeros(TEXT_DIMENSIONS, "<f4").tobytes(),
            np.full(TEXT_DIMENSIONS, np.nan, "<f4").tobytes(),
            np.ones(TEXT_DIMENSIONS, "<f4").tobytes(),
        ],
        ids=["empty", "torn", "short", "zero", "nan", "long"],
    )
    def test_a_broken_value_counts_as_none_and_is_replaced(
        self, short: ShortRedis, server: redis.Redis, value: bytes
    ) -> None:
        true = cached(Asked(), short).encode_text(a_space(), "a red car")
        (key,) = server.keys()
        server.set(key, value)
        model = Asked()
        found = cached(model, short).encode_text(a_space(), "a red car")
        assert model.texts == ["a red car"]
        np.testing.assert_array_equal(found, true)
        assert server.get(key) == true.tobytes()

    def test_without_redis_the_process_remembers_alone(self) -> None:
        for url in (None, "redis://127.0.0.1:1/0"):
            model = Asked()
            encoder = cached(model, ShortRedis(url))
            for _ in range(2):
                encoder.encode_text(a_space(), "a red car")
            assert model.texts == ["a red car"]

    def test_the_least_recently_asked_goes_first(self) -> None:
        model = Asked()
        encoder = cached(model, ShortRedis(None), size=2)
        for text in ("one", "two", "one", "three", "one", "two"):
            encoder.encode_text(a_space(), text)
        assert model.texts == ["one", "two", "three", "two"]

    def test_long_vectors_are_bounded_by_their_bytes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(query_cache, "MOST_BYTES", 4 * TEXT_DIMENSIONS)
        model = Asked()
        encoder = cached(model, ShortRedis(None))
        for text in ("one", "two", "two", "one"):
            encoder.encode_text(a_space(), text)
        assert model.texts == ["one", "two", "one"]

    def test_a_size_of_nothing_keeps_nothing_anywhere(
        self, short: ShortRedis, server: redis.Redis
    ) -> None:
        model = Asked()
        encoder = cached(model, short, size=0)
        for _ in range(2):
            encoder.encode_text(a_space(), "a red car")
        assert len(model.texts) == 2
        assert server.keys() == []


class TestTogether:
    def test_of_equal_queries_at_once_one_is_encoded(self, short: ShortRedis) -> None:
        model = Asked()
        model.gate.clear()
        encoder = cached(model, short)
        with ThreadPoolExecutor(8) as pool:
            asking = [pool.submit(encoder.encode_text, a_space(), "a red car") for _ in range(8)]
            model.gate.set()
            vectors = [one.result(PATIENCE_S) for one in asking]
        assert model.texts == ["a red car"]
        np.testing.assert_array_equal(vectors, [vectors[0]] * 8)

    def test_an_error_is_not_remembered(self, short: ShortRedis) -> None:
        model = Asked()
        encoder = cached(model, short)
        for error in (Unavailable("away"), InvalidQuery("no picture"), KeyError("a bug")):
            model.error = error
            with pytest.raises(type(error)):
                encoder.encode_image(a_space(), b"x")
        model.error = None
        assert encoder.encode_image(a_space(), b"x").shape == (TEXT_DIMENSIONS,)


class TestOwners:
    def test_nobody_is_answered_sooner_because_another_owner_asked_before(
        self, short: ShortRedis
    ) -> None:
        model = Asked()
        encoder = cached(model, short)
        mine = encoder.of(owner_id=ALICE).encode_text(a_space(), "a red car")
        theirs = encoder.of(owner_id=BOB).encode_text(a_space(), "a red car")
        np.testing.assert_array_equal(mine, theirs)
        assert model.owners == [ALICE, BOB]
        for owner_id in (ALICE, BOB):
            encoder.of(owner_id=owner_id).encode_text(a_space(), "a red car")
        assert model.owners == [ALICE, BOB]

    def test_a_paid_model_answers_each_owner_from_what_that_owner_paid(
        self, settings: Settings, alice: UUID, bob: UUID
    ) -> None:
        assert settings.database_url is not None
        with an_openai_server() as openai, closing(_db(settings)) as db:
            paying = settings.model_copy(
                update={"text_embedding_provider": "openai", "openai_base_url": openai.url}
            )
            space = EmbeddingSpace(
                Channel.TRANSCRIPT, "text-embedding-3-small", "127.0.0.1", "1", DIMENSIONS
            )
            source = source_of(paying, Channel.TRANSCRIPT)
            stored = StoredSpace(1, space, "active", source, datetime.now(UTC))

            def paid(owner_id: UUID) -> PaidCallsOf:
                return PaidCallsOf(db, owner_id=owner_id)

            with closing(QueryEncoders(paying, paid, limit_s=5)) as encoders:
                vectors = [
                    encoders.of(owner_id=owner_id).encode_text(stored, text)
                    for owner_id, text in ((alice, "mine"), (alice, "mine"), (bob, "mine"))
                ]
                with pytest.raises(ConfigurationError, match="for an owner"):
                    encoders.encode_text(stored, "whose?")
            asked = [request.json["input"] for request in openai.asked(EMBEDDINGS)]
            # How long vectors are is nobody's question; it is asked once for all.
            assert asked == [["dimensions"], ["mine"], ["mine"]]
            np.testing.assert_array_equal(vectors, [vectors[0]] * 3)
            assert [paid(one).today("embedding") for one in (alice, bob)] == [1, 1]


def _db(settings: Settings) -> Database:
    assert settings.database_url is not None
    return Database(settings.database_url, role=Role.API)
