"""Backfill: vectors that scenes lack in a space, made batch by batch beside whatever else runs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from uuid import UUID

from sqlalchemy import Connection

from scenebook import text_vectors, visual_vectors
from scenebook.db import owners, queue, scenes, spaces, states
from scenebook.db.engine import Database
from scenebook.db.lacking import Lacking, scenes_lacking
from scenebook.db.spaces import StoredSpace
from scenebook.embedding import SceneResult, SpaceResults, SpacesChanged, store_beside
from scenebook.encoders.protocols import TextEncoder
from scenebook.errors import (
    ConfigurationError,
    Conflict,
    DeadlineExceeded,
    ModelUnavailable,
    NotFound,
    ScenebookError,
    Unavailable,
)
from scenebook.model import Channel, ChannelStatus, EmbeddingSpace, Scene
from scenebook.settling import settle_again
from scenebook.sources import source_of
from scenebook.space_models import (
    Load,
    Models,
    SpaceModels,
    Target,
    TextEncoders,
    opened,
    target_of,
)
from scenebook.storage import Storage
from scenebook.text_vectors import text_of

# Scenes that are encoded and committed together; a kill loses at most these.
BATCH = 16
# Scenes that are counted at once.
PAGE = 5000
# What may have been the moment's fault. A scene that is `ok` and has no vector was lost somehow.
WORTH_ANOTHER_TRY = frozenset(
    {
        ChannelStatus.OK,
        ChannelStatus.TIMEOUT,
        ChannelStatus.ERROR,
        ChannelStatus.LOAD_ERROR,
        ChannelStatus.CIRCUIT_OPEN,
        ChannelStatus.UNAVAILABLE,
    }
)
FAILED = WORTH_ANOTHER_TRY | {ChannelStatus.DECODE_ERROR, ChannelStatus.NO_FRAME}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which scenes are to be filled: of one channel, in one space.

    space_id None means the space of the configured model.
    """

    channel: Channel
    space_id: int | None = None
    video_id: UUID | None = None
    retry_failed: bool = False


@dataclass(frozen=True, slots=True)
class Throttle:
    """How fast scenes may be encoded: a pause after each batch, or scenes a minute."""

    pause_s: float = 0.0
    per_minute: float | None = None

    def wait(self, encoded: int, *, took_s: float) -> None:
        """Sleep after a batch of this many scenes, which took this long."""
        least_s = 0.0 if self.per_minute is None else encoded * 60 / self.per_minute
        time.sleep(max(self.pause_s, least_s - took_s, 0.0))


# Told the statuses of the scenes of one committed batch.
OnBatch = Callable[[Counter[ChannelStatus]], None]


class Backfill:
    """One run for some owners. Nothing is remembered: a second run does what is still missing.

    Two runs at once, or a run beside indexing, repeat some work and harm nothing.
    """

    def __init__(
        self,
        db: Database,
        storage: Storage,
        models: SpaceModels,
        wanted: Wanted,
        *,
        clip_enabled: bool,
    ) -> None:
        """db works as Role.WORKER; clip_enabled is CLIP_ENABLED, for owners who do not say."""
        self._db = db
        self._clip_enabled = clip_enabled
        self._storage = storage
        self._models = models
        self._wanted = wanted

    def space(self, owner_id: UUID) -> StoredSpace | None:
        """The space that would be filled, without opening it; None if it was never opened.

        Raises ModelUnavailable if the configured model cannot be loaded, NotFound if there is no
        space with the id that is wanted.
        """
        if self._wanted.space_id is not None:
            return self._stored(owner_id, self._wanted.space_id)
        with closing(TextEncoders(self._db, owner_id=owner_id)) as texts:
            loaded = self._load(texts)(self._models.configured)
        with self._db.transaction(owner_id=owner_id) as tx:
            space_id = spaces.find_space(tx, loaded)
            return None if space_id is None else spaces.get_space(tx, space_id)

    def lacking(
        self, owner_id: UUID, space: StoredSpace | None, limit: int | None = None
    ) -> Counter[UUID]:
        """How many scenes of each of the owner's videos have no vector in a space, and could."""
        counts: Counter[UUID] = Counter()
        for page in self._pages(owner_id, space, PAGE, limit):
            counts.update(one.video_id for one in page)
        return counts

    def run(
        self,
        owner_id: UUID,
        *,
        on_batch: OnBatch = lambda ended: None,
        throttle: Throttle | None = None,
        limit: int | None = None,
    ) -> Counter[ChannelStatus]:
        """Encode what the owner's scenes lack, `limit` scenes at most; how many ended how.

        Raises ModelUnavailable if the model cannot be loaded, or no longer, and Conflict if the
        space is dropped meanwhile. What was committed stays.
        """
        total: Counter[ChannelStatus] = Counter()
        with closing(TextEncoders(self._db, owner_id=owner_id)) as texts:
            target = self._target(owner_id, texts)
            for page in self._pages(owner_id, target.stored, BATCH, limit):
                for batch in _by_video(page):
                    began = time.monotonic()
                    ended = self._batch(owner_id, target, texts, batch)
                    total += ended
                    on_batch(ended)
                    if throttle is not None:
                        throttle.wait(len(batch), took_s=time.monotonic() - began)
        return total

    def _target(self, owner_id: UUID, texts: TextEncoders) -> Target:
        load = self._load(texts)
        if self._wanted.space_id is not None:
            stored = self._stored(owner_id, self._wanted.space_id)
            target = target_of(self._models, stored, load)
            if target.problem is not None:
                raise ModelUnavailable(target.problem)
            return target
        ours = self._models.configured
        source = source_of(ours.settings, self._wanted.channel)
        return Target(opened(self._db, load(ours), source, owner_id=owner_id), ours)

    def _stored(self, owner_id: UUID, space_id: int) -> StoredSpace:
        with self._db.transaction(owner_id=owner_id) as tx:
            stored = spaces.get_space(tx, space_id)
        if stored is None or stored.space.channel is not self._wanted.channel:
            raise NotFound(
                f"There is no space {space_id} of {self._wanted.channel}. `scenebook spaces list` "
                "shows them all."
            )
        return stored

    def _load(self, texts: TextEncoders) -> Load:
        channel = self._wanted.channel

        def load(models: Models) -> EmbeddingSpace:
            if channel is Channel.VISUAL_CLIP:
                return models.encoders.image_space()
            return texts.of(models).text_space(channel)

        return load

    def _pages(
        self, owner_id: UUID, space: StoredSpace | None, most: int, limit: int | None
    ) -> Iterator[list[Lacking]]:
        """The scenes that lack a vector, page by page; each once, whatever becomes of it."""
        after: Lacking | None = None
        left = limit
        while left is None or left > 0:
            with self._db.transaction(owner_id=owner_id) as tx:
                stored = None if space is None else spaces.get_space(tx, space.id)
                # A channel's first space is active as soon as it is opened.
                first = stored is None and spaces.active_space(tx, self._wanted.channel) is None
                page = scenes_lacking(
                    tx,
                    owner_id=owner_id,
                    channel=self._wanted.channel,
                    space_id=None if stored is None else stored.id,
                    is_active=first or (stored is not None and stored.is_active),
                    statuses=self._statuses(tx, owner_id),
                    video_id=self._wanted.video_id,
                    after=after,
                    most=most if left is None else min(most, left),
                )
            if not page:
                return
            yield page
            after = page[-1]
            left = None if left is None else left - len(page)

    def _statuses(self, tx: Connection, owner_id: UUID) -> frozenset[ChannelStatus]:
        """What a scene may have ended with and be tried again."""
        again = FAILED if self._wanted.retry_failed else WORTH_ANOTHER_TRY
        seen = self._wanted.channel is Channel.VISUAL_CLIP
        if seen and owners.clip_enabled(tx, owner_id=owner_id, default=self._clip_enabled):
            return again | {ChannelStatus.DISABLED}
        return again

    def _batch(
        self, owner_id: UUID, target: Target, texts: TextEncoders, batch: Sequence[Lacking]
    ) -> Counter[ChannelStatus]:
        """Encode scenes of one video and commit them, with the video's status and sidecars."""
        ids = [one.id for one in batch]
        with self._db.transaction(owner_id=owner_id) as tx:
            found = scenes.by_ids(tx, owner_id=owner_id, ids=ids)
        results = self._encoded(
            owner_id, target, texts, [found[one.id] for one in batch if one.id in found]
        )
        video_id = batch[0].video_id
        with self._db.transaction(owner_id=owner_id) as tx:
            queue.lock_video(tx, owner_id=owner_id, video_id=video_id)
            states.lock(tx, owner_id=owner_id, scene_ids=ids)
            still = scenes.by_ids(tx, owner_id=owner_id, ids=ids)
            fresh = [one for one in results if self._is_same(one.scene, still)]
            done = SpaceResults(target.stored, fresh)
            try:
                active = store_beside(tx, self._wanted.channel, done, owner_id=owner_id)
            except SpacesChanged:
                raise Conflict("The space was dropped while it was being filled.") from None
            if active:
                settle_again(tx, owner_id=owner_id, video_id=video_id)
        return Counter(one.state.status for one in fresh)

    def _is_same(self, scene: Scene, still: Mapping[UUID, Scene]) -> bool:
        """Whether what was encoded is what the scene says; keyframes of a scene never change."""
        if scene.id not in still or self._wanted.channel is Channel.VISUAL_CLIP:
            return scene.id in still
        channel = self._wanted.channel
        return text_of(still[scene.id], channel) == text_of(scene, channel)

    def _encoded(
        self, owner_id: UUID, target: Target, texts: TextEncoders, batch: Sequence[Scene]
    ) -> list[SceneResult]:
        assert target.stored is not None
        if self._wanted.channel is not Channel.VISUAL_CLIP:
            encoder = texts.of(target.models)
            return _texts(encoder, target.stored.space, batch)
        settings, encoders = target.models.settings, target.models.encoders
        with self._db.transaction(owner_id=owner_id) as tx:
            known = spaces.known_vectors(
                tx,
                owner_id=owner_id,
                space_id=target.stored.id,
                image_hashes=visual_vectors.image_hashes(settings, batch),
                asking=[scene.id for scene in batch],
            )
        results = visual_vectors.embed_scenes(settings, encoders, self._storage, batch, known=known)
        for one in results:
            if one.state.status is ChannelStatus.LOAD_ERROR:
                raise ModelUnavailable(one.state.error)
        return results


def _texts(
    encoder: TextEncoder, space: EmbeddingSpace, batch: Sequence[Scene]
) -> list[SceneResult]:
    """The batch at once; after a failure that a text may cause one by one, to find which does."""
    try:
        return text_vectors.embed_scenes(encoder, space, batch)
    except (Unavailable, ConfigurationError):
        raise  # no scene is at fault
    except ScenebookError as error:
        if len(batch) > 1:
            return [result for one in batch for result in _texts(encoder, space, [one])]
        timed_out = isinstance(error, DeadlineExceeded)
        status = ChannelStatus.TIMEOUT if timed_out else ChannelStatus.ERROR
        return text_vectors.refused(space.channel, batch, status, str(error))


def _by_video(page: Sequence[Lacking]) -> Iterator[list[Lacking]]:
    for _, of_video in groupby(page, key=lambda one: (one.video_id, one.generation)):
        yield list(of_video)
