"""Builds scenes from cuts as they arrive, with bounds on their lengths and number."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from worker.media.cuts import Cut
from worker.media.keyframes import CandidatePool, choose, found
from worker.media.types import FoundScene, MediaLimits


class SceneBuilder:
    """Closes a scene as soon as the next one is known to be long enough."""

    def __init__(self, pool: CandidatePool, limits: MediaLimits) -> None:
        self._pool = pool
        self._limits = limits
        self._starts = [0]
        self._cuts: list[Cut] = []
        self._scenes: list[FoundScene] = []

    def cut(self, cut: Cut) -> None:
        """One boundary, in order of time."""
        if cut.start_ms < cut.end_ms:
            self._cuts.append(cut)  # the pictures inside it are marked down
        full = len(self._scenes) + len(self._starts) >= self._limits.scene_max_count
        if full or cut.at_ms - self._starts[-1] < self._limits.scene_min_ms:
            return  # the short scene before it goes on
        self._starts.append(cut.at_ms)
        self._pool.edges.append(cut.at_ms)
        if len(self._starts) == 3:
            self._close(self._starts.pop(0), self._starts[0])

    def finish(self, end_ms: int) -> tuple[FoundScene, ...]:
        """All scenes; the last one ends with the video."""
        if len(self._starts) == 2 and end_ms - self._starts[1] < self._limits.scene_min_ms:
            self._starts.pop()
        for start_ms, stop_ms in zip(self._starts, [*self._starts[1:], end_ms], strict=True):
            self._close(start_ms, stop_ms)
        return tuple(self._scenes)

    def _close(self, start_ms: int, end_ms: int) -> None:
        room = max(1, self._limits.scene_max_count - len(self._scenes) - len(self._starts) + 1)
        parts = min(room, -(-(end_ms - start_ms) // self._limits.scene_max_ms)) or 1
        edges = [start_ms + (end_ms - start_ms) * part // parts for part in range(parts + 1)]
        for first_ms, last_ms in pairwise(edges):
            self._add(first_ms, last_ms)
        self._cuts = [cut for cut in self._cuts if cut.end_ms > end_ms - 1]

    def _add(self, start_ms: int, end_ms: int) -> None:
        candidates = self._pool.take(start_ms, end_ms, self._cuts)
        chosen = choose(candidates, self._limits.keyframes)
        for candidate in chosen:
            self._pool.write(candidate)
        self._pool.drop([c for c in candidates if c not in chosen])
        keyframes = tuple(found(c, rank) for rank, c in enumerate(chosen))
        if not keyframes and self._scenes:
            # No picture changed in this stretch: it is the previous scene's last one still.
            self._scenes[-1] = replace(self._scenes[-1], end_ms=end_ms)
        else:
            self._scenes.append(FoundScene(start_ms, end_ms, keyframes))
