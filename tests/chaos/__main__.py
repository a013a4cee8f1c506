"""`python -m tests.chaos --seconds 600 [--seed N]`: prints a report; exit 1 if a promise broke."""

from __future__ import annotations

import argparse
import secrets
import sys
from pathlib import Path

from tests.chaos.run import run

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make chaos")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    parser.add_argument("--every", type=float, default=2.0, help="seconds from fault to fault")
    parser.add_argument("--logs", type=Path, help="keep the logs of all programs here")
    asked = parser.parse_args()
    report = run(seconds=asked.seconds, seed=asked.seed, every_s=asked.every, keep_logs=asked.logs)
    sys.stdout.write("\n".join(report.lines()) + "\n")
    sys.exit(1 if report.failures else 0)
