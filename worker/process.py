"""The tools of this worker process, made after the fork and never shared with another."""

from __future__ import annotations

from functools import cache

from scenebook import metrics
from scenebook.settings import get_settings
from worker.pipeline.tools import Tools


@cache
def tools() -> Tools:
    """Database, storage and child processes of this process."""
    # The process before this one counted in the same file, and may have been killed.
    metrics.CLIP_CIRCUITS_OPEN.set(0)
    return Tools.make(get_settings())


def close_tools() -> None:
    """End the child processes, if there are any."""
    if tools.cache_info().currsize:
        tools().close()
        tools.cache_clear()
