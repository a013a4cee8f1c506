"""Sixty damaged copies of real videos, each through the whole pipeline; `make fuzz` does more."""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from scenebook.temporary import TEMPORARY
from tests.hostile.mutate import MUTATIONS
from tests.hostile.report import table, violations
from tests.hostile.run import GOOD, damaged, fuzz
from tests.hostile.seeds import FOLDER, seeds_of
from tests.hostile.settling import settle
from tests.pipelines import Pipeline
from worker.media.client import MediaChild

FILES = 60
SEED = 20


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A place for the run; the process's temporary directory is put back after it."""
    before = tempfile.tempdir
    yield tmp_path
    tempfile.tempdir = before


def test_every_damaged_copy_ends_with_a_stable_code_and_costs_nobody_anything(
    database_url: str, home: Path, record_property: Any
) -> None:
    began = time.monotonic()
    numbers = list(range(FILES))
    tried = list(fuzz(database_url, home, numbers, seed=SEED, folder=FOLDER, good=GOOD))
    record_property("table", table(tried, seed=SEED, seconds=time.monotonic() - began))
    assert len(tried) == FILES
    assert violations(tried) == []
    ends = Counter(one.outcome.status for one in tried)
    assert min(ends["partial"], ends["failed"]) >= FILES // 10, ends


def test_the_same_numbers_give_the_same_damaged_file() -> None:
    seeds = seeds_of(FOLDER)
    assert damaged(seeds, seed=7, number=3) == damaged(seeds, seed=7, number=3)
    assert damaged(seeds, seed=7, number=3) != damaged(seeds, seed=8, number=3)


def test_every_way_to_damage_a_file_is_dealt() -> None:
    seeds = seeds_of(FOLDER)
    dealt = Counter(
        way
        for number in range(300)
        for way in damaged(seeds, seed=SEED, number=number)[1].split("+")
    )
    assert dealt.keys() >= MUTATIONS.keys()


def test_the_checks_notice_what_must_not_be(
    pipeline: Pipeline, alice: UUID, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    tempfile.tempdir = str(home)
    monkeypatch.setattr(MediaChild, "probe", broken)
    left = home / f"{TEMPORARY}{os.getpid()}-left"
    left.mkdir()
    wrong = " ".join(settle(pipeline, GOOD, owner_id=alice).wrong)
    assert "the code is internal" in wrong
    assert "An unexpected error (ZeroDivisionError)" in wrong
    assert left.name in wrong
