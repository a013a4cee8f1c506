"""Moments: scenes of a fused order put together, so that a hit is what a person would call one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scenebook.db.hybrid import FusedMatch
from scenebook.queries import Grouping, Position


@dataclass(frozen=True, slots=True)
class Group:
    """Scenes that are one hit: the best of them, and the others in the order of the video."""

    best: FusedMatch
    others: tuple[FusedMatch, ...] = ()

    @property
    def start_ms(self) -> int:
        """Where the first of the scenes begins."""
        return min(one.start_ms for one in (self.best, *self.others))

    @property
    def end_ms(self) -> int:
        """Where the last of the scenes ends."""
        return max(one.end_ms for one in (self.best, *self.others))


def grouped(matches: Sequence[FusedMatch], grouping: Grouping) -> list[Group]:
    """Groups in the order of their best scenes; a cap counts groups of one video.

    A moment is a run of scenes that follow each other in one video without a gap in scene_index.
    """
    keys = _moments(matches) if grouping.by == "moment" else {}
    members: dict[object, list[FusedMatch]] = {}
    for one in matches:
        key: object = one.scene_id
        if grouping.by == "video":
            key = one.video_id
        elif grouping.by == "moment":
            key = keys[one.video_id, one.scene_index]
        members.setdefault(key, []).append(one)
    groups = [
        Group(best, tuple(sorted(others, key=lambda one: one.scene_index)))
        for best, *others in members.values()
    ]
    return groups if grouping.max_per_video is None else _capped(groups, grouping.max_per_video)


def page_of(
    groups: Sequence[Group], after: Position | None, limit: int
) -> tuple[Sequence[Group], bool]:
    """The groups after a position, and whether there are more than that."""
    start = 0
    if after is not None:
        # After the last one shown; if that is gone meanwhile, as many places on.
        places = {group.best.scene_id: place for place, group in enumerate(groups, start=1)}
        start = places.get(after.scene_id, after.shown)
    return groups[start : start + limit], len(groups) > start + limit


def _moments(matches: Sequence[FusedMatch]) -> dict[tuple[object, int], tuple[object, int]]:
    """By video and scene_index, the first scene of the run that a scene belongs to."""
    first: dict[tuple[object, int], tuple[object, int]] = {}
    for one in sorted(matches, key=lambda one: (one.video_id, one.scene_index)):
        place = (one.video_id, one.scene_index)
        first[place] = first.get((one.video_id, one.scene_index - 1), place)
    return first


def _capped(groups: Sequence[Group], most: int) -> list[Group]:
    taken: dict[object, int] = {}
    kept = []
    for group in groups:
        video = group.best.video_id
        taken[video] = taken.get(video, 0) + 1
        if taken[video] <= most:
            kept.append(group)
    return kept
