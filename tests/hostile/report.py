"""The figures of a fuzz run as lines to print."""

from __future__ import annotations

from collections import Counter

from tests.hostile.run import Tried

SLOWEST = 5


def table(tried: list[Tried], *, seed: int, seconds: float) -> list[str]:
    """How many files ended how, which were slowest, and what was wrong."""
    ends = Counter((one.outcome.status, one.outcome.code) for one in tried)
    lines = [f"{len(tried)} damaged files, seed {seed}, {seconds:.0f} s", ""]
    lines += [
        f"  {status:<9} {code:<22} {count:>6}" for (status, code), count in sorted(ends.items())
    ]
    lines += ["", "slowest:"]
    for one in sorted(tried, key=lambda one: -one.outcome.seconds)[:SLOWEST]:
        lines.append(f"  {one.outcome.seconds:6.1f} s  {_named(one)}")
    stopped = [one for one in tried if one.outcome.code in ("timeout", "crash_loop")]
    if stopped:
        lines += ["", "stopped by their limits:"]
        lines += [f"  {_named(one)}: {one.outcome.reason}" for one in stopped]
    return [*lines, "", *violations(tried)]


def violations(tried: list[Tried]) -> list[str]:
    """One line for each file with which something is wrong."""
    return [f"{_named(one)}: {'; '.join(one.outcome.wrong)}" for one in tried if one.outcome.wrong]


def _named(one: Tried) -> str:
    return f"#{one.number} {one.name} ({one.damage}) -> {one.outcome.code}"
