"""What of the migrations a database has had: refuses schemas that this release did not make."""

from __future__ import annotations

import re

import sqlalchemy as sa

from scenebook.db import schema
from scenebook.db.schema import SCHEMA, checksum
from scenebook.errors import ConfigurationError

TABLE = f"""
create table if not exists {SCHEMA}.revision_files (
    revision text primary key,
    checksum text not null
);
comment on table {SCHEMA}.revision_files is 'What each applied revision said, comments left out.';
"""

COMMENT = re.compile(r"--[^\n]*")


def known() -> dict[str, str | None]:
    """Every revision of this release and the checksum of its SQL; None where it has no file."""
    directory = schema.DIRECTORY / "versions"
    return {
        path.name[:4]: _checksum_of(path.name[:4]) for path in sorted(directory.glob("[0-9]*.py"))
    }


def _checksum_of(revision: str) -> str | None:
    files = sorted((schema.DIRECTORY / "versions").glob(f"{revision}_*.sql"))
    said = [
        " ".join(COMMENT.sub("", path.read_text("utf-8")).split())
        for path in files
        if not path.name.endswith(".down.sql")
    ]
    return checksum("\n".join(said)) if said else None


def refuse_unknown(connection: sa.Connection, at: str | None) -> None:
    """Raise ConfigurationError for a schema that is newer than this release, or another one."""
    ours = known()
    if at is not None and at not in ours:
        raise ConfigurationError(
            f"The database is at revision {at}, and this release knows revisions up to "
            f"{max(ours)}: a newer release has migrated it. Run `scenebook migrate` of that "
            "release. This one works on the newer schema as it is, so to go back to it only "
            "leave its migration out."
        )
    rows = connection.execute(sa.text(f"select revision, checksum from {SCHEMA}.revision_files"))
    changed = sorted(row.revision for row in rows if ours.get(row.revision) != row.checksum)
    if changed:
        raise ConfigurationError(
            f"Revision {changed[0]} was applied to this database with other SQL than this release "
            "has. An applied revision is never edited: put its file back as it was, and write "
            "what is new as a revision of its own."
        )


def record(at: str | None) -> str:
    """SQL that remembers the revisions up to this one, and forgets those that were taken back."""
    applied = {
        revision: said
        for revision, said in known().items()
        if said is not None and at is not None and revision <= at
    }
    rows = ", ".join(f"('{revision}', '{said}')" for revision, said in applied.items())
    forget = f"delete from {SCHEMA}.revision_files where revision > '{at}';\n"
    return forget + (
        f"insert into {SCHEMA}.revision_files (revision, checksum) values {rows}"
        " on conflict (revision) do nothing;\n"
        if rows
        else ""
    )
