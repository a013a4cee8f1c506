"""What a page of metrics of many processes costs."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.monitoring


def test_eight_processes_cost_at_most_ten_times_a_single_one(record_property: Any) -> None:
    """Medians of scrapes by turns, in one run: the benchmark ends with 1 where it is more."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.exposition", "--rounds", "20"],
        capture_output=True,
        text=True,
        timeout=150,
    )
    record_property("table", done.stdout.splitlines())
    assert done.returncode == 0, done.stdout + done.stderr
