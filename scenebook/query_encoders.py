"""Encodes queries with the models that the vectors of the active spaces were made with."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from scenebook.db.spaces import StoredSpace
from scenebook.encoders.client import Encoders
from scenebook.encoders.protocols import TextEncoder
from scenebook.errors import ConfigurationError, ModelUnavailable
from scenebook.model import Channel, EmbeddingSpace
from scenebook.remote import PaidCalls, RemoteModels
from scenebook.seeing import vector_of
from scenebook.settings import Settings
from scenebook.sources import source_of, with_source
from scenebook.turns import Turns

if TYPE_CHECKING:
    from scenebook.db.paid_calls import PaidKind

Vector = NDArray[np.float32]

# How long a request waits for the vector of a query.
QUERY_LIMIT_S = 5.0
# What bounds a model's answer; the settings are made for batches.
LIMITS = ("clip_timeout_s", "text_embedding_timeout_s", "openai_timeout_s")
# What names the model of a channel, for whoever has to say where it is.
NAMED_BY = {Channel.VISUAL_CLIP: "CLIP_MODEL_NAME and CLIP_PRETRAINED"}
TEXT_NAMED_BY = "TEXT_EMBEDDING_PROVIDER and TEXT_EMBEDDING_MODEL"


class LoadedModels:
    """The models of one configuration; a query for a space of another model is refused."""

    def __init__(self, encoders: Encoders, texts: TextEncoder) -> None:
        self._encoders = encoders
        self._texts = texts

    def space(self, channel: Channel) -> EmbeddingSpace:
        """The space of these models' vectors in a channel; loads the model."""
        if channel is Channel.VISUAL_CLIP:
            return self._encoders.image_space()
        return self._texts.text_space(channel)

    def encode_text(self, stored: StoredSpace, text: str) -> Vector:
        """As QueryEncoder.encode_text; ModelUnavailable if the space is another model's."""
        self._require(stored)
        if stored.space.channel is Channel.VISUAL_CLIP:
            return self._encoders.encode_query_image_text([text])[0]
        return self._texts.encode_texts([text])[0]

    def encode_image(self, stored: StoredSpace, image: bytes) -> Vector:
        """As QueryEncoder.encode_image; ModelUnavailable if the space is another model's."""
        self._require(stored)
        (answer,) = self._encoders.encode_images([image])
        return vector_of(answer)

    def _require(self, stored: StoredSpace) -> None:
        loaded = self.space(stored.space.channel)
        if loaded != stored.space:
            raise _other_model(stored, f"{_named(loaded)} is loaded")


class EncoderOfAll(Protocol):
    """A QueryEncoder for any owner."""

    def encode_text(
        self, stored: StoredSpace, text: str, *, owner_id: UUID | None = None
    ) -> Vector: ...

    def encode_image(
        self, stored: StoredSpace, image: bytes, *, owner_id: UUID | None = None
    ) -> Vector: ...


@dataclass(frozen=True, slots=True)
class OwnersQueries:
    """The QueryEncoder of one owner, behind which all owners share the models."""

    encoder: EncoderOfAll
    owner_id: UUID

    def encode_text(self, stored: StoredSpace, text: str) -> Vector:
        """As QueryEncoder.encode_text."""
        return self.encoder.encode_text(stored, text, owner_id=self.owner_id)

    def encode_image(self, stored: StoredSpace, image: bytes) -> Vector:
        """As QueryEncoder.encode_image."""
        return self.encoder.encode_image(stored, image, owner_id=self.owner_id)


class QueryEncoders:
    """A QueryEncoder that loads the model of each space through the space's `source`.

    Each distinct configuration is loaded once, on first use, and spaces of the configured models
    share one child. Any number of threads may ask. With `limit_s`, such as QUERY_LIMIT_S, none
    waits longer, be it for its turn, for a model that loads or for an answer; Unavailable then.

    `paid` gives the answers that an owner paid for. Without it a paid model cannot be asked.
    """

    def __init__(
        self,
        settings: Settings,
        paid: Callable[[UUID], PaidCalls] | None = None,
        *,
        limit_s: float | None = None,
    ) -> None:
        ours = source_of(settings, Channel.VISUAL_CLIP) | source_of(settings, Channel.TRANSCRIPT)
        changed: dict[str, object] = {"clip_enabled": True}
        if limit_s is not None:
            changed |= {name: min(getattr(settings, name), limit_s) for name in LIMITS}
        # Whether scenes get vectors is one question; vectors that are there can always be asked.
        self._configured = with_source(settings.model_copy(update=changed), ours)
        self._paid = paid
        self._limit_s = limit_s
        self._settings_by_source: dict[frozenset[tuple[str, str]], list[Settings]] = {}
        self._lock = threading.Lock()
        self._opened: dict[Settings, _Configuration] = {}

    def of(self, *, owner_id: UUID) -> OwnersQueries:
        """The same models for one owner."""
        return OwnersQueries(self, owner_id)

    def encode_text(
        self, stored: StoredSpace, text: str, *, owner_id: UUID | None = None
    ) -> Vector:
        """The vector of a text in a space of any channel, of norm 1.

        A paid model's answer is kept with those of the owner, and needs one.
        """
        paid = None if self._paid is None or owner_id is None else self._paid(owner_id)
        deadline = self._deadline()
        return self._models_of(stored, deadline).encode_text(stored, text, paid, deadline)

    def encode_image(
        self, stored: StoredSpace, image: bytes, *, owner_id: UUID | None = None
    ) -> Vector:
        """The vector of an encoded picture in a space of visual_clip, of norm 1."""
        deadline = self._deadline()
        return self._models_of(stored, deadline).encode_image(stored, image, deadline)

    def load(self, stored: StoredSpace) -> None:
        """Load the model of a space, however long that takes, unless it is loaded and lives."""
        self._models_of(stored, None)

    def close(self) -> None:
        """End every child and close every connection; who still waits gets Unavailable."""
        with self._lock:
            opened = list(self._opened.values())
            self._opened.clear()
        for one in opened:
            one.close()

    def _deadline(self) -> float | None:
        return None if self._limit_s is None else time.monotonic() + self._limit_s

    def _models_of(self, stored: StoredSpace, deadline: float | None) -> _Configuration:
        """The models that made the space's vectors: where they were, or else as configured."""
        problems: list[str] = []
        for settings in self._candidates(stored):
            models = self._open(settings)
            try:
                loaded = models.space(stored.space.channel, deadline)
            except (ModelUnavailable, ConfigurationError) as error:
                problems.append(str(error).rstrip("."))
                continue
            if loaded == stored.space:
                return models
            problems.append(f"{_named(loaded)} is there")
        raise _other_model(stored, "; ".join(dict.fromkeys(problems)))

    def _candidates(self, stored: StoredSpace) -> list[Settings]:
        key = frozenset(stored.source.items())
        if key not in self._settings_by_source:  # checking all settings takes milliseconds
            try:
                made_with = with_source(self._configured, stored.source)
            except ValidationError:  # written by a release that knows other values
                made_with = self._configured
            found = list(dict.fromkeys((made_with, self._configured)))
            self._settings_by_source[key] = found
        return self._settings_by_source[key]

    def _open(self, settings: Settings) -> _Configuration:
        with self._lock:
            if settings not in self._opened:
                self._opened[settings] = _Configuration(settings, pays=self._paid is not None)
            return self._opened[settings]


class _Configuration:
    """The models of one configuration: its child is asked in turns, an API by all at once."""

    def __init__(self, settings: Settings, *, pays: bool) -> None:
        self._encoders = Encoders(settings)
        self._turns = Turns("encoders")
        remote = pays and settings.text_embedding_provider == "openai"
        # What belongs to no owner, such as how long its vectors are, is asked once a process.
        self._remote = RemoteModels(settings, _NothingKept()) if remote else None
        self._local = LoadedModels(self._encoders, self._encoders)

    def space(self, channel: Channel, deadline: float | None) -> EmbeddingSpace:
        """As LoadedModels.space."""
        if self._remote is not None and channel is not Channel.VISUAL_CLIP:
            return self._remote.text_space(channel)
        return self._turns.do(lambda: self._local.space(channel), within_s=_left_s(deadline))

    def encode_text(
        self, stored: StoredSpace, text: str, paid: PaidCalls | None, deadline: float | None
    ) -> Vector:
        """As LoadedModels.encode_text; a paid model answers from, and into, the owner's answers."""
        if self._remote is not None and stored.space.channel is not Channel.VISUAL_CLIP:
            if paid is None:
                raise ConfigurationError("A paid model can only be asked for an owner.")
            owners = LoadedModels(self._encoders, self._remote.with_answers(paid))
            return owners.encode_text(stored, text)
        return self._turns.do(
            lambda: self._local.encode_text(stored, text), within_s=_left_s(deadline)
        )

    def encode_image(self, stored: StoredSpace, image: bytes, deadline: float | None) -> Vector:
        """As LoadedModels.encode_image."""
        return self._turns.do(
            lambda: self._local.encode_image(stored, image), within_s=_left_s(deadline)
        )

    def close(self) -> None:
        """End the child, whatever it does, and close the connections."""
        self._turns.close()
        self._encoders.close()
        if self._remote is not None:
            self._remote.close()
        self._turns.join()


class _NothingKept:
    """The answers of nobody."""

    def get(self, key: str) -> dict[str, Any] | None:
        return None

    def put(self, key: str, value: dict[str, Any], *, kind: PaidKind) -> None:
        return None


def _left_s(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def _other_model(stored: StoredSpace, found: str) -> ModelUnavailable:
    channel = stored.space.channel
    return ModelUnavailable(
        f"The vectors of {channel} were made with {_named(stored.space)}, which cannot be asked: "
        f"{found}. Set {NAMED_BY.get(channel, TEXT_NAMED_BY)} to that model, or embed the scenes "
        f"with another: `scenebook backfill --channel {channel}`, then `scenebook spaces activate`."
    )


def _named(space: EmbeddingSpace) -> str:
    return f"{space.model} ({space.weights}, {space.revision})"
