"""The tools of this worker process, made after the fork and never shared with another."""

from __future__ import annotations

from functools import cache

from scenebook.settings import get_settings
from worker.pipeline.tools import Tools


@cache
def tools() -> Tools:
    """Database, storage and child processes of this process."""
    return Tools.make(get_settings())


def close_tools() -> None:
    """End the child processes, if there are any."""
    if tools.cache_info().currsize:
        tools().close()
        tools.cache_clear()
