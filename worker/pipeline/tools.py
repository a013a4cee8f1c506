"""Tools: what a stage works with, made once in each worker process and after its fork."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from scenebook.db.engine import Database, Role
from scenebook.db.paid_calls import PaidCallsOf
from scenebook.encoders.client import Encoders
from scenebook.errors import ConfigurationError
from scenebook.remote import RemoteModels
from scenebook.settings import Settings
from scenebook.space_models import SpaceModels
from scenebook.storage import Storage
from scenebook.temporary import remove_abandoned
from worker.media.client import MediaChild
from worker.media.types import MediaLimits


@dataclass(frozen=True)
class Tools:
    """Database, storage, child processes, and the settings they were made from.

    `encoders` has the configured models; `models` has those and the models of other spaces.
    """

    settings: Settings
    db: Database
    beats: Database
    storage: Storage
    media: MediaChild
    encoders: Encoders
    models: SpaceModels

    @classmethod
    def make(cls, settings: Settings) -> Tools:
        """Connect to what the settings name; child processes start when they are first needed."""
        if settings.database_url is None:
            raise ConfigurationError(
                "DATABASE_URL is not set. Run `scenebook up`, which starts a database, or set it."
            )
        remove_abandoned()  # the process before this one may have been killed with a source copy
        # Whether a scene gets a CLIP vector is decided owner by owner, by the stage.
        clip_on = settings.model_copy(update={"clip_enabled": True})
        encoders = Encoders(clip_on)
        return cls(
            settings=settings,
            db=Database(
                settings.database_url, role=Role.WORKER, pool_size=settings.database_pool_size
            ),
            beats=Database(settings.database_url, role=Role.WORKER, pool_size=1),
            storage=Storage(settings.storage),
            media=MediaChild(MediaLimits.from_settings(settings)),
            encoders=encoders,
            models=SpaceModels(clip_on, encoders),
        )

    @contextmanager
    def remote(self, *, owner_id: UUID) -> Iterator[RemoteModels]:
        """Models behind an API, with this owner's paid answers."""
        models = RemoteModels(self.settings, PaidCallsOf(self.db, owner_id=owner_id))
        try:
            yield models
        finally:
            models.close()

    def close(self) -> None:
        """End the child processes and the connections."""
        self.media.close()
        self.models.close()
        self.encoders.close()
        self.db.close()
        self.beats.close()
