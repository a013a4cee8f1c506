"""Hard cuts: one frame differs from the one before far more than its neighbours do."""

from __future__ import annotations

from dataclasses import dataclass

from worker.media.cuts import (
    Cut,
    CutKind,
    FrameFeatures,
    contrast,
    difference,
    is_relit,
)


@dataclass(frozen=True, slots=True)
class HardThresholds:
    """Every number of the rule; differences are in 8-bit levels.

    The ratio to the neighbourhood is the idea of PySceneDetect's AdaptiveDetector. The
    neighbourhood is its most active quarter, so that film shot "on twos", duplicated frames and
    flicker do not look calm.
    """

    ratio: float = 1.6
    floor: float = 8.0
    floor_contrast: float = 0.25
    neighbourhood_ms: int = 400
    flash_ms: int = 320
    flash_return: float = 0.3
    relit: float = 0.92


MIN_NEIGHBOURS = 4
MAX_NEIGHBOURS = 128
MIN_FLASH_FRAMES = 3
# In dark or flat pictures a cut changes less; the floor sinks to this share.
DARK = 0.4


class HardCuts:
    """Keeps a few tenths of a second of thumbs and judges each frame with hindsight."""

    def __init__(self, thresholds: HardThresholds | None = None) -> None:
        self._limits = thresholds or HardThresholds()
        self._steps: list[FrameFeatures] = []
        self._next = 1

    def process(self, frame: FrameFeatures | None) -> list[Cut]:
        """Cuts among the frames whose neighbourhood is complete."""
        if frame is not None:
            self._steps.append(frame)
        cuts = []
        while self._next < len(self._steps) and (frame is None or self._is_complete(self._next)):
            if self._is_cut(self._next):
                at_ms = self._steps[self._next].at_ms
                cuts.append(Cut(at_ms, at_ms, at_ms, CutKind.HARD))
            self._next += 1
        self._forget()
        return cuts

    def _is_complete(self, index: int) -> bool:
        after = len(self._steps) - 1 - index
        span_ms = self._steps[-1].at_ms - self._steps[index].at_ms
        full = span_ms >= self._limits.neighbourhood_ms and after >= MIN_NEIGHBOURS
        return full or after >= MAX_NEIGHBOURS

    def _forget(self) -> None:
        keep_ms = max(self._limits.neighbourhood_ms, self._limits.flash_ms)
        oldest_ms = self._steps[min(self._next, len(self._steps) - 1)].at_ms - keep_ms
        drop = 0
        while drop < self._next - MAX_NEIGHBOURS or (
            drop < self._next - MIN_NEIGHBOURS - 1 and self._steps[drop].at_ms < oldest_ms
        ):
            drop += 1
        if drop > MIN_NEIGHBOURS:
            del self._steps[:drop]
            self._next -= drop

    def _is_cut(self, index: int) -> bool:
        limits = self._limits
        step, before = self._steps[index], self._steps[index - 1]
        if step.change < limits.floor * DARK:
            return False
        # The cheap tests come first: most frames of a lively video end here.
        activity = self._activity(index)
        if step.change < limits.ratio * activity:
            return False
        scale = limits.floor_contrast * max(contrast(step.thumb), contrast(before.thumb))
        floor = min(limits.floor, max(limits.floor * DARK, scale))
        if step.change < max(floor, limits.ratio * (activity + floor / 4)):
            return False
        if self._is_flash(index):
            return False
        return not is_relit(before.thumb, step.thumb, limits.relit)

    def _activity(self, index: int) -> float:
        """Mean change of the most active quarter of the neighbours."""
        limits, steps = self._limits, self._steps
        at_ms = steps[index].at_ms
        first, last = index, index
        while first > 1 and (
            index - first < MIN_NEIGHBOURS
            or at_ms - steps[first - 1].at_ms <= limits.neighbourhood_ms
        ):
            first -= 1
        while last < len(steps) - 1 and (
            last - index < MIN_NEIGHBOURS
            or steps[last + 1].at_ms - at_ms <= limits.neighbourhood_ms
        ):
            last += 1
        near = [step.change for step in steps[first:index] + steps[index + 1 : last + 1]]
        if not near:
            return 0.0
        near.sort(reverse=True)
        most = near[: max(2, len(near) // 4)]
        return sum(most) / len(most)

    def _is_flash(self, index: int) -> bool:
        """True if what was before comes back soon, or what comes now was there just before."""
        limits = self._limits
        step, before = self._steps[index], self._steps[index - 1]
        returns = limits.flash_return * step.change
        for position, other in enumerate(self._steps):
            near = abs(other.at_ms - step.at_ms) <= limits.flash_ms
            after = position > index and (near or position <= index + MIN_FLASH_FRAMES)
            ago = position < index - 1 and (near or position >= index - 1 - MIN_FLASH_FRAMES)
            if after and difference(before.thumb, other.thumb) < returns:
                return True
            if ago and difference(other.thumb, step.thumb) < returns:
                return True
        return False
