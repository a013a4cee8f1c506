"""How fast models are on this machine, and how much memory their child takes, side by side."""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from scenebook.encoders.client import Encoders
from scenebook.encoders.inference import CHILD_MODULE
from scenebook.errors import ScenebookError
from scenebook.model import ChannelStatus
from scenebook.settings import Settings

# Long enough that a slow machine turns no measurement into one of timeouts.
PATIENT_S = 300.0
# One measurement covers at least this many inputs, whatever the batch.
LEAST_INPUTS = 8
TEXTS_A_BATCH = 32
SENTENCES = (
    "a red circle left of a blue square",
    "Somebody explains how the engine is put together, part by part.",
    "two people walk along the river in the evening",
    "The price of bread rose again this year, and so did the price of milk.",
)


@dataclass(slots=True)
class Measured:
    """The medians of one contestant; peaks in MiB, queries in milliseconds."""

    images_per_s: dict[int, float] = field(default_factory=dict)
    query_ms: float | None = None
    texts_per_s: float | None = None
    peak_mb: float | None = None
    spread: float = 0.0


def measure(
    contestants: Mapping[str, Settings],
    *,
    kinds: Iterable[str],
    batches: Sequence[int],
    rounds: int,
    on_step: Callable[[str], None] = lambda step: None,
) -> dict[str, Measured]:
    """Each contestant's figures, measured by turns so that a busy machine is busy for all.

    Each has its own child, which is warm before it is measured. spread is the largest share by
    which a measurement left its median: the noise of this machine. Raises ScenebookError where a
    model cannot be loaded or does not answer.
    """
    kinds = set(kinds)
    with ExitStack() as stack:
        rivals = {
            name: Rival(stack.enter_context(closing(Encoders(_patient(settings)))))
            for name, settings in contestants.items()
        }
        found = {name: Measured() for name in rivals}
        if "clip" in kinds:
            for batch in batches:
                on_step(f"images in batches of {batch}")
                for name, seconds in _turns(rivals, lambda one: one.images(batch), rounds, found):  # noqa: B023
                    found[name].images_per_s[batch] = 1 / seconds
            on_step("queries of the visual channel")
            for name, seconds in _turns(rivals, Rival.query, rounds, found):
                found[name].query_ms = 1000 * seconds
        if "text" in kinds:
            on_step("texts")
            for name, seconds in _turns(rivals, Rival.texts, rounds, found):
                found[name].texts_per_s = 1 / seconds
        for name, rival in rivals.items():
            found[name].peak_mb = rival.peak_mb()
    return found


class Rival:
    """One runtime's encoders; each method does some work and says the seconds of one input."""

    def __init__(self, encoders: Encoders) -> None:
        self._encoders = encoders
        self._pid: int | None = None

    def images(self, batch: int) -> float:
        """Pictures of the model's usual size, so that their decoding weighs little."""
        calls = max(1, LEAST_INPUTS // batch)
        pictures = [
            [picture(seed=batch * call + at) for at in range(batch)] for call in range(calls)
        ]
        began = time.perf_counter()
        for group in pictures:
            answers = self._encoders.encode_images(group)
            bad = [one for one in answers if one.status is not ChannelStatus.OK]
            if bad:
                raise ScenebookError(bad[0].error)
        return self._per_input(began, calls * batch)

    def query(self) -> float:
        """Queries one by one, as searches come."""
        began = time.perf_counter()
        for text in SENTENCES:
            self._encoders.encode_query_image_text([text])
        return self._per_input(began, len(SENTENCES))

    def texts(self) -> float:
        """A batch of sentences through the text model."""
        texts = [f"{SENTENCES[at % len(SENTENCES)]} {at}" for at in range(TEXTS_A_BATCH)]
        began = time.perf_counter()
        self._encoders.encode_texts(texts)
        return self._per_input(began, len(texts))

    def peak_mb(self) -> float | None:
        """The most memory that the child held at once, in MiB, as the kernel counted it."""
        try:
            status = Path(f"/proc/{self._pid}/status").read_text()
        except OSError:
            return None
        lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        return int(lines["VmHWM"].split()[0]) / 1024

    def _per_input(self, began: float, inputs: int) -> float:
        seconds = (time.perf_counter() - began) / inputs
        self._pid = self._pid or _newest_child()
        return seconds


def _turns(
    rivals: Mapping[str, Rival],
    work: Callable[[Rival], float],
    rounds: int,
    found: Mapping[str, Measured],
) -> list[tuple[str, float]]:
    """Each rival's median of some rounds; the first, in which models load, does not count."""
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for turn in range(rounds + 1):
        for name, rival in rivals.items():
            seconds = work(rival)
            if turn:
                times[name].append(seconds)
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    for name, taken in times.items():
        share = max(abs(one / medians[name] - 1) for one in taken)
        found[name].spread = max(found[name].spread, share)
    return list(medians.items())


def _newest_child() -> int | None:
    found = [one for one in psutil.Process().children() if CHILD_MODULE in one.cmdline()]
    return max(found, key=psutil.Process.create_time).pid if found else None


def _patient(settings: Settings) -> Settings:
    changes = {"clip_enabled": True, "clip_timeout_s": PATIENT_S, "clip_batch_size": 64}
    return settings.model_copy(update=changes)


def picture(*, seed: int, side: int = 224) -> bytes:
    """A JPEG of soft coloured blocks, the same for the same seed."""
    import numpy as np
    from PIL import Image

    blocks = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(blocks).resize((side, side), Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()
