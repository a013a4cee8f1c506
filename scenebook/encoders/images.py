"""Pictures to CLIP vectors under a deadline for each scene: in batches, one by one after a miss."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from scenebook import metrics
from scenebook.encoders.breaker import CircuitBreaker
from scenebook.encoders.inference import InferenceChild
from scenebook.encoders.spaces import LoadedModel
from scenebook.errors import ChildDied, DeadlineExceeded, ModelUnavailable, ScenebookError
from scenebook.model import Channel, ChannelStatus
from scenebook.settings import Settings

log = structlog.get_logger(__name__)

# A batch is expected to take at most this share of one scene's deadline.
BATCH_SHARE = 0.5
# Decoding one picture may work for this share of it.
DECODE_SHARE = 0.75
# Weight of the newest measurement in the running mean of one picture's time.
NEWEST = 0.5
NORM_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class ImageVector:
    """What became of one picture: a float32 vector of norm 1 if the status is ok, else why not."""

    status: ChannelStatus
    vector: NDArray[np.float32] | None = None
    error: str | None = None
    inference_time_ms: float | None = None


class ImageEncoder:
    """The deadline and the circuit breaker around CLIP's image tower.

    CLIP_TIMEOUT_S bounds one scene. A batch whose deadline passes, or whose child crashes, is run
    again scene by scene, so that only the scene at fault is marked. With h faulty scenes among n,
    `encode` returns within 2 h deadlines and restarts and the time of the n - h others; after
    CLIP_BREAKER_FAILURES faulty scenes in a row the rest are `circuit_open` at once.
    """

    def __init__(self, settings: Settings, inference: InferenceChild) -> None:
        self._settings = settings
        self._inference = inference
        self._input_s = 0.0  # running mean of one picture's time; 0 until the model is loaded
        self._asked: LoadedModel | None = None  # the model that the caller knows of
        self._breaker = CircuitBreaker(
            failures=settings.clip_breaker_failures, reset_s=settings.clip_breaker_reset_s
        )

    def encode(
        self, images: Sequence[bytes | None], *, moved: Callable[[], None] = lambda: None
    ) -> list[ImageVector]:
        """One answer for each picture, in order; None is a scene without a frame.

        `moved` is called between the calls of the model, and may raise. Raises ChildDied only if
        the child was killed from outside (the job is lost).
        """
        if not self._settings.clip_enabled:
            return [ImageVector(ChannelStatus.DISABLED) for _ in images]
        answers = dict.fromkeys(range(len(images)), ImageVector(ChannelStatus.NO_FRAME))
        pictures = {place: image for place, image in enumerate(images) if image is not None}
        waiting, alone, kills = deque(pictures), 0, self._inference.kills
        self._asked = self._inference.known("clip")
        while waiting:
            if self._inference.kills != kills:
                raise ChildDied("The inference child was stopped.")
            if not self._breaker.allows():
                answers |= _all(waiting, ChannelStatus.CIRCUIT_OPEN, self._circuit_open())
                break
            size = 1 if alone or self._breaker.tripped else self._batch_size()
            batch = [waiting.popleft() for _ in range(min(size, len(waiting)))]
            try:
                answers |= self._batch(batch, pictures)
            except ModelUnavailable as error:
                answers |= _all([*batch, *waiting], ChannelStatus.LOAD_ERROR, str(error))
                break
            except _BatchFailed:
                waiting.extendleft(reversed(batch))
                alone = len(batch) + 1
            alone = max(0, alone - 1)
            moved()
        return [answers[place] for place in range(len(images))]

    def _batch(self, batch: list[int], pictures: dict[int, bytes]) -> dict[int, ImageVector]:
        kills = self._inference.kills
        timeout_s = self._settings.clip_timeout_s
        message = {
            "op": "encode_images",
            "images": [pictures[place] for place in batch],
            "max_pixels": self._settings.media_max_pixels,
            "decode_cpu_s": DECODE_SHARE * timeout_s,
        }
        decoded: list[dict[str, Any]] = []
        try:
            loaded = self._load()
            reply = self._inference.ask(
                "clip", message, timeout_s=timeout_s, on_progress=decoded.append
            )
        except ModelUnavailable:
            raise
        except ScenebookError as error:
            if self._inference.kills != kills:
                raise
            log.warning("clip_batch_failed", scenes=len(batch), reason=str(error))
            self._input_s = max(self._input_s, timeout_s / len(batch))
            if len(batch) > 1:
                raise _BatchFailed from error
            return {batch[0]: self._failed_scene(error, the_models=bool(decoded))}
        each_ms = float(reply["elapsed_ms"]) / len(batch)
        self._input_s += NEWEST * (each_ms / 1000 - self._input_s)
        read = [_answer(answer, loaded.dimensions, each_ms) for answer in reply["answers"]]
        if any(one.vector is not None for one in read):
            metrics.CLIP_CIRCUITS_OPEN.dec(self._breaker.tripped)
            self._breaker.succeeded()
        return dict(zip(batch, read, strict=True))

    def _failed_scene(self, error: ScenebookError, *, the_models: bool) -> ImageVector:
        # One owner's pictures that cannot be decoded must not close the model to all others.
        if the_models and isinstance(error, DeadlineExceeded | ChildDied):
            was_open = self._breaker.tripped
            self._breaker.failed()
            if self._breaker.tripped:
                log.warning("clip_circuit_open", reset_s=self._settings.clip_breaker_reset_s)
                metrics.CLIP_CIRCUIT_OPENINGS.inc()
                metrics.CLIP_CIRCUITS_OPEN.inc(not was_open)
        timed_out = isinstance(error, DeadlineExceeded)
        status = ChannelStatus.TIMEOUT if timed_out else ChannelStatus.ERROR
        return ImageVector(status, error=str(error))

    def _load(self) -> LoadedModel:
        loaded = self._inference.load("clip")
        assert loaded is not None
        channel = Channel.VISUAL_CLIP
        if self._asked is not None and self._asked.space(channel) != loaded.space(channel):
            # The caller would take the vectors for the other model's.
            raise ModelUnavailable("CLIP's files were replaced while it was in use. Try again.")
        if not self._input_s:
            self._input_s = loaded.input_s
        return loaded

    def _batch_size(self) -> int:
        if not self._input_s:
            return 1  # the model says how fast it is when it is loaded
        fitting = int(BATCH_SHARE * self._settings.clip_timeout_s / self._input_s)
        return max(1, min(fitting, self._settings.clip_batch_size))

    def _circuit_open(self) -> str:
        return (
            f"{self._settings.clip_breaker_failures} scenes in a row timed out or crashed CLIP; it "
            f"is tried again after {self._settings.clip_breaker_reset_s:g} s."
        )


class _BatchFailed(Exception):
    """Some scene of the batch hangs or crashes the model; which one is not known yet."""


def _all(places: Iterable[int], status: ChannelStatus, error: str) -> dict[int, ImageVector]:
    return {place: ImageVector(status, error=error) for place in places}


def _answer(answer: dict[str, Any], dimensions: int, elapsed_ms: float) -> ImageVector:
    if "decode_error" in answer:
        return ImageVector(ChannelStatus.DECODE_ERROR, error=str(answer["decode_error"]))
    try:
        vector = unit_vector(answer["vector"], dimensions)
    except ValueError as error:
        return ImageVector(ChannelStatus.ERROR, error=str(error))
    return ImageVector(ChannelStatus.OK, vector, inference_time_ms=round(elapsed_ms, 3))


def unit_vector(data: bytes, dimensions: int) -> NDArray[np.float32]:
    """The float32 vector that a child sent. Raises ValueError unless it is finite and of norm 1.

    A NaN or zero vector in the database would match every query.
    """
    vector = np.frombuffer(data, dtype="<f4").astype(np.float32)
    if vector.shape != (dimensions,):
        raise ValueError(f"The model gave {vector.size} dimensions instead of {dimensions}.")
    norm = float(np.linalg.norm(vector))
    if not np.isfinite(norm) or abs(norm - 1) > NORM_TOLERANCE:
        raise ValueError(f"The model gave a vector of norm {norm:g} instead of 1.")
    return vector
