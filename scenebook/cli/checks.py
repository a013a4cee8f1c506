"""Checks of what Scenebook stands on; each says what it found and, if need be, how to mend it."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import sqlalchemy as sa

from scenebook.cli.workplace import why_silent
from scenebook.db import migrate, schema
from scenebook.db.engine import ROLE_NOT_GRANTED, Role, check_role, psycopg_url
from scenebook.db.roles import login_is_unbound
from scenebook.embedded import postgres as embedded_postgres
from scenebook.embedded import redis as embedded_redis
from scenebook.encoders.inference import InferenceChild, Kind
from scenebook.errors import ConfigurationError, ScenebookError, Unavailable
from scenebook.settings import Settings
from scenebook.storage import Storage

LOW_DISK_BYTES = 2 * 1024**3
LEAST_POSTGRES = 15
LEAST_PGVECTOR = (0, 8)
EXTRAS = {
    "text": ("sentence_transformers", "torch"),
    "clip": ("open_clip", "torch", "torchvision"),
    "speech": ("faster_whisper",),
}


class Verdict(StrEnum):
    """What a check came to; `off` is a choice, `warn` a loss, `fail` stops the work."""

    OK = "ok"
    OFF = "off"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding and its remedy."""

    name: str
    verdict: Verdict
    detail: str
    remedy: str | None = None
    seconds: float | None = None


def check_python() -> Check:
    """Interpreter and platform."""
    found = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    if not (3, 11) <= sys.version_info[:2] <= (3, 12):
        return Check("python", Verdict.FAIL, found, "Use Python 3.11 or 3.12.")
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        remedy = "Supported is Linux x86-64; elsewhere set DATABASE_URL and REDIS_URL."
        return Check("python", Verdict.WARN, found, remedy)
    return Check("python", Verdict.OK, found)


def check_packages() -> Iterator[Check]:
    """The optional packages."""
    for extra, modules in EXTRAS.items():
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
        if missing:
            yield Check(
                f"package extra {extra}",
                Verdict.WARN,
                f"not installed: {', '.join(missing)}",
                f"pip install -c constraints.txt 'scenebook[{extra}]'",
            )
        else:
            yield Check(f"package extra {extra}", Verdict.OK, ", ".join(modules))


def check_embedded() -> Iterator[Check]:
    """The binaries of the embedded servers."""
    for name, find in (
        ("embedded postgres", lambda: embedded_postgres.binary("postgres")),
        ("embedded redis", embedded_redis.binary),
    ):
        yield _found(name, find)


def _found(name: str, find: Callable[[], Path]) -> Check:
    try:
        return Check(name, Verdict.OK, str(find()))
    except Unavailable as error:
        return Check(name, Verdict.WARN, "not installed", str(error))


def check_disk(settings: Settings) -> Iterator[Check]:
    """Free space where data and temporary copies of videos go."""
    data = settings.scenebook_data_dir.resolve()
    while not data.exists():
        data = data.parent
    places = {"data": data, "temporary files": Path(tempfile.gettempdir())}
    for name, place in places.items():
        free = shutil.disk_usage(place).free
        verdict = Verdict.OK if free >= LOW_DISK_BYTES else Verdict.WARN
        variable = "SCENEBOOK_DATA_DIR" if name == "data" else "TMPDIR"
        yield Check(
            f"disk for {name}",
            verdict,
            f"{free / 1024**3:.1f} GiB free in {place}",
            f"Free some space, or set {variable} elsewhere." if verdict is Verdict.WARN else None,
        )


def check_database(url: str, *, embedded: bool = False) -> Iterator[Check]:
    """Postgres: reachable, new enough, with pgvector, at the newest schema."""
    engine = sa.create_engine(
        psycopg_url(url), poolclass=sa.NullPool, connect_args={"connect_timeout": 5}
    )
    try:
        with engine.connect() as connection:
            major = (
                int(connection.execute(sa.text("show server_version_num")).scalar_one()) // 10000
            )
            version = connection.execute(
                sa.text("select default_version from pg_available_extensions where name = 'vector'")
            ).scalar()
    except sa.exc.DBAPIError as error:
        where = psycopg_url(url).render_as_string(hide_password=True)
        reason = str(error.orig).strip().splitlines()[0]
        remedy = "Check DATABASE_URL, and that the server runs and can be reached from here."
        yield Check("database", Verdict.FAIL, f"{where}: {reason}", remedy)
        return
    enough = major >= LEAST_POSTGRES
    yield Check(
        "database",
        Verdict.OK if enough else Verdict.FAIL,
        f"Postgres {major}",
        None if enough else f"Use Postgres {LEAST_POSTGRES} or newer.",
    )
    yield _pgvector(version)
    yield _schema(url)
    yield from _roles(url, embedded=embedded)


def _roles(url: str, *, embedded: bool) -> Iterator[Check]:
    """Row security holds every process, and whoever could break out of its role."""
    missing = []
    try:
        for role in Role:
            if (why := _not_granted(url, role)) is not None:
                missing.append(why)
        with schema.connection_to(url) as connection:
            unbound = login_is_unbound(connection)
    except ConfigurationError as error:
        yield Check("roles", Verdict.FAIL, str(error), "Run the statement that it names.")
        return
    except sa.exc.DBAPIError as error:
        yield Check("roles", Verdict.FAIL, str(error.orig), "scenebook migrate")
        return
    if missing:
        remedy = "Right for a login of another process; else run what it names."
        yield Check("roles", Verdict.WARN, " ".join(missing), remedy)
        return
    detail = "row security holds " + ", ".join(Role)
    if unbound and not embedded:  # whose socket nobody else can reach
        remedy = "Use a plain login in DATABASE_URL; docs/security.md has the statements."
        detail += ", but not the login behind them"
        yield Check("roles", Verdict.WARN, detail, remedy)
        return
    yield Check("roles", Verdict.OK, detail)


def _not_granted(url: str, role: Role) -> str | None:
    """Why the login may not take a role. Raises ConfigurationError for a role that is unsafe."""
    try:
        check_role(url, role)
    except ConfigurationError as error:
        if error.code != ROLE_NOT_GRANTED:
            raise
        return str(error)
    return None


def _pgvector(version: str | None) -> Check:
    if version is None:
        remedy = "Install pgvector on the server, or use a host that offers it."
        return Check("pgvector", Verdict.FAIL, "not available", remedy)
    if tuple(int(part) for part in version.split(".")[:2]) < LEAST_PGVECTOR:
        return Check("pgvector", Verdict.FAIL, version, "Install pgvector 0.8 or newer.")
    return Check("pgvector", Verdict.OK, version)


def _schema(url: str) -> Check:
    try:
        if schema.is_at_head(url):
            return Check("schema", Verdict.OK, f"at {migrate.current(url)}")
        detail = f"at {migrate.current(url) or 'nothing'}, not at the newest"
    except ScenebookError as error:
        detail = str(error)
    return Check("schema", Verdict.FAIL, detail, "scenebook migrate")


def check_broker(url: str) -> Check:
    """Redis answers."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]  # without a password
    shown = f"{parts.scheme}://{host}{parts.path}"
    if (reason := why_silent(url)) is not None:
        remedy = "Check REDIS_URL, and that the server runs. Work waits in Postgres meanwhile."
        return Check("redis", Verdict.FAIL, f"{shown}: {reason}", remedy)
    return Check("redis", Verdict.OK, shown)


def check_storage(settings: Settings) -> Check:
    """An object can be written, read and deleted."""
    key = f"doctor/{uuid4()}"
    try:
        storage = Storage(settings.storage)
        storage.put(key, b"scenebook")
        storage.get(key)
        storage.delete(key)
    except (ScenebookError, FileNotFoundError) as error:
        return Check("storage", Verdict.FAIL, str(error), "Check STORAGE_URL and its permissions.")
    return Check("storage", Verdict.OK, settings.storage)


def check_models(settings: Settings) -> Iterator[Check]:
    """Each model that is switched on is loaded; one that is missing is downloaded first."""
    with closing(InferenceChild(settings)) as inference:
        if settings.clip_enabled:
            yield _loads("clip", inference, settings.clip_model_name)
        else:
            yield Check("clip", Verdict.OFF, "CLIP_ENABLED is false", "Set CLIP_ENABLED=true.")
        if settings.text_embedding_provider == "local":
            yield _loads("text", inference, settings.text_embedding_model)
        if settings.transcription_provider in ("auto", "local"):
            yield _loads("speech", inference, settings.whisper_model)
        elif settings.transcription_provider == "off":
            remedy = "Set TRANSCRIPTION_PROVIDER=auto, or give subtitle files."
            yield Check("speech", Verdict.OFF, "TRANSCRIPTION_PROVIDER is off", remedy)


def _loads(kind: Kind, inference: InferenceChild, name: str) -> Check:
    try:
        loaded = inference.load(kind)
    except ScenebookError as error:
        return Check(kind, Verdict.WARN, f"{name} cannot be loaded", str(error))
    size = f", {loaded.dimensions} dimensions on {loaded.device}" if loaded else ""
    return Check(kind, Verdict.OK, f"{name} is loaded{size}")
