"""Dissolves, fades and wipes: the picture travels straight to a different one and stays there."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from worker.media.cuts import (
    Cut,
    CutKind,
    FrameFeatures,
    Thumb,
    contrast,
    correlation,
    difference,
    is_flat,
)


@dataclass(frozen=True, slots=True)
class GradualThresholds:
    """Every number of the rule; differences are in 8-bit levels.

    A window of time is judged by its straightness: the difference between its two ends divided by
    the sum of the differences of its steps. A blend, a fade or a wipe moves every pixel one way
    and comes near 1; motion moves pixels to and fro. A walk of n random steps has a straightness
    of about 1/sqrt(n), so the fewer the steps the more is asked. What changes as much outside the
    window as inside it (a pan), or keeps the layout of the picture, is marked down.
    """

    straightness: float = 0.45
    straightness_of_a_walk: float = 0.6
    outside_weight: float = 0.15
    alike_weight: float = 0.25
    alike: float = 0.65
    floor: float = 14.0
    flat_contrast: float = 8.0
    step_share: float = 0.6
    step_ms: int = 80
    windows: tuple[int, ...] = (3, 4, 6, 9, 13, 19, 25)
    outside_steps: int = 5
    edge: float = 0.06


@dataclass(frozen=True, slots=True, eq=False)
class _Window:
    """A stretch of time that looks like a transition; middle_ms is half of its way."""

    start_ms: int
    end_ms: int
    middle_ms: int
    weight: float
    from_flat: bool
    to_flat: bool


class GradualCuts:
    """Looks at about twelve thumbs a second, over windows of a quarter to two seconds."""

    def __init__(self, thresholds: GradualThresholds | None = None) -> None:
        self._limits = thresholds or GradualThresholds()
        self._thumbs: list[Thumb] = []
        self._times: list[int] = []
        self._changes: list[float] = []
        self._paths: list[float] = []  # running sum of the changes
        self._found: list[_Window] = []

    def process(self, frame: FrameFeatures | None) -> list[Cut]:
        """Transitions that lie far enough back to be told apart from their neighbours."""
        if frame is None:
            for outside in range(self._limits.outside_steps - 1, -1, -1):
                self._judge(outside)
            return self._settle(None)
        # Two milliseconds of grace: 25 frames a second are 40 ms apart only after rounding.
        if self._times and frame.at_ms - self._times[-1] < self._limits.step_ms - 2:
            return []
        change = difference(self._thumbs[-1], frame.thumb) if self._thumbs else 0.0
        self._thumbs.append(frame.thumb)
        self._times.append(frame.at_ms)
        self._changes.append(change)
        self._paths.append(change + (self._paths[-1] if self._paths else 0.0))
        if len(self._times) > max(self._limits.windows) + 2 * self._limits.outside_steps + 2:
            del self._thumbs[0], self._times[0], self._changes[0], self._paths[0]
        self._judge(self._limits.outside_steps)
        return self._settle(frame.at_ms)

    @property
    def settled_ms(self) -> int:
        """No cut that is reported later lies before this time."""
        if self._found:
            return min(window.start_ms for window in self._found)
        oldest = -1 - max(self._limits.windows) - self._limits.outside_steps
        return self._times[max(oldest, -len(self._times))] if self._times else 0

    def _judge(self, outside: int) -> None:
        """Judge the windows that end `outside` steps before the newest thumb."""
        last = len(self._times) - 1 - outside
        for steps in self._limits.windows:
            if last - steps < 0:
                return
            window = self._window(last - steps, last)
            if window is not None:
                self._found.append(window)

    def _window(self, first: int, last: int) -> _Window | None:
        limits = self._limits
        path = self._paths[last] - self._paths[first]
        if path < limits.floor:
            return None
        asked = limits.straightness + limits.straightness_of_a_walk / (last - first) ** 0.5
        one, other = self._thumbs[first], self._thumbs[last]
        net = difference(one, other)
        if net < max(limits.floor, asked * path):
            return None
        inside = self._changes[first + 1 : last + 1]
        if max(inside) > limits.step_share * path:
            return None
        contrasts = contrast(one), contrast(other)
        fade = is_flat(one, other)
        alike = 0.0 if fade else max(0.0, correlation(one, other))
        outside = self._outside(first, last, fade, contrasts) * len(inside) / path
        score = net / path - limits.outside_weight * outside - limits.alike_weight * alike
        if score < asked or alike > limits.alike:
            return None
        from_flat, to_flat = (fade and c < limits.flat_contrast for c in contrasts)
        start, middle, end = (
            self._reached(first, inside, share) for share in (limits.edge, 0.5, 1 - limits.edge)
        )
        start = max(first, start - 1)
        return _Window(
            self._times[start],
            self._times[end],
            self._times[middle],
            net * score,
            from_flat,
            to_flat,
        )

    def _outside(self, first: int, last: int, fade: bool, contrasts: tuple[float, float]) -> float:
        """Mean change a step beside the window; beyond a faded end another fade may follow."""
        steps = self._limits.outside_steps
        before = self._changes[max(1, first - steps + 1) : first + 1]
        after = self._changes[last + 1 : last + 1 + steps]
        if fade:
            before, after = (before, []) if contrasts[0] > contrasts[1] else ([], after)
        return max((sum(part) / len(part) for part in (before, after) if part), default=0.0)

    def _reached(self, first: int, inside: list[float], share: float) -> int:
        """The position at which this share of the way is done."""
        goal, done = share * sum(inside), 0.0
        for offset, change in enumerate(inside, start=1):
            done += change
            if done >= goal:
                return first + offset
        return first + len(inside)

    def _settle(self, now_ms: int | None) -> list[Cut]:
        """Close the groups of overlapping windows that no later window can join."""
        if not self._found:
            return []
        limits = self._limits
        reach_ms = limits.step_ms * (max(limits.windows) + limits.outside_steps + 1)
        cuts: list[Cut] = []
        while self._found:
            group = self._first_group()
            end_ms = max(window.end_ms for window in group)
            # A restless video could keep a group open: never hold more than a few seconds.
            stale = now_ms is None or now_ms - group[0].start_ms > 4 * reach_ms
            if not stale and now_ms is not None and now_ms - end_ms < reach_ms:
                break
            self._found = [window for window in self._found if window not in group]
            cuts += _cuts(_best(group), 2 * limits.step_ms)
        return cuts

    def _first_group(self) -> list[_Window]:
        self._found.sort(key=lambda window: window.start_ms)
        group = [self._found[0]]
        end_ms = group[0].end_ms
        for window in self._found[1:]:
            if window.start_ms >= end_ms:
                break
            group.append(window)
            end_ms = max(end_ms, window.end_ms)
        return group


def _best(group: list[_Window]) -> list[_Window]:
    """The heaviest windows that do not overlap, in order of time."""
    chosen: list[_Window] = []
    for window in sorted(group, key=lambda w: -w.weight):
        if all(window.end_ms <= c.start_ms or window.start_ms >= c.end_ms for c in chosen):
            chosen.append(window)
    return sorted(chosen, key=lambda w: w.start_ms)


def _cuts(windows: list[_Window], gap_ms: int) -> list[Cut]:
    """One cut a transition; a slow one that filled several windows is joined first."""
    runs = [[windows[0]]]
    for one, other in pairwise(windows):
        through_flat = one.to_flat or other.from_flat
        if other.start_ms - one.end_ms <= gap_ms and not through_flat:
            runs[-1].append(other)
        else:
            runs.append([other])
    return [_cut(run) for run in runs]


def _cut(run: list[_Window]) -> Cut:
    first, last = run[0], run[-1]
    if last.to_flat:
        at_ms = last.end_ms
    elif first.from_flat:
        at_ms = first.start_ms
    else:
        at_ms = first.middle_ms if len(run) == 1 else (first.start_ms + last.end_ms) // 2
    return Cut(at_ms, first.start_ms, last.end_ms, CutKind.GRADUAL)
