"""The parent's view of the inference child: which models it has loaded, and why one is not."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import structlog

from scenebook.children import Child
from scenebook.encoders.exports import exports_dir
from scenebook.encoders.spaces import LoadedModel
from scenebook.errors import ChildDied, DeadlineExceeded, ModelUnavailable, ScenebookError
from scenebook.settings import Settings

log = structlog.get_logger(__name__)

Kind = Literal["clip", "text", "speech", "rerank"]
CHILD_MODULE = "scenebook.encoders.child"
ENVIRONMENT = {
    # Threads that spin while they wait for one another collapse when another process wants a core:
    # ViT-B-32 took 537 ms a picture on 2 such cores, 191 ms with passive waiting. OpenBLAS cannot
    # wait passively, so it gets no second thread.
    "OMP_WAIT_POLICY": "PASSIVE",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_VERBOSITY": "error",
    "TQDM_DISABLE": "1",
}
# A model that cannot be loaded is tried again after this, then after twice as long, and so on.
FIRST_BACKOFF_S = 15.0
LONGEST_BACKOFF_S = 600.0


@dataclass(slots=True)
class _Model:
    """One kind of model: how to load it, and what came of it."""

    options: Mapping[str, Any]
    timeout_s: float
    loaded: LoadedModel | None = None
    pid: int | None = None
    reason: str = ""
    retry_at: float = 0.0
    backoff_s: float = FIRST_BACKOFF_S

    def failed(self, reason: str) -> None:
        self.reason = reason
        self.retry_at = time.monotonic() + self.backoff_s
        self.backoff_s = min(2 * self.backoff_s, LONGEST_BACKOFF_S)

    def succeeded(self, reply: dict[str, Any], pid: int | None) -> None:
        self.loaded = LoadedModel.from_message(reply) if reply else None
        self.pid = pid
        self.backoff_s = FIRST_BACKOFF_S


class InferenceChild:
    """One child process with the models that were asked of it; loading is not inference's time."""

    def __init__(self, settings: Settings) -> None:
        threads = settings.clip_cpu_threads or max(1, cores() // settings.worker_concurrency)
        self._child = Child(
            CHILD_MODULE,
            name="inference",
            memory_mb=settings.encoder_child_memory_mb,
            environment=ENVIRONMENT | {"OMP_NUM_THREADS": str(threads)},
        )
        # A model must not vanish between its loading and its use, when two threads share the child.
        self._lock = threading.RLock()
        self._models = _models(settings, threads)
        self.kills = 0

    @property
    def restarts(self) -> int:
        """How often the child was started again."""
        return self._child.restarts

    def load(self, kind: Kind) -> LoadedModel | None:
        """Load a model unless the living child has it; what it is (None if it has no vectors).

        Raises ModelUnavailable with the reason, at once while the back-off lasts; ChildDied after
        `kill`.
        """
        with self._lock:
            model, kills = self._models[kind], self.kills
            if time.monotonic() < model.retry_at:
                raise ModelUnavailable(model.reason)
            try:
                self._child.start()
                if model.pid is not None and model.pid == self._child.pid:
                    return model.loaded
                began = time.monotonic()
                message = {"op": "load", "kind": kind, "options": dict(model.options)}
                reply = self._first_or_alone(message, model.timeout_s, kills)
            except ScenebookError as error:
                if self.kills != kills:
                    raise
                model.failed(_load_failure(kind, error, model.timeout_s))
                log.warning("model_unavailable", kind=kind, reason=model.reason)
                raise ModelUnavailable(model.reason) from error
            model.succeeded(reply, self._child.pid)
            load_s = round(time.monotonic() - began, 2)
            known = {name: value for name, value in reply.items() if name != "labels"}
            log.info("model_loaded", kind=kind, load_s=load_s, **known)
            return model.loaded

    def _first_or_alone(
        self, message: dict[str, Any], timeout_s: float, kills: int
    ) -> dict[str, Any]:
        """The reply to a request to load; a model that had no room gets a child of its own."""
        crowded = any(one.pid == self._child.pid for one in self._models.values())
        try:
            return self._child.request(message, timeout_s=timeout_s)
        except ChildDied as error:
            if error.code != "out_of_memory" or not crowded or self.kills != kills:
                raise
            log.warning("child_was_full", kind=message["kind"], reason=str(error))
            return self._child.request(message, timeout_s=timeout_s)

    def known(self, kind: Kind) -> LoadedModel | None:
        """What a model said of itself when it was last loaded; loads nothing."""
        return self._models[kind].loaded

    def ask(
        self,
        kind: Kind | None,
        message: dict[str, Any],
        *,
        timeout_s: float,
        on_progress: Callable[[dict[str, Any]], None] | None = None,
    ) -> dict[str, Any]:
        """The child's reply, within timeout_s seconds once the model of this kind is loaded."""
        with self._lock:
            if kind is not None:
                self.load(kind)
            try:
                return self._child.request(message, timeout_s=timeout_s, on_progress=on_progress)
            except ModelUnavailable:
                if kind is not None:  # its export was replaced, perhaps: load it anew
                    self._models[kind].pid = None
                raise

    def kill(self) -> None:
        """Kill the child from any thread; what is in progress raises ChildDied."""
        self.kills += 1
        self._child.kill()

    def close(self) -> None:
        """End the child."""
        self._child.close()


def cores() -> int:
    """Processors this process may use: its affinity, or its container's quota if that is less."""
    available = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return available
    return available if quota == "max" else max(1, min(available, int(quota) // int(period)))


def model_options(settings: Settings, kind: Kind, *, threads: int) -> dict[str, Any]:
    """What the child needs to load a model: the settings that it cannot read itself."""
    runtime = {
        "runtime": settings.encoder_runtime,
        "exports_dir": str(exports_dir(settings)),
        "threads": threads,
    }
    if kind == "clip":
        return runtime | {
            "model_name": settings.clip_model_name,
            "pretrained": settings.clip_pretrained,
            "device": settings.clip_device,
            "cache_dir": str(settings.clip_cache_dir),
            "max_image_size": settings.clip_max_image_size,
            "fit": settings.clip_fit,
        }
    if kind == "text":
        return runtime | {"name": settings.text_embedding_model}
    if kind == "rerank":
        return {"name": settings.rerank_model, "threads": threads}
    return {"name": settings.whisper_model, "threads": threads}


def _models(settings: Settings, threads: int) -> dict[Kind, _Model]:
    limits_s: dict[Kind, float] = {
        "clip": settings.clip_load_timeout_s,
        "text": settings.text_embedding_load_timeout_s,
        "speech": settings.whisper_load_timeout_s,
        "rerank": settings.text_embedding_load_timeout_s,
    }
    return {
        kind: _Model(model_options(settings, kind, threads=threads), limit_s)
        for kind, limit_s in limits_s.items()
    }


def _load_failure(kind: Kind, error: ScenebookError, timeout_s: float) -> str:
    if isinstance(error, DeadlineExceeded):
        return f"The {kind} model did not load within {timeout_s:g} s."
    if isinstance(error, ChildDied):
        return f"The {kind} model did not load: {error}"
    return str(error)
