"""Chaos: whatever is killed, paused, cut, filled or flushed, what was accepted is done once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.chaos.run import run

SECONDS = 45
SEED = 20


@pytest.mark.timeout(400)
def test_every_accepted_video_is_done_exactly_once_under_faults_of_every_kind(
    record_property: Callable[[str, object], None],
) -> None:
    report = run(seconds=SECONDS, seed=SEED, every_s=0.8)
    record_property("table", report.lines())
    assert report.failures == [], "\n".join(report.lines())
