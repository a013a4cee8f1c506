"""Encodes queries with the models that the vectors of the active spaces were made with."""

from __future__ import annotations

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

Vector = NDArray[np.float32]

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


class QueryEncoders:
    """A QueryEncoder that loads the model of each space through the space's `source`.

    Each distinct configuration is loaded once, on first use, and spaces of the configured models
    share one child. `cache` keeps the answers of a paid model; without one such a model cannot be
    asked. Not for several threads at once.
    """

    def __init__(self, settings: Settings, cache: PaidCalls | None = None) -> None:
        ours = source_of(settings, Channel.VISUAL_CLIP) | source_of(settings, Channel.TRANSCRIPT)
        # Whether scenes get vectors is one question; vectors that are there can always be asked.
        self._configured = with_source(settings.model_copy(update={"clip_enabled": True}), ours)
        self._cache = cache
        self._models: dict[Settings, LoadedModels] = {}
        self._opened: list[Encoders | RemoteModels] = []

    def encode_text(self, stored: StoredSpace, text: str) -> Vector:
        """The vector of a text in a space of any channel, of norm 1."""
        return self._models_of(stored).encode_text(stored, text)

    def encode_image(self, stored: StoredSpace, image: bytes) -> Vector:
        """The vector of an encoded picture in a space of visual_clip, of norm 1."""
        return self._models_of(stored).encode_image(stored, image)

    def close(self) -> None:
        """End every child and close every connection."""
        while self._opened:
            self._opened.pop().close()
        self._models.clear()

    def _models_of(self, stored: StoredSpace) -> LoadedModels:
        """The models that made the space's vectors: where they were, or else as configured."""
        problems: list[str] = []
        for settings in self._candidates(stored):
            try:
                models = self._open(settings)
                loaded = models.space(stored.space.channel)
            except (ModelUnavailable, ConfigurationError) as error:
                problems.append(str(error).rstrip("."))
                continue
            if loaded == stored.space:
                return models
            problems.append(f"{_named(loaded)} is there")
        raise _other_model(stored, "; ".join(dict.fromkeys(problems)))

    def _candidates(self, stored: StoredSpace) -> list[Settings]:
        try:
            made_with = with_source(self._configured, stored.source)
        except ValidationError:  # written by a release that knows other values
            made_with = self._configured
        return list(dict.fromkeys((made_with, self._configured)))

    def _open(self, settings: Settings) -> LoadedModels:
        if settings in self._models:
            return self._models[settings]
        encoders = Encoders(settings)
        self._opened.append(encoders)
        texts: TextEncoder = encoders
        if settings.text_embedding_provider == "openai" and self._cache is not None:
            remote = RemoteModels(settings, self._cache)
            self._opened.append(remote)
            texts = remote
        models = self._models[settings] = LoadedModels(encoders, texts)
        return models


def _other_model(stored: StoredSpace, found: str) -> ModelUnavailable:
    channel = stored.space.channel
    return ModelUnavailable(
        f"The vectors of {channel} were made with {_named(stored.space)}, which cannot be asked: "
        f"{found}. Set {NAMED_BY.get(channel, TEXT_NAMED_BY)} to that model, or embed the scenes "
        f"with another: `scenebook backfill --channel {channel}`, then `scenebook spaces activate`."
    )


def _named(space: EmbeddingSpace) -> str:
    return f"{space.model} ({space.weights}, {space.revision})"
