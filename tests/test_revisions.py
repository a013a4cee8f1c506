"""Revisions only add, are never edited, and leave an older release working on what they made."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import psycopg
import pytest

from scenebook.db import migrate, schema
from scenebook.errors import ConfigurationError
from scenebook.model import VideoStatus
from tests.clips import still, write
from tests.conftest import ALICE
from tests.pipelines import a_pipeline, settings_for
from tests.test_migrations import facts_of

FILES = sorted(
    path
    for path in (schema.DIRECTORY / "versions").glob("*.sql")
    if not path.name.endswith(".down.sql")
)
# What an older release would trip over, or what has a filled table read or written in a lock.
BREAKING = {
    "drops a table or column": r"\bdrop\s+(table|column|view|type)\b",
    "renames": r"\brename\b",
    "changes a type": r"\balter\s+column\s+\w+\s+(set\s+data\s+)?type\b",
    "demands a value of old rows": r"\bset\s+not\s+null\b",
    "adds a column that old code does not fill": (
        r"\badd\s+column\s+\w+\s+[^,;]*?\bnot\s+null\b(?![^,;]*\bdefault\b)"
        r"(?<!default)"
    ),
    "takes a grant of ours back": r"\brevoke\b[^;]*\bfrom\b[^;]*\bscenebook_",
}
# Named with the reason why it may stay.
ALLOWED = {
    ("0005_lexical.sql", "scenes_owner_language_idx"): "its column is null in every row so far"
}


def code_of(path: Path) -> str:
    return re.sub(r"--[^\n]*", "", path.read_text("utf-8")).lower()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_revision_only_adds(path: Path) -> None:
    code = code_of(path)
    assert [name for name, pattern in BREAKING.items() if re.search(pattern, code)] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_an_index_on_a_table_that_was_there_before_is_built_concurrently(path: Path) -> None:
    code = code_of(path)
    new = set(re.findall(r"create table public\.(\w+)", code))
    indexes = re.findall(r"create (?:unique )?index (\w+)\s+on public\.(\w+)", code)
    late = {name for name, table in indexes if table not in new}
    assert late == {name for file, name in ALLOWED if file == path.name}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_constraint_that_is_dropped_comes_back(path: Path) -> None:
    code = code_of(path)
    dropped = re.findall(r"drop constraint (\w+)", code)
    assert [name for name in dropped if f"add constraint {name}" not in code] == []


def test_a_table_that_is_in_use_is_locked_with_the_others_or_not_at_all() -> None:
    # Alterations of several tables, one after the other, wait in a circle with those who write.
    for path in FILES:
        if path.name.startswith("0001"):
            continue
        code = code_of(path)
        new = set(re.findall(r"create table public\.(\w+)", code))
        altered = set(re.findall(r"alter table public\.(\w+)", code)) - new
        altered |= set(re.findall(r"create policy \w+ on public\.(\w+)", code)) - new
        locked = set(
            re.findall(r"'public\.(\w+)'", "".join(re.findall(r"lock_tables\([^)]*\)", code)))
        )
        assert altered - locked == set(), path.name


def test_the_schema_of_a_newer_release_is_refused_by_migrations_and_served(
    database_url: str,
) -> None:
    before = facts_of(database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute("update scenebook.alembic_version set version_num = '9000'")
        connection.execute("update scenebook.sql_functions set checksum = 'of the newer release'")
    with pytest.raises(ConfigurationError, match=r"at revision 9000.*a newer release"):
        migrate.upgrade(database_url)
    with pytest.raises(ConfigurationError, match="a newer release"):
        migrate.downgrade(database_url)
    assert facts_of(database_url) == before
    assert schema.is_at_head(database_url)  # so that copies of this release stay ready beside it


def test_a_revision_that_was_edited_after_it_was_applied_is_refused(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "migrations"
    shutil.copytree(schema.DIRECTORY, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(schema, "DIRECTORY", copy)
    file = copy / "versions" / "0002_spaces.sql"
    said = file.read_text()

    file.write_text("-- Another comment.\n" + said)
    migrate.upgrade(database_url)
    file.write_text(said + "\nalter table public.owners add column nickname text;\n")
    with pytest.raises(ConfigurationError, match=r"Revision 0002 was applied.*other SQL"):
        migrate.upgrade(database_url)


def test_a_revision_that_was_taken_back_may_be_edited(
    empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "migrations"
    shutil.copytree(schema.DIRECTORY, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(schema, "DIRECTORY", copy)
    monkeypatch.setattr(migrate, "DIRECTORY", copy)
    migrate.upgrade(empty_database_url)
    migrate.downgrade(empty_database_url, "0004")
    file = copy / "versions" / "0005_lexical.sql"
    file.write_text(file.read_text() + "\nselect 1;\n")
    migrate.upgrade(empty_database_url)
    assert schema.is_at_head(empty_database_url)


def test_this_release_works_on_a_schema_that_has_grown(database_url: str, tmp_path: Path) -> None:
    """As the release before does while the next one's migration has run already."""
    with psycopg.connect(database_url) as connection:
        tables = connection.execute(
            "select tablename from pg_tables where schemaname = 'public'"
        ).fetchall()
        for (table,) in tables:
            connection.execute(
                f"alter table public.{table} add column later text not null default 'later'"  # type: ignore[arg-type]
            )
        connection.execute("create table public.later (id integer)")
        connection.execute("update scenebook.alembic_version set version_num = '9000'")
    settings = settings_for(
        database_url, tmp_path / "data", clip_enabled=True, clip_model_name="fake"
    )
    clip = write(tmp_path / "clip.mp4", still(1, 30))
    with a_pipeline(settings) as pipeline:
        video = pipeline.index(clip, owner_id=ALICE)
    assert video.status in (VideoStatus.READY, VideoStatus.PARTIAL), video.reason
