"""`python -m tests.hostile`: index damaged copies of real videos and count how they end."""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from tests.hostile.report import table, violations
from tests.hostile.run import Tried, damaged, lane
from tests.hostile.seeds import FOLDER, seeds_of
from tests.postgres import a_server, make_template

LANES = 2


def main() -> int:
    """1 if a file broke a promise, else 0."""
    asked = _arguments()
    numbers = [asked.only] if asked.only is not None else list(range(asked.files))
    if asked.write is not None:
        for number in numbers:
            name, what, content = damaged(seeds_of(asked.folder), seed=asked.seed, number=number)
            asked.write.mkdir(parents=True, exist_ok=True)
            path = asked.write / f"{number:06d}-{Path(name).name}"
            path.write_bytes(content)
            sys.stdout.write(f"{path}: {what}\n")
        return 0
    began = time.monotonic()
    tried = _in_lanes(numbers, seed=asked.seed, folder=asked.folder)
    lines = table(tried, seed=asked.seed, seconds=time.monotonic() - began)
    broken = bool(violations(tried))
    if broken:
        lines += [
            f"One of them again: python -m tests.hostile --seed {asked.seed} --only NUMBER",
            "The file itself: the same with --write FOLDER",
        ]
    sys.stdout.write("\n".join(lines) + "\n")
    return int(broken)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--files", type=int, default=1000, help="how many damaged copies")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="for the same")
    parser.add_argument(
        "--from", dest="folder", type=Path, default=FOLDER, help="a folder of videos to damage"
    )
    parser.add_argument("--only", type=int, help="the number of one file to do again")
    parser.add_argument("--write", type=Path, help="only write the damaged copies to this folder")
    return parser.parse_args()


def _in_lanes(numbers: list[int], *, seed: int, folder: Path) -> list[Tried]:
    """Two processes, each with a database of its own, share the numbers."""
    lanes = min(LANES, len(numbers))
    with (
        tempfile.TemporaryDirectory(prefix="fuzz-") as home,
        a_server() as server,
        ExitStack() as databases,
        ProcessPoolExecutor(lanes, mp_context=multiprocessing.get_context("spawn")) as pool,
    ):
        make_template(server)
        urls = [databases.enter_context(server.database()) for _ in range(lanes)]
        futures = [
            pool.submit(lane, url, Path(home) / str(at), numbers[at::lanes], seed, folder)
            for at, url in enumerate(urls)
        ]
        return sorted(
            (one for future in futures for one in future.result()), key=lambda one: one.number
        )


if __name__ == "__main__":
    sys.exit(main())
