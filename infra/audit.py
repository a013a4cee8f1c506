"""Asks pip-audit about the locks of the deploy image: exits with 1 only for known weaknesses.

python infra/audit.py [PIP_AUDIT] [--strict]. Where the service that knows them cannot be reached,
it says so and exits with 0; with --strict, with 1.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

INFRA = Path(__file__).resolve().parent
LOCKS = ("worker.lock", "torch-cuda.lock")  # torch's version is the same in either build


def main(arguments: Sequence[str]) -> int:
    """Audit each lock and print what was found."""
    strict = "--strict" in arguments
    programs = [one for one in arguments if one != "--strict"]
    program = programs[0] if programs else "pip-audit"
    found, silent = 0, 0
    for lock in LOCKS:
        asked = subprocess.run(
            [
                program, "--requirement", INFRA / lock, "--no-deps", "--disable-pip",
                "--format", "json", "--progress-spinner", "off",
            ],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        try:
            packages = json.loads(asked.stdout)["dependencies"] if asked.stdout else None
        except (ValueError, KeyError):
            packages = None
        if packages is None and asked.returncode != 0:
            silent += 1
            reason = (asked.stderr.strip().splitlines() or ["no answer"])[-1]
            sys.stderr.write(f"{lock} not asked about: {reason}\n")
            continue
        skipped = [one["name"] for one in packages or [] if "skip_reason" in one]
        if skipped:  # an index that is no PyPI knows no weaknesses
            silent += 1
            sys.stderr.write(f"{lock}: not asked about {len(skipped)} packages: {skipped[0]}, …\n")
        for one in packages or []:
            for weakness in one.get("vulns", []):
                found += 1
                fixed = ", ".join(weakness.get("fix_versions", [])) or "none yet"
                sys.stdout.write(
                    f"{one['name']} {one['version']}: {weakness['id']}; mended in {fixed}\n"
                )
    if not found and not silent:
        sys.stdout.write("No known weakness in the locked packages.\n")
    return 1 if found or (strict and silent) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
