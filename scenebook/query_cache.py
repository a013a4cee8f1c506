"""Vectors of queries, kept in this process and in Redis: the same question loads no model twice."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from scenebook import metrics
from scenebook.db.spaces import StoredSpace
from scenebook.encoders.images import unit_vector
from scenebook.query_encoders import EncoderOfAll, OwnersQueries

Vector = NDArray[np.float32]

# 2000 vectors of 2048 dimensions; larger ones push out older ones sooner.
MOST_BYTES = 16 * 2**20


class Kept(Protocol):
    """Bytes by key, for a while; never raises. scenebook.short_redis.ShortRedis is one."""

    def get(self, key: str) -> bytes | None: ...
    def set(self, key: str, value: bytes, ttl_s: int) -> None: ...


class CachedQueryEncoder:
    """A QueryEncoder for any owner, before which vectors are remembered. Threads may share it.

    A vector depends on the space, the kind of query and its content. Each owner has vectors of its
    own all the same: an answer that comes at once would tell that another owner asked it before. A
    key holds a SHA-256 of all this and can be read by nobody. Of an owner's equal queries at the
    same time one is encoded, and the others take its vector or its error.

    size: vectors kept in this process, within MOST_BYTES; 0 keeps none, in Redis neither. ttl_s:
    how long one stays in Redis. Vectors are float32, of norm 1, and cannot be written to.
    """

    def __init__(self, encoder: EncoderOfAll, shared: Kept, *, size: int, ttl_s: int) -> None:
        self._encoder = encoder
        self._shared = shared
        self._size = size
        self._ttl_s = ttl_s
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Vector] = OrderedDict()
        self._bytes = 0
        self._encoding: dict[str, Future[Vector]] = {}

    def of(self, *, owner_id: UUID) -> OwnersQueries:
        """The QueryEncoder of one owner."""
        return OwnersQueries(self, owner_id)

    def encode_text(
        self, stored: StoredSpace, text: str, *, owner_id: UUID | None = None
    ) -> Vector:
        """The vector of a text; the owner is who pays, if it has to be encoded by a paid model."""
        return self._vector(
            stored,
            _key(stored, "text", text.encode("utf-8", "surrogatepass"), owner_id),
            lambda: self._encoder.encode_text(stored, text, owner_id=owner_id),
        )

    def encode_image(
        self, stored: StoredSpace, image: bytes, *, owner_id: UUID | None = None
    ) -> Vector:
        """The vector of an encoded picture."""
        return self._vector(
            stored,
            _key(stored, "image", image, owner_id),
            lambda: self._encoder.encode_image(stored, image),
        )

    def _vector(self, stored: StoredSpace, key: str, encode: Callable[[], Vector]) -> Vector:
        if not self._size:
            return _counted("model", encode())
        with self._lock:
            if (kept := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                return _counted("process", kept)
            others = self._encoding.get(key)
            if others is None:
                mine = self._encoding[key] = Future()
        if others is not None:
            # Whoever encodes it is bound by a limit of his own, and so are those who wait for him.
            return _counted("waiting", others.result())
        try:
            vector = self._from_afar(stored, key, encode)
            self._keep(key, vector)
            mine.set_result(vector)
        except BaseException as error:
            mine.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._encoding[key]
        return vector

    def _from_afar(self, stored: StoredSpace, key: str, encode: Callable[[], Vector]) -> Vector:
        """The vector from Redis, or else from the model; it cannot be written to."""
        packed = self._shared.get(key)
        if packed is not None:
            try:
                vector = unit_vector(packed, stored.space.dimensions)
            except ValueError:  # not what we wrote: as good as nothing
                pass
            else:
                return _counted("redis", _sealed(vector))
        vector = _counted("model", _sealed(np.array(encode(), np.float32)))
        self._shared.set(key, vector.astype("<f4").tobytes(), self._ttl_s)
        return vector

    def _keep(self, key: str, vector: Vector) -> None:
        with self._lock:
            self._kept[key] = vector
            self._bytes += vector.nbytes
            while len(self._kept) > self._size or self._bytes > MOST_BYTES:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= oldest.nbytes


def _key(stored: StoredSpace, kind: str, content: bytes, owner_id: UUID | None) -> str:
    digest = hashlib.sha256(content).hexdigest()
    it = stored.space
    named = [str(owner_id), stored.id, it.channel, it.model, it.weights, it.revision, it.dimensions]
    whole = json.dumps([*named, kind, digest])
    return f"scenebook:query:{hashlib.sha256(whole.encode()).hexdigest()}"


def _sealed(vector: Vector) -> Vector:
    vector.setflags(write=False)
    return vector


def _counted(found: str, vector: Vector) -> Vector:
    metrics.QUERY_VECTORS.labels(found).inc()
    return vector
