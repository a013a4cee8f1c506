"""A lane of the fuzz: damaged copies, one after the other, through one process's pipeline."""

from __future__ import annotations

import gc
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from uuid import UUID

import psycopg

from scenebook import logs
from scenebook.model import VideoStatus
from scenebook.settings import Settings
from tests.hostile.mutate import mutated
from tests.hostile.seeds import FOLDER, Seed, seeds_of
from tests.hostile.settling import (
    Outcome,
    leftover_directories,
    orphans_of_this_process,
    settle,
)
from tests.indexed import FAKE_CLIP
from tests.pipelines import Pipeline, a_pipeline, settings_for
from tests.snapshots import snapshot

HOSTILE = UUID("bad00000-0000-4000-8000-000000000001")
HARMLESS = UUID("600d0000-0000-4000-8000-000000000002")
# Seconds that the decoding child has for a file of a few seconds.
CHILD_TIMEOUT_S = 20.0
GOOD = FOLDER / "edge" / "rotate_90.mov"


@dataclass(frozen=True, slots=True)
class Tried:
    """One damaged copy and what became of it."""

    number: int
    name: str
    damage: str
    outcome: Outcome


def fuzz_settings(url: str, home: Path) -> Settings:
    """All channels that need no weights, and a deadline that a short file never needs."""
    return settings_for(
        url,
        home / "data",
        media_child_timeout_s=CHILD_TIMEOUT_S,
        job_max_attempts=2,
        log_level="ERROR",
        **FAKE_CLIP,
    )


def damaged(seeds: list[Seed], *, seed: int, number: int) -> tuple[str, str, bytes]:
    """The file of this number: whose copy it is, what was done to it, and its bytes."""
    rng = Random(f"{seed}:{number}")
    # Each seed in turn, so that sixty files have met all of them.
    original = seeds[number % len(seeds)]
    what, content = mutated(original.content, rng.choice(seeds).content, rng)
    return original.name, what, content


def fuzz(
    url: str, home: Path, numbers: list[int], *, seed: int, folder: Path, good: Path
) -> Iterator[Tried]:
    """Index the files of these numbers; the harmless video of another owner must not notice.

    This process's temporary directory is moved below `home`. Raises AssertionError at the end if
    anything of the other owner changed, or processes are left.
    """
    home.mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = str(home)
    seeds = seeds_of(folder)
    settings = fuzz_settings(url, home)
    logs.configure(settings)
    with psycopg.connect(url) as connection:
        for owner in (HOSTILE, HARMLESS):
            connection.execute("insert into public.owners (id) values (%s)", (owner,))
    with a_pipeline(settings) as pipeline:
        first = pipeline.index(good, owner_id=HARMLESS)
        assert first.status is VideoStatus.READY, first.reason
        before = snapshot(url, first.id)
        for number in numbers:
            name, what, content = damaged(seeds, seed=seed, number=number)
            path = home / f"{number:06d}-{Path(name).name}"
            path.write_bytes(content)
            yield Tried(number, name, what, settle(pipeline, path, owner_id=HOSTILE))
            path.unlink()
        assert snapshot(url, first.id) == before, "another owner's video changed"
        _still_works(pipeline, good, home)
    gc.collect()
    left = [*orphans_of_this_process(most_of_a_kind=0), *leftover_directories(children=False)]
    assert not left, left


def _still_works(pipeline: Pipeline, good: Path, home: Path) -> None:
    """The pipeline that met all of them indexes the next good file."""
    again = home / f"again{good.suffix}"
    # Other bytes, so that it is another video: players skip what follows the last box.
    again.write_bytes(good.read_bytes() + (16).to_bytes(4, "big") + b"free" + bytes(8))
    video = pipeline.index(again, owner_id=HARMLESS)
    assert video.status is VideoStatus.READY, video.reason


def lane(url: str, home: Path, numbers: list[int], seed: int, folder: Path) -> list[Tried]:
    """The whole of a lane, for a process of its own; what is wrong is printed at once."""
    tried = []
    for one in fuzz(url, home, numbers, seed=seed, folder=folder, good=GOOD):
        tried.append(one)
        if one.outcome.wrong:
            sys.stderr.write(f"#{one.number} {one.name} ({one.damage}): {one.outcome.wrong}\n")
    return tried
