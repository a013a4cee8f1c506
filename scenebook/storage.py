"""Storage: sources and pictures as objects under keys, in a bucket or a local directory."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import UUID

import obstore
import structlog
from obstore.exceptions import BaseError
from obstore.store import from_url

from scenebook.errors import ConfigurationError, InvalidMedia, OutOfReach

log = structlog.get_logger(__name__)

PART_BYTES = 8 * 1024 * 1024
PARTS_AT_ONCE = 2
# Held in memory for everybody who watches a video.
STREAM_BYTES = 1024 * 1024
# A source may grow by this much in temporary files beside it: audio and pictures.
HEADROOM = 256 * 1024 * 1024


OnPart = Callable[[], None]


def _ignore() -> None:
    """Whoever copies a little needs no sign of life."""


def video_prefix(*, owner_id: UUID, video_id: UUID) -> str:
    """Every object of a video lies under this key, and the owner comes first."""
    return f"{owner_id}/{video_id}"


class Storage:
    """Objects by key. Raises FileNotFoundError for a missing key, Unavailable for the rest.

    Errors reach owners, so they name no path and repeat nothing of what the storage said; the log
    does. `on_part` is called for every part or object of what may take long, and may raise.
    """

    def __init__(self, url: str) -> None:
        self._root = Path(unquote(urlsplit(url).path)) if url.startswith("file:") else None
        try:
            if self._root is not None:
                self._root.mkdir(parents=True, exist_ok=True)
            self._store = from_url(url)
        except (BaseError, OSError, ValueError) as error:
            raise ConfigurationError(
                f"STORAGE_URL: {str(error).splitlines()[0]}. Use s3://bucket/prefix or file:///path."
            ) from error

    @contextmanager
    def _reaching(self, what: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            if self._root is not None and not self._root.is_dir():
                log.error("storage_directory_gone", directory=str(self._root))
                raise OutOfReach("The storage directory is gone. Check STORAGE_URL.") from None
            raise
        except (BaseError, OSError) as error:
            log.warning("storage_failed", what=what, error=str(error))
            raise OutOfReach(f"Storage did not {what}. Check STORAGE_URL.") from error

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
        with _writing(path):
            _check_room(path.parent, found.meta["size"])
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
        return deleted

    def delete(self, key: str) -> None:
        """Delete an object; a missing one is no error."""
        with self._reaching("delete an object"):
            try:
                obstore.delete(self._store, key)
            except FileNotFoundError:
                return


def _check_room(directory: Path, size: int) -> None:
    free = shutil.disk_usage(directory).free
    if free < size + HEADROOM:
        raise OutOfReach(
            f"The worker's temporary directory has {free >> 20} MB free, and this video needs "
            f"{(size + HEADROOM) >> 20} MB. Free some space or set TMPDIR."
        )


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """A full or missing disk of this machine is no missing object."""
    try:
        yield
    except OSError as error:
        log.error("local_copy_failed", path=str(path), error=str(error))
        raise OutOfReach(
            "The worker's temporary directory cannot be written. Free some space or set TMPDIR."
        ) from error
