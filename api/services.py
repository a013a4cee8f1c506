"""What requests share in one process: database, storage, encoders, signer, limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from scenebook.db.engine import Database, Role
from scenebook.errors import ConfigurationError
from scenebook.settings import Settings
from scenebook.signing import Signer, secret_of
from scenebook.storage import Storage


@dataclass
class Services:
    """Made once a process, closed at its end."""

    settings: Settings
    db: Database
    storage: Storage
    signer: Signer

    @classmethod
    def make(cls, settings: Settings) -> Services:
        """Connect to everything that the settings name."""
        if settings.database_url is None:
            raise ConfigurationError("DATABASE_URL is not set. Run `scenebook up`, or set it.")
        return cls(
            settings=settings,
            db=Database(
                settings.database_url, role=Role.API, pool_size=settings.database_pool_size
            ),
            storage=Storage(settings.storage),
            signer=Signer(secret_of(settings)),
        )

    def close(self) -> None:
        """Give back what was opened."""
        self.db.close()


def services_of(request: Request) -> Services:
    """The services of the application that answers this request."""
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


ServicesOf = Annotated[Services, Depends(services_of)]
