"""The models of a process by embedding space: the configured ones, and those of other spaces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

import structlog
from pydantic import ValidationError

from scenebook.db import spaces
from scenebook.db.engine import Database
from scenebook.db.paid_calls import PaidCallsOf
from scenebook.db.spaces import StoredSpace
from scenebook.encoders.client import Encoders
from scenebook.encoders.protocols import TextEncoder
from scenebook.errors import ConfigurationError, ModelUnavailable, ScenebookError
from scenebook.model import Channel, EmbeddingSpace
from scenebook.remote import RemoteModels
from scenebook.settings import Settings
from scenebook.sources import source_of, with_source

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Models:
    """One configuration and its encoders."""

    settings: Settings
    encoders: Encoders


class SpaceModels:
    """Models by what loads them: the configured ones, and a child of its own for each other source.

    Children start when they are first needed. Make one in each process, after any fork.
    """

    def __init__(self, settings: Settings, configured: Encoders) -> None:
        self.configured = Models(settings, configured)
        self._others: dict[tuple[tuple[str, str], ...], Models] = {}

    def of(self, stored: StoredSpace) -> Models:
        """The models that a space's source names; an unknown source means the configured ones."""
        settings = self.configured.settings
        if not stored.source or stored.source == source_of(settings, stored.space.channel):
            return self.configured
        key = tuple(sorted(stored.source.items()))
        if key not in self._others:
            try:
                settings = with_source(settings, stored.source)
            except ValidationError:  # written by a release that knows other values
                return self.configured
            self._others[key] = Models(settings, Encoders(settings))
        return self._others[key]

    def kill(self) -> None:
        """Stop every child from any thread; what is in progress raises ChildDied."""
        for one in [self.configured, *self._others.values()]:
            one.encoders.kill()

    def close(self) -> None:
        """End every child but the configured one, which is its maker's to end."""
        for one in self._others.values():
            one.encoders.close()
        self._others.clear()


class TextEncoders:
    """The text model of each configuration: behind encoders, or behind an API that one owner pays.

    Close it when the owner's work is done.
    """

    def __init__(self, db: Database, *, owner_id: UUID) -> None:
        self._cache = PaidCallsOf(db, owner_id=owner_id)
        self._remote: dict[int, RemoteModels] = {}

    def of(self, models: Models) -> TextEncoder:
        """The text model of one configuration."""
        if models.settings.text_embedding_provider != "openai":
            return models.encoders
        if id(models) not in self._remote:
            self._remote[id(models)] = RemoteModels(models.settings, self._cache)
        return self._remote[id(models)]

    def stop(self) -> None:
        """Give up every call to an API, from any thread; what is in progress raises Unavailable."""
        for one in list(self._remote.values()):
            one.stop()

    def close(self) -> None:
        """Drop the connections."""
        for one in self._remote.values():
            one.close()


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A space that scenes are to be embedded in, and the models that do it.

    `stored` is None while the channel has no space and the configured model cannot be loaded.
    `problem` says why nothing can be embedded.
    """

    stored: StoredSpace | None
    models: Models
    problem: str | None = None


# Loads the model of a channel and tells its space.
Load = Callable[[Models], EmbeddingSpace]


def targets(
    models: SpaceModels, db: Database, channel: Channel, load: Load, *, owner_id: UUID
) -> list[Target]:
    """Where scenes are to be embedded: first the active space, then the configured model's.

    One target if both are the same. Opens the configured model's space. Raises what `load` raises
    for the only model there is, ModelUnavailable excepted.
    """
    ours, why = models.configured, None
    try:
        loaded = load(ours)
    except ScenebookError as error:
        with db.transaction(owner_id=owner_id) as tx:
            active = spaces.active_space(tx, channel)
        if active is None or models.of(active) is ours:
            if not isinstance(error, ModelUnavailable):
                raise
            return [Target(active, ours, str(error))]
        log.warning("configured_model_unavailable", channel=channel, reason=str(error))
        return [target_of(models, active, load)]
    own = opened(db, loaded, source_of(ours.settings, channel), owner_id=owner_id)
    with db.transaction(owner_id=owner_id) as tx:
        active = spaces.active_space(tx, channel)
    if active is None or active.id == own.id:
        return [Target(own, ours, why)]
    return [target_of(models, active, load), Target(own, ours)]


def opened(
    db: Database, space: EmbeddingSpace, source: Mapping[str, str], *, owner_id: UUID
) -> StoredSpace:
    """The stored space of a loaded model, opened if nothing was ever embedded in it."""
    with db.transaction(owner_id=owner_id) as tx:
        stored = spaces.get_space(tx, spaces.open_space(tx, space, source))
    if stored is None:
        raise LookupError(f"space {space} was dropped as soon as it was opened")
    return stored


def target_of(models: SpaceModels, stored: StoredSpace, load: Load) -> Target:
    """A stored space with its model; the target says so if that is gone, or another one by now."""
    of_space = models.of(stored)
    try:
        found = load(of_space)
    except (ModelUnavailable, ConfigurationError) as error:
        return Target(stored, of_space, str(error))
    if found == stored.space:
        return Target(stored, of_space)
    return Target(
        stored,
        of_space,
        f"The model of space {stored.id}, {stored.space.model} ({stored.space.weights}), is not "
        f"where it was; {found.model} ({found.weights}) is. Put it back, or fill another space "
        f"with `scenebook backfill --channel {stored.space.channel}` and activate that.",
    )
