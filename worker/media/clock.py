"""Turns presentation times into milliseconds that start at 0 and only go forward."""

from __future__ import annotations

import av

# Cameras and recorders restart their clock; a jump beyond this is a restart, not a long picture.
MAX_STEP_BACK_S = 1.0
MAX_STEP_S = 3600.0
DEFAULT_FRAME_S = 0.04


class VideoClock:
    """The time of each picture; 0 is the first picture that decoded."""

    def __init__(self, tick_s: float, frame_s: float | None) -> None:
        self._frame_s = frame_s or DEFAULT_FRAME_S
        self._tick_s = tick_s
        self.zero_s: float | None = None
        # Counting starts here: at times near 2**63, seconds as a float are too coarse for frames.
        self._base: int | None = None
        self._shift_s = 0.0
        self._last_s = 0.0
        self.end_s = 0.0
        self._presented = _Order()
        self._decoded = _Order()

    def at_ms(self, frame: av.VideoFrame) -> int | None:
        """The frame's time, or None if it lies before one that was seen."""
        stamp = self._stamp(frame)
        if stamp is not None and self._base is None:
            self._base = stamp if self.zero_s is None else 0
        if stamp is None or self._base is None:
            raw_s = self._last_s + self._frame_s if self.zero_s is not None else 0.0
        else:
            raw_s = (stamp - self._base) * self._tick_s + self._shift_s
        if self.zero_s is None:
            self.zero_s = (self._base or 0) * self._tick_s
        else:
            step_s = raw_s - self._last_s
            if step_s < -MAX_STEP_BACK_S or step_s > MAX_STEP_S:
                self._shift_s += self._frame_s - step_s
                raw_s = self._last_s + self._frame_s
            elif step_s <= 0:
                return None
        lasts_s = frame.duration * self._tick_s if frame.duration else self._frame_s
        if not 0 < lasts_s <= MAX_STEP_S:
            lasts_s = self._frame_s
        self._last_s = raw_s
        self.end_s = raw_s + lasts_s
        return round(1000 * raw_s)

    def _stamp(self, frame: av.VideoFrame) -> int | None:
        """The presentation time, or the decoding time where that goes backwards less often.

        libavcodec's rule of the best effort timestamp: some files store the former out of order.
        """
        pts, dts = frame.pts, frame.dts
        self._presented.add(pts)
        self._decoded.add(dts)
        if pts is None or self._presented.faults > self._decoded.faults:
            return dts if dts is not None else pts
        return pts


class _Order:
    """Counts how often one kind of timestamp fails to go forward."""

    __slots__ = ("_latest", "faults")

    def __init__(self) -> None:
        self._latest: int | None = None
        self.faults = 0

    def add(self, stamp: int | None) -> None:
        if stamp is None:
            return
        if self._latest is not None and stamp <= self._latest:
            self.faults += 1
        self._latest = stamp
