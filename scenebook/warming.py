"""Loads the models of the active spaces before anybody asks them, and again when they are gone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Protocol

import structlog

from scenebook.db import spaces
from scenebook.db.engine import Database
from scenebook.db.spaces import StoredSpace
from scenebook.errors import ScenebookError

log = structlog.get_logger(__name__)

# Another space may become the active one, a child may have been killed, weights may be there again:
# what is lost is looked for so often, so that seldom a query has to wait for it.
LOOK_S = 30.0
# Postgres may come up after us.
AWAY_S = 1.0
UNEXPECTED = "An unexpected error stopped its loading; the log says more."


class LoadsModels(Protocol):
    """Loads the model of a space, however long that takes, unless it is loaded and lives."""

    def load(self, stored: StoredSpace) -> None: ...


class Warming:
    """A thread that keeps models loaded.

    `waiting` says why not every model was tried yet. A model that cannot be loaded was tried: it is
    in `failed`, by channel (or "rerank"), with the reason, until it can.
    """

    def __init__(
        self, db: Database, models: LoadsModels, load_reranker: Callable[[], None] | None = None
    ) -> None:
        self._db = db
        self._models = models
        self._load_reranker = load_reranker
        self._stop = threading.Event()
        self._waiting: str | None = "The models have not been loaded yet."
        self._failed: dict[str, str] = {}
        self._thread = threading.Thread(target=self._run, name="warming", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def waiting(self) -> str | None:
        """Why the models are not ready to be asked; None once each was loaded or cannot be."""
        return self._waiting

    def failed(self) -> dict[str, str]:
        """The channels, and "rerank", whose models cannot be loaded now, and why."""
        return dict(self._failed)

    def stop(self) -> None:
        """Begin nothing more."""
        self._stop.set()

    def join(self, timeout_s: float) -> None:
        """Wait for the end after `stop`; a model that loads goes on until its child is ended."""
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        pause_s = 0.0
        while not self._stop.wait(pause_s):
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - the door: Postgres or its schema is away
                if pause_s != AWAY_S:
                    log.warning("spaces_not_known", error=type(error).__name__, reason=str(error))
                pause_s = AWAY_S
            else:
                pause_s = LOOK_S

    def _look(self) -> None:
        """Load what is not loaded."""
        with self._db.across_owners() as tx:
            active = [one for one in spaces.all_spaces(tx) if one.is_active]
        channels = {str(stored.space.channel) for stored in active}
        for gone in set(self._failed) - channels - {"rerank"}:
            self._failed.pop(gone)
        for stored in active:
            self._try(str(stored.space.channel), partial(self._models.load, stored))
        if self._load_reranker is not None:
            self._try("rerank", self._load_reranker)
        self._waiting = None

    def _try(self, name: str, load: Callable[[], None]) -> None:
        if self._stop.is_set():
            return
        if self._waiting is not None:
            self._waiting = f"The model of {name} is loading."
        try:
            load()
        except Exception as error:  # the door: one model must not keep the others away
            known = isinstance(error, ScenebookError)
            if name not in self._failed:
                log.warning("model_not_warm", model_of=name, reason=str(error), exc_info=not known)
            self._failed[name] = str(error) if known else UNEXPECTED
        else:
            self._failed.pop(name, None)
