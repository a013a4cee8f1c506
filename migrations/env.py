"""Alembic's door: runs revisions, then re-applies every SQL function that changed."""

from __future__ import annotations

from alembic import context

from scenebook.db import migrate
from scenebook.errors import ConfigurationError
from scenebook.settings import get_settings


def _url() -> str:
    given = context.config.attributes.get("url")
    if given is not None:
        return str(given)
    settings = get_settings()
    configured = settings.migrations_database_url or settings.database_url
    if configured is None:
        raise ConfigurationError(
            "Set MIGRATIONS_DATABASE_URL or DATABASE_URL, or run `scenebook migrate`, which also "
            "knows the embedded server."
        )
    return configured


def _run() -> None:
    migrate.prepare(context.get_context())
    with context.begin_transaction():
        context.run_migrations()
    migrate.finish(context.get_context())


if context.is_offline_mode():
    context.configure(dialect_name="postgresql", **migrate.CONTEXT_OPTIONS)
    _run()
else:
    with migrate.locked_connection(_url()) as connection:
        context.configure(connection=connection, **migrate.CONTEXT_OPTIONS)
        _run()
