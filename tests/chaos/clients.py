"""Clients that upload, search, reprocess and delete, and ask again until they are answered."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from scenebook.client import Conflict, NotFound, Scenebook
from scenebook.client.errors import ApiError
from scenebook.errors import DeadlineExceeded
from tests.chaos.footage import WORD, copy_of, own_word, words_of
from tests.chaos.history import History, Promised
from tests.serving import token_of

T = TypeVar("T")

AT_ONCE = 4
PAUSE_S = 0.3
# One request is given up and repeated after this, under the same key.
TIMEOUT_S = 10.0
SETTLED = ("ready", "partial", "failed", "cancelled")


class Client:
    """One owner's program, with a thread of its own."""

    def __init__(
        self, url: str, owner_id: UUID, *, base: bytes, home: Path, seed: int, history: History
    ) -> None:
        self._owner_id = owner_id
        self._base = base
        self._home = home
        self._random = random.Random(seed)
        self._history = history
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"client-{owner_id}")
        self._transcript = home / f"{owner_id}.vtt"
        self._transcript.write_text(words_of(owner_id), "utf-8")
        self._uploads = 0
        self._statuses: dict[UUID, str] = {}
        self.service = Scenebook(url, token_of(owner_id), timeout=TIMEOUT_S)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what was begun."""
        self._over.set()
        self._thread.join()

    def close(self) -> None:
        """Hang up."""
        self.service.close()

    def _run(self) -> None:
        while not self._over.wait(PAUSE_S):
            try:
                self._act()
            except (ApiError, DeadlineExceeded) as error:
                self._history.count("given up", error)
            except Exception as error:  # noqa: BLE001 - a client that stops would be a run without load
                self._history.broken.append(f"client: {type(error).__name__}: {error}")

    def _act(self) -> None:
        self._search()
        known = [one for one in self._history.of(self._owner_id) if not one.perhaps_deleted]
        ready = [one for one in known if self._statuses.get(one.video_id) == "ready"]
        chance = self._random.random()
        if known and chance < 0.03:
            self._delete(self._random.choice(known))
        elif ready and chance < 0.08:
            self._reprocess(self._random.choice(ready))
        elif known and chance < 0.11:
            self._upload(self._random.choice(known).mark)
        elif self._outstanding() < AT_ONCE:
            self._uploads += 1
            self._upload(f"{self._owner_id.hex}-{self._uploads}")

    def _asked(self, what: str, ask: Callable[[], T], *, tries: int = 30) -> T:
        """Ask until there is an answer, as a careful client does."""
        for left in reversed(range(tries)):
            try:
                answer = ask()
            except (ApiError, DeadlineExceeded) as error:
                self._history.count(what, error)
                # The first try may still be at work, or was cut off at it.
                passing = error.retryable or error.code == "request_in_progress"
                if not passing or left == 0:
                    raise
                time.sleep(PAUSE_S)
                continue
            self._history.count(what)
            return answer
        raise AssertionError("unreachable")

    def _upload(self, mark: str) -> None:
        path = copy_of(self._base, self._home / f"{mark}.mkv", mark=mark)
        key = f"{mark}-{self._random.random()}"
        try:
            added = self._asked(
                "upload",
                lambda: self.service.upload(path, transcript=self._transcript, idempotency_key=key),
            )
        finally:
            path.unlink()
        self._history.acknowledge(self._owner_id, UUID(str(added.id)), mark)

    def _delete(self, video: Promised) -> None:
        video.perhaps_deleted = True
        with suppress(NotFound):  # an earlier try went through
            self._asked("delete", lambda: self.service.delete(video.video_id))
        video.deleted = True

    def _reprocess(self, video: Promised) -> None:
        try:
            self._asked("reprocess", lambda: self.service.reprocess(video.video_id))
        except (Conflict, NotFound):
            return  # an earlier try went through, or it is not settled any more

    def _outstanding(self) -> int:
        videos = self._asked("list", lambda: list(self.service.videos()))
        self._statuses = {video.id: video.status for video in videos}
        known = {str(one.video_id) for one in self._history.of(self._owner_id)}
        for video in videos:
            if str(video.id) not in known and not video.title.startswith(self._owner_id.hex):
                self._history.leak(f"the list of {self._owner_id} shows {video.title}")
        return sum(video.status not in SETTLED for video in videos)

    def _search(self) -> None:
        answer = self._asked("search", lambda: self.service.search(WORD, limit=20))
        for hit in answer.data:
            if hit.transcript is not None and own_word(self._owner_id) not in hit.transcript.text:
                self._history.leak(f"a search of {self._owner_id} shows {hit.transcript.text}")
