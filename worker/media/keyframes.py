"""Keeps the few frames that may come to stand for a scene, and picks the best of them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av

from worker.media.cuts import Cut
from worker.media.pictures import luma_of
from worker.media.quality import QUALITY_SIDE, judge
from worker.media.stills import Stills, Written
from worker.media.types import FoundKeyframe

SAMPLE_MS = 500
# A leap over the usual change may be a cut, and its first frame may be all that a short scene has.
LEAP_FACTOR = 2.5
LEAP_LEVELS = 4.0
LEAP_MS = 120
# Cuts are reported up to about this late; until then every candidate is kept.
RECENT_MS = 6000
BUCKET_MS = 2000
SPILL_MS = 16_000
TRANSITION_FACTOR = 0.25
# A frame in a transition changes steadily; so does one in a whip pan, which is no better.
CHANGE_HALF = 25.0
# A further keyframe must be nearly as good as the best frame to be worth storing.
WORTH = 0.35
MIN_SPREAD_MS = 800
OVERLAPPING = 4


@dataclass(slots=True)
class Candidate:
    """One sampled frame: a small picture in memory, or a JPEG once it is old."""

    at_ms: int
    quality: dict[str, float]
    frame: av.VideoFrame | None
    path: Path | None = None
    written: Written | None = None

    @property
    def score(self) -> float:
        """The quality score, 0 to 1."""
        return self.quality["quality_score"]


@dataclass(slots=True)
class CandidatePool:
    """Candidates of the scenes that are still open, about two a second, in order of time.

    Frames older than RECENT_MS are thinned to the best of each BUCKET_MS and scene, and those
    older than SPILL_MS wait as files, so a take of any length needs little memory.
    """

    out_dir: Path
    stills: Stills
    held: list[Candidate] = field(default_factory=list)
    edges: list[int] = field(default_factory=list)
    # How many of the held are thinned and written: looking at them again would take ever longer.
    _settled: int = 0
    _usual: float = 0.0
    _leap_ms: int = -LEAP_MS
    _sampled_ms: int = -SAMPLE_MS

    def wants(self, at_ms: int, change: float) -> bool:
        """True if a frame should be offered; `change` is its difference to the one before."""
        leap = change > LEAP_FACTOR * self._usual + LEAP_LEVELS
        self._usual += 0.1 * (change - self._usual)
        if leap and at_ms - self._leap_ms >= LEAP_MS:
            self._leap_ms = at_ms
            return True
        return at_ms - self._sampled_ms >= SAMPLE_MS

    def offer(self, at_ms: int, frame: av.VideoFrame, change: float) -> None:
        """Judge a frame and hold it; `change` is its difference to the frame before, in levels."""
        self._sampled_ms = at_ms
        small = self.stills.reduced(frame)
        quality = judge(luma_of(small, QUALITY_SIDE))
        quality["steadiness"] = round(1 / (1 + (change / CHANGE_HALF) ** 2), 4)
        score = quality["quality_score"] * (0.5 + 0.5 * quality["steadiness"])
        quality["quality_score"] = round(score, 4)
        self.held.append(Candidate(at_ms, quality, small))
        self._thin(at_ms)

    def take(self, start_ms: int, end_ms: int, cuts: Sequence[Cut]) -> list[Candidate]:
        """Remove and return the candidates of [start_ms, end_ms), transitions marked down."""
        self.edges = [edge_ms for edge_ms in self.edges if edge_ms > end_ms]
        taken = [c for c in self.held if start_ms <= c.at_ms < end_ms]
        self.drop([c for c in self.held if c.at_ms < start_ms])
        self.held = [c for c in self.held if c.at_ms >= end_ms]
        self._settled = 0
        blends = sorted((cut.start_ms, cut.end_ms) for cut in cuts if cut.start_ms < cut.end_ms)
        begins = [start for start, _ in blends]
        for candidate in taken:
            # Transitions hardly overlap: one that began long before is over.
            begun = bisect_left(begins, candidate.at_ms)
            near = blends[max(0, begun - OVERLAPPING) : begun]
            blended = any(candidate.at_ms < end for _, end in near)
            candidate.quality["transition"] = 1.0 if blended else 0.0
            if blended:
                candidate.quality["quality_score"] = round(candidate.score * TRANSITION_FACTOR, 4)
        return taken

    def write(self, candidate: Candidate) -> None:
        """Make sure that the candidate's JPEG exists."""
        if candidate.frame is not None:
            candidate.path = self.out_dir / f"keyframe-{candidate.at_ms:09d}.jpg"
            candidate.written = self.stills.write_jpeg(candidate.frame, candidate.path)
            candidate.frame = None

    def drop(self, candidates: Sequence[Candidate]) -> None:
        """Forget candidates and remove their files."""
        for candidate in candidates:
            if candidate.path is not None:
                candidate.path.unlink(missing_ok=True)

    def _thin(self, now_ms: int) -> None:
        first = max(0, self._settled - 1)
        kept: list[Candidate] = []
        for candidate in self.held[first:]:
            last = kept[-1] if kept else None
            old = candidate.at_ms < now_ms - RECENT_MS
            if last is not None and old and self._share_bucket(last, candidate):
                worse = last if candidate.score > last.score else candidate
                self.drop([worse])
                if worse is last:
                    kept[-1] = candidate
                continue
            kept.append(candidate)
        self.held[first:] = kept
        self._settled = first
        for candidate in kept:
            if candidate.at_ms >= now_ms - SPILL_MS:
                break
            self.write(candidate)
            self._settled += 1

    def _share_bucket(self, one: Candidate, other: Candidate) -> bool:
        apart = any(one.at_ms < edge_ms <= other.at_ms for edge_ms in self.edges)
        return not apart and one.at_ms // BUCKET_MS == other.at_ms // BUCKET_MS


def choose(candidates: Sequence[Candidate], count: int) -> list[Candidate]:
    """The best frame, then up to count - 1 good ones far from those chosen before."""
    if not candidates:
        return []
    ranked = sorted(candidates, key=lambda c: (-c.score, c.at_ms))
    chosen = [ranked[0]]
    span_ms = max(c.at_ms for c in candidates) - min(c.at_ms for c in candidates)
    spread_ms = max(MIN_SPREAD_MS, span_ms // (count + 1))
    for candidate in ranked[1:]:
        if len(chosen) == count or candidate.score <= WORTH * ranked[0].score:
            break
        if all(abs(candidate.at_ms - other.at_ms) >= spread_ms for other in chosen):
            chosen.append(candidate)
    return chosen


def found(candidate: Candidate, rank: int) -> FoundKeyframe:
    """The candidate as part of the answer; its JPEG must have been written."""
    assert candidate.path is not None
    assert candidate.written is not None
    return FoundKeyframe(
        at_ms=candidate.at_ms,
        rank=rank,
        quality=candidate.quality,
        path=candidate.path,
        width=candidate.written.width,
        height=candidate.written.height,
        perceptual_hash=candidate.written.perceptual_hash,
    )
