"""Storage: sources and pictures as objects under keys, in a bucket or a local directory."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import UUID

import obstore
import structlog
from obstore.exceptions import BaseError
from obstore.store import ObjectStore, from_url

from scenebook.errors import ConfigurationError, InvalidMedia, OutOfReach
from scenebook.local_disk import check_room, writing

log = structlog.get_logger(__name__)

PART_BYTES = 8 * 1024 * 1024
PARTS_AT_ONCE = 2
# Held in memory for everybody who watches a video.
STREAM_BYTES = 1024 * 1024
LISTED_AT_ONCE = 500
# A bucket that is silent for so long is away. obstore alone would ask again for three minutes, and
# give up after half a minute on a large object that does arrive.
SILENCE_S = 20.0
LONGEST_TRANSFER_S = 3600.0
RETRIES = 4

# Lies in a local storage directory. Where it is missing, a disk is not mounted or the directory was
# moved away: what is written would be lost, and what is missing is not deleted.
MARKER = ".scenebook-storage"

OnPart = Callable[[], None]


def _ignore() -> None:
    """Whoever copies a little needs no sign of life."""


def video_prefix(*, owner_id: UUID, video_id: UUID) -> str:
    """Every object of a video lies under this key, and the owner comes first."""
    return f"{owner_id}/{video_id}"


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as it is listed; `modified` knows its time zone."""

    key: str
    bytes: int
    modified: datetime


class Storage:
    """Objects by key. Raises FileNotFoundError for a missing key, Unavailable for the rest.

    Errors reach owners, so they name no path and repeat nothing of what the storage said; the log
    does. `on_part` is called for every part or object of what may take long, and may raise.
    """

    def __init__(self, url: str, *, silence_s: float = SILENCE_S) -> None:
        self._root = Path(unquote(urlsplit(url).path)) if url.startswith("file:") else None
        try:
            if self._root is not None:
                _take_directory(self._root)
            self._store = _store_at(url, silence_s)
        except (BaseError, OSError, ValueError) as error:
            raise ConfigurationError(
                f"STORAGE_URL: {str(error).splitlines()[0]}. Use s3://bucket/prefix or file:///path."
            ) from error

    @contextmanager
    def _reaching(self, what: str) -> Iterator[None]:
        self._check_directory()
        try:
            yield
        except FileNotFoundError:
            self._check_directory()
            raise
        except (BaseError, OSError) as error:
            log.warning("storage_failed", what=what, error=str(error))
            raise OutOfReach(f"Storage did not {what}. Check STORAGE_URL.") from error
        self._check_directory()  # it may have gone meanwhile, and a write makes it anew

    def _check_directory(self) -> None:
        if self._root is not None and not (self._root / MARKER).is_file():
            log.error(
                "storage_directory_gone",
                directory=str(self._root),
                to_begin_anew=f"remove {_memory_of(self._root)}",
            )
            raise OutOfReach(
                "The storage directory is gone or empty. Check STORAGE_URL, and that its disk is "
                "mounted."
            )

    def _writer(self, key: str) -> obstore.WritableFile:
        """For an object in parts; as many as are on their way at once are in memory."""
        return obstore.open_writer(
            self._store, key, buffer_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE
        )

    def put(self, key: str, content: bytes) -> None:
        """Store bytes under a key, replacing what was there."""
        with self._reaching("take an object"):
            obstore.put(self._store, key, content)

    def put_file(self, key: str, path: Path, *, on_part: OnPart = _ignore) -> None:
        """Store a file under a key, in parts; there is no object until all of them are stored."""
        with (
            path.open("rb") as file,
            self._reaching("take a file"),
            self._writer(key) as writer,
        ):
            while part := file.read(PART_BYTES):
                writer.write(part)
                on_part()

    def join(self, parts: Sequence[str], key: str, *, on_part: OnPart = _ignore) -> str:
        """Store objects one after the other as one; returns its SHA-256 in hexadecimal.

        Each part is held in memory for a moment.
        """
        digest = hashlib.sha256()
        with (
            self._reaching("join objects"),
            self._writer(key) as writer,
        ):
            for part in parts:
                content = obstore.get(self._store, part).bytes()
                digest.update(content)
                writer.write(content)
                on_part()
        return digest.hexdigest()

    def copy(self, key: str, to: str) -> None:
        """Store what lies under a key under another one too."""
        with self._reaching("copy an object"):
            obstore.copy(self._store, key, to)

    def list_prefix(self, prefix: str) -> dict[str, int]:
        """Every key under a prefix and how many bytes lie there."""
        with self._reaching("list objects"):
            return {
                found["path"]: int(found["size"])
                for batch in obstore.list(self._store, prefix=prefix)
                for found in batch
            }

    def prefixes(self) -> list[str]:
        """The first part of every key: the owners that have objects."""
        with self._reaching("list objects"):
            found = obstore.list_with_delimiter(self._store)
            return [prefix.rstrip("/") for prefix in found["common_prefixes"]]

    def objects(self, prefix: str) -> Iterator[list[StoredObject]]:
        """What lies under a prefix, in batches: there may be more than fits into memory."""
        with self._reaching("list objects"):
            for batch in obstore.list(self._store, prefix=prefix, chunk_size=LISTED_AT_ONCE):
                yield [
                    StoredObject(one["path"], int(one["size"]), one["last_modified"])
                    for one in batch
                ]

    def remove_unchanged(self, listed: StoredObject) -> bool:
        """Delete an object unless it has been written anew since it was listed."""
        try:
            with self._reaching("tell an age"):
                now = obstore.head(self._store, listed.key)["last_modified"]
        except FileNotFoundError:
            return False
        if now != listed.modified:
            return False
        self.delete(listed.key)
        return True

    def get(self, key: str) -> bytes:
        """The bytes under a key."""
        with self._reaching("give an object"):
            return bytes(obstore.get(self._store, key).bytes())

    def size(self, key: str) -> int:
        """How many bytes lie under a key."""
        with self._reaching("tell a size"):
            return int(obstore.head(self._store, key)["size"])

    def get_range(self, key: str, start: int, end: int) -> bytes:
        """The bytes [start, end) under a key; both lie within the object, and they differ."""
        with self._reaching("give a part"):
            return bytes(obstore.get_range(self._store, key, start=start, end=end))

    def stream(self, key: str, start: int, end: int) -> Iterator[bytes]:
        """The bytes [start, end) in parts; whoever reads slowly holds no connection meanwhile."""
        for at in range(start, end, STREAM_BYTES):
            yield self.get_range(key, at, min(at + STREAM_BYTES, end))

    def fetch(
        self, key: str, path: Path, *, expected_hash: str | None = None, on_part: OnPart = _ignore
    ) -> None:
        """Copy an object to a local file, checking free space first and its SHA-256 after.

        Raises InvalidMedia if the bytes are not those that were uploaded.
        """
        digest = hashlib.sha256()
        with self._reaching("give a file"):
            found = obstore.get(self._store, key)
        with writing(path):
            check_room(path.parent, found.meta["size"])
            with path.open("wb") as file:
                for part in self._parts(found):
                    digest.update(part)
                    file.write(part)
                    on_part()
        if expected_hash is not None and digest.hexdigest() != expected_hash:
            raise InvalidMedia(
                "The stored source is not the file that was uploaded. Upload it again.",
                code="source_changed",
            )

    def _parts(self, found: obstore.GetResult) -> Iterator[obstore.Bytes]:
        with self._reaching("give a file"):
            yield from found.stream(min_chunk_size=PART_BYTES)

    def delete_prefix(self, prefix: str, *, on_part: OnPart = _ignore) -> int:
        """Delete every object under a prefix; returns how many there were."""
        deleted = 0
        with self._reaching("list objects"):
            for batch in obstore.list(self._store, prefix=prefix):
                for found in batch:
                    self.delete(found["path"])
                    deleted += 1
                    on_part()
        if self._root is not None and prefix:
            # A write that was cut off leaves a file that is no object.
            shutil.rmtree(self._root / prefix, ignore_errors=True)
        return deleted

    def delete(self, key: str) -> None:
        """Delete an object; a missing one is no error."""
        with self._reaching("delete an object"):
            try:
                obstore.delete(self._store, key)
            except FileNotFoundError:
                return


def _store_at(url: str, silence_s: float) -> ObjectStore:
    if url.startswith("file:"):
        return from_url(url)
    return from_url(
        url,
        client_options={
            "read_timeout": timedelta(seconds=silence_s),
            "timeout": timedelta(seconds=LONGEST_TRANSFER_S),
            "allow_http": True,  # to an endpoint whose address says so
        },
        retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=silence_s)},
    )


def _memory_of(root: Path) -> Path:
    return root.with_name(f".{root.name}.scenebook")


def _take_directory(root: Path) -> None:
    """Make a storage directory where there never was one.

    A file beside it remembers that there was: whoever starts while its disk is not mounted must
    not begin anew in the empty place.
    """
    memory = _memory_of(root)
    root.mkdir(parents=True, exist_ok=True)
    if not (root / MARKER).exists():
        if memory.exists():
            return
        (root / MARKER).touch()
    with suppress(OSError):  # the directory above may be closed to us
        memory.touch()
