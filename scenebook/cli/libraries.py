"""Versions of the native code that comes inside packages and servers, and which of them are old."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from scenebook.cli.checks import Check, Verdict
from scenebook.db.schema import connection_to
from scenebook.environment import child_environment

Version = tuple[int, ...]

TIMEOUT_S = 60.0
# The first release of each line without the known holes that bite here: in decoders, and row
# security that statistics give away (CVE-2025-8713).
FFMPEG: Mapping[Version, Version] = {(7, 1): (7, 1, 5), (8, 0): (8, 0, 3), (8, 1): (8, 1, 2)}
POSTGRES: Mapping[int, int] = {15: 14, 16: 10, 17: 6}
# Earlier ones damage HNSW indexes in vacuum or overflow in parallel builds.
PGVECTOR: Version = (0, 8, 6)
REDIS: Version = (6, 2)

# In a process of its own: only the media child loads these into one that lives on.
ASK = """
import json
def ask(what):
    try:
        return what()
    except Exception as error:
        return f"not to be had ({type(error).__name__})"
def ffmpeg():
    import av
    libraries = {n: ".".join(map(str, v)) for n, v in av.library_versions.items()}
    return {"ffmpeg": str(av.ffmpeg_version_info), **libraries}
def opencv():
    import cv2
    wanted = ("avcodec:", "JPEG:", "PNG:", "WEBP:", "TIFF:")
    lines = [line.split() for line in cv2.getBuildInformation().splitlines()]
    return {"opencv": cv2.__version__} | {
        line[0].rstrip(":"): " ".join(line[1:]) for line in lines if line and line[0] in wanted}
def pillow():
    from PIL import features
    names = ("libjpeg_turbo", "webp", "zlib", "libtiff", "avif")
    return {n: str(features.version(n)) for n in ("pil", *names)}
def libpq():
    import psycopg
    return {"libpq": str(psycopg.pq.version()), "psycopg": psycopg.__version__}
def sound():
    import soundfile
    return {"libsndfile": soundfile.__libsndfile_version__}
def onnx():
    import onnxruntime
    return {"onnxruntime": onnxruntime.__version__}
print(json.dumps({f.__name__: ask(f) for f in (ffmpeg, opencv, pillow, libpq, sound, onnx)}))
"""


def check_libraries() -> Iterator[Check]:
    """What PyAV, OpenCV, Pillow and the others bring along."""
    try:
        asked = subprocess.run(
            [sys.executable, "-c", ASK],
            env=child_environment(),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=True,
        )
        found = json.loads(asked.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        yield Check("libraries", Verdict.WARN, f"cannot be asked: {type(error).__name__}")
        return
    for name, versions in found.items():
        if isinstance(versions, str):
            yield Check(f"library {name}", Verdict.OFF, versions)
            continue
        shown = ", ".join(f"{what} {version}" for what, version in versions.items())
        old = name == "ffmpeg" and is_old_ffmpeg(versions["ffmpeg"])
        remedy = "Install a newer `av`: this FFmpeg has known holes in decoders." if old else None
        yield Check(f"library {name}", Verdict.WARN if old else Verdict.OK, shown, remedy)


def is_old_ffmpeg(version: str) -> bool:
    """Whether a release has known holes; a build without a number is not judged."""
    found = parsed(version)
    if len(found) < 2:
        return False
    line = found[:2]
    return found < FFMPEG.get(line, max(FFMPEG)) if line <= max(FFMPEG) else False


def check_database(url: str, *, embedded: bool) -> Iterator[Check]:
    """What the server is made of; one that cannot be asked has said so before."""
    try:
        with connection_to(url) as connection:
            number = connection.execute(text("show server_version_num")).scalar_one()
            version = connection.execute(
                text("select extversion from pg_extension where extname = 'vector'")
            ).scalar()
            indexes = check_indexes(connection)
    except DBAPIError:
        return
    yield check_postgres(int(number))
    if version is not None:
        yield check_pgvector(str(version), embedded=embedded)
    yield indexes


def check_postgres(number: int) -> Check:
    """The server's version, as `server_version_num` gives it."""
    major, minor = divmod(number, 10000)
    shown = f"Postgres {major}.{minor}"
    if minor < POSTGRES.get(major, 0):
        return Check(
            "postgres release",
            Verdict.WARN,
            shown,
            f"Update to {major}.{POSTGRES[major]}: before, statistics give away what row security "
            "hides (CVE-2025-8713).",
        )
    return Check("postgres release", Verdict.OK, shown)


def check_pgvector(version: str, *, embedded: bool) -> Check:
    """pgvector in the database; the embedded server's comes with its package."""
    if parsed(version) >= PGVECTOR or embedded:
        return Check("pgvector release", Verdict.OK, version)
    return Check(
        "pgvector release",
        Verdict.WARN,
        version,
        f"Update pgvector to {'.'.join(map(str, PGVECTOR))} or newer and run `alter extension "
        "vector update`; then reindex what an older one built.",
    )


def check_indexes(connection: Connection) -> Check:
    """Indexes that were not built to their end: they cost every write and serve nobody."""
    rows = connection.execute(
        text(
            "select indexrelid::regclass::text as name from pg_index"
            " where not indisvalid and indrelid in (select oid from pg_class"
            " where relnamespace = 'public'::regnamespace) order by 1"
        )
    )
    names = [row.name for row in rows]
    if not names:
        return Check("indexes", Verdict.OK, "all valid")
    remedy = f"reindex index concurrently {names[0]}; or drop it, if its name ends in _ccnew."
    return Check("indexes", Verdict.WARN, f"not valid: {', '.join(names)}", remedy)


def check_redis(url: str) -> Check:
    """The broker's version."""
    import redis

    try:
        plain = url.replace("redis+socket://", "unix://", 1)
        with closing(redis.Redis.from_url(plain, socket_timeout=3)) as broker:
            version = str(broker.info("server")["redis_version"])
    except (redis.RedisError, KeyError) as error:
        return Check("redis release", Verdict.OFF, f"not to be had ({type(error).__name__})")
    old = parsed(version) < REDIS
    remedy = f"Update Redis to {'.'.join(map(str, REDIS))} or newer." if old else None
    return Check("redis release", Verdict.WARN if old else Verdict.OK, version, remedy)


def parsed(version: str) -> Version:
    """The numbers that a version begins with; without any, nothing."""
    numbers: list[int] = []
    for part in version.lstrip("nv").replace("-", ".").split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)
